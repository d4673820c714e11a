"""``GET /api/openapi.json``: the control API, described by the service itself (OpenAPI 3.1).

Routes and answers; the shapes of bodies are in :mod:`server.openapi_schemas`. That all of them are
described, and no others, is what its tests are for.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from config import Settings
from server.openapi_schemas import (
    STREAM,
    UPLOAD,
    Json,
    reference,
    schemas,
    speech_bodies,
    upload_bodies,
)

# Of the description, not of the program: it changes when a client would have to.
API_VERSION = "1.0.0"
PATH = "/api/openapi.json"

_JSON, _PROBLEM = "application/json", "application/problem+json"

# What operations may answer: any guarded one, one of a stream, of an upload, one with a body, one
# that only a face that speaks can do.
_GUARDED = {
    401: "the token is missing or wrong",
    403: "without a token: asked by another name than this machine's own, or by another page",
    429: "this address asks too often; see Retry-After",
}
_NO_STREAM = _GUARDED | {404: "there is no such stream"}
_NO_UPLOAD = _GUARDED | {404: "there is no such upload"}
_BODY = {400: "the request is not as described", 413: "the body is larger than its limit"}
_MUTE = _NO_STREAM | {
    409: "the stream has a sound of its own, or is over",
    503: "its face is starting, or has just been restarted; see Retry-After",
}


def blueprint(settings: Settings) -> Blueprint:
    """The route of the description.

    Args:
        settings: their defaults are told, and whether a token is needed.
    """
    routes = Blueprint("openapi", __name__)
    told = describe(settings)

    def show() -> Response:
        """The description."""
        return jsonify(told)

    routes.add_url_rule(PATH, view_func=show, methods=["GET"])
    return routes


def describe(settings: Settings) -> Json:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lipstream control API",
            "version": API_VERSION,
            "description": "Errors are application/problem+json (RFC 9457).",
        },
        "paths": _paths(),
        "components": {
            "schemas": schemas(settings),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if settings.api_token else [],
    }


def _paths() -> Json:
    return {
        PATH: {
            "get": _operation("This description.", {200: _json("it", {"type": "object"})}, _GUARDED)
        },
        "/api/streams": {
            "get": _operation("All streams.", {200: _answer("them", "Streams")}, _GUARDED),
            "post": _start(),
        },
        "/api/streams/{stream}": {
            "parameters": [_parameter("stream", STREAM)],
            "get": _operation("One stream.", {200: _answer("it", "Stream")}, _NO_STREAM),
            "delete": _operation(
                "End a stream; its playlists get ENDLIST and stay for a while.",
                {202: _answer("it ends", "EndingStream")},
                _NO_STREAM | {503: "the supervisor is away"},
            ),
        },
        **_speech_paths(),
        "/api/encoders": {
            "get": _operation(
                "Every encoder of this ffmpeg, with the result of its trial.",
                {200: _answer("them", "Encoders")},
                _GUARDED | {503: "there is no ffmpeg that works"},
            )
        },
        "/api/uploads": {"post": _upload()},
        "/upload": {"post": _upload()},
        "/api/uploads/{upload}": {
            "parameters": [_parameter("upload", UPLOAD)],
            "get": _operation("What it is.", {200: _answer("it", "Upload")}, _NO_UPLOAD),
            "delete": _operation("Remove it.", {204: {"description": "it is gone"}}, _NO_UPLOAD),
        },
        "/api/limits": {
            "get": _operation("What may be sent.", {200: _answer("it", "Limits")}, _GUARDED)
        },
        "/access": {"get": _open("How control is had at this address.", "Access", {})},
        "/healthz": {"get": _open("Whether this process answers.", "Health", {})},
        "/readyz": {
            "get": _open(
                "Whether all live streams are fresh. Names are told to who may list streams.",
                "Readiness",
                {503: "one is not, or none is live yet"},
            )
        },
    }


def _start() -> Json:
    return _operation(
        "Start a stream.",
        {201: _answer("it starts", "StartedStream", ["Location"])},
        _GUARDED
        | _BODY
        | {
            409: "there is a stream of that id",
            429: f"{_GUARDED[429]}; or as many streams run as may",
            503: "no encoder works, no room, or the supervisor is away",
        },
        body=_body({_JSON: reference("Wish")}),
    )


def _upload() -> Json:
    return _operation(
        "Upload a picture or a sound; content decides which. It is kept for a while.",
        {201: _answer("the upload", "Upload", ["Location"])},
        _GUARDED
        | _BODY
        | {
            408: "the body did not come in time",
            415: "it is neither a picture nor a sound that is taken",
            422: "a picture or a sound beyond a limit, cut off, or damaged",
            503: "too many are received at once, or reading it took too long",
            507: "no room: uploads that are kept, their bytes, or the memory itself",
        },
        body=_body(upload_bodies()),
    )


def _speech_paths() -> Json:
    interrupt = _query(
        "interrupt",
        "1: at once, in place of all that was asked for before",
        {"enum": ["0", "1"]},
    )
    rate = _query(
        "rate",
        "samples a second of what is sent",
        {"type": "integer", "minimum": 8000, "maximum": 48000, "default": 16000},
    )
    of_stream = [_parameter("stream", STREAM)]
    return {
        "/api/streams/{stream}/speech": {
            "parameters": of_stream,
            "get": _operation("How much waits.", {200: _answer("it", "SpeechQueue")}, _MUTE),
            "post": _say() | {"parameters": [interrupt]},
            "delete": _operation(
                "Silence, now.", {200: _answer("what had to wait", "Dropped")}, _MUTE
            ),
        },
        "/api/streams/{stream}/pcm": {
            "parameters": of_stream,
            "get": _speak_live() | {"parameters": [rate, interrupt]},
        },
        "/api/streams/{stream}/face": {"parameters": of_stream, "put": _change_face()},
        "/api/streams/{stream}/events": {"parameters": of_stream, "get": _listen()},
    }


def _say() -> Json:
    return _operation(
        "Have a sound or a text said, after what waits.",
        {202: _answer("its place in the queue", "Utterance")},
        _MUTE
        | _BODY
        | {
            408: "the body did not come in time",
            415: "no sound that is taken",
            422: "a sound beyond a limit, cut off, or damaged; or a text or a voice that is none",
            429: f"{_GUARDED[429]}; or too much waits to be said",
            507: "no room in memory",
        },
        body=_body(speech_bodies()),
    )


def _speak_live() -> Json:
    return _operation(
        "Speak live: a WebSocket for s16le mono, which a description of HTTP cannot tell "
        "more of; see docs/speech.md.",
        {},
        _NO_STREAM
        | {
            400: "that rate is none",
            409: _MUTE[409],
            426: "no WebSocket was asked for; to one who did, close frames tell the rest",
            501: "the setting web_worker is gthread",
        },
    )


def _change_face() -> Json:
    return _operation(
        "Give an avatar another face, while it goes on; see docs/sources.md.",
        {202: _answer("it will be put on; an event tells when", "FaceChange")},
        _NO_STREAM
        | _BODY
        | {
            409: "the source is no avatar, its engine cannot draw that, or it is over",
            422: "no picture with a face that can be used; the face before stays",
            503: _MUTE[503],
        },
        body=_body({_JSON: reference("FaceWish")}),
    )


def _listen() -> Json:
    told = {"description": "server-sent events", "content": {"text/event-stream": {}}}
    after = _query(
        "after",
        "id of an event; the header Last-Event-ID does the same",
        {"type": "string", "pattern": "^[0-9]{1,18}$"},
    )
    return _operation(
        "What happens, as it does; see docs/speech.md.",
        {200: told},
        _NO_STREAM | {400: "that is no event's id", 503: "too many listen"},
    ) | {"parameters": [after]}


def _operation(
    summary: str, good: dict[int, Json], errors: dict[int, str], body: Json | None = None
) -> Json:
    """One operation; ``good`` maps a status to its answer, ``errors`` to what it means."""
    answers = {str(status): answer for status, answer in good.items()}
    answers |= {str(status): _error(status, text) for status, text in sorted(errors.items())}
    operation: Json = {"summary": summary, "responses": answers}
    return operation | {"requestBody": body} if body else operation


def _open(summary: str, schema: str, errors: dict[int, str]) -> Json:
    """An operation that needs no token."""
    return _operation(summary, {200: _answer("yes", schema)}, errors) | {"security": []}


def _answer(text: str, schema: str, headers: list[str] | None = None) -> Json:
    return _json(text, reference(schema), headers)


def _json(text: str, schema: Json, headers: list[str] | None = None) -> Json:
    answer: Json = {"description": text, "content": {_JSON: {"schema": schema}}}
    if headers:
        answer["headers"] = {
            name: {"required": True, "schema": {"type": "string"}} for name in headers
        }
    return answer


def _error(status: int, text: str) -> Json:
    answer: Json = {"description": text, "content": {_PROBLEM: {"schema": reference("Problem")}}}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return answer


def _body(schemas_by_type: Json) -> Json:
    content = {kind: {"schema": schema} for kind, schema in schemas_by_type.items()}
    return {"required": True, "content": content}


def _parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}
