"""``GET /api/openapi.json``: the control API, described by the service itself (OpenAPI 3.1).

What may stand in ``POST /api/streams`` comes from the settings, so it cannot fall behind them;
that routes and answers are all described, and no others, is what its tests are for.
"""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

from flask import Blueprint, Response, jsonify

from config import Settings
from server.face import PRESENTER
from server.speech_voice import LONGEST_TEXT
from server.tokens import STREAM_ID
from server.told_limits import told
from server.uploads import FIELDS
from server.wishes import SOURCES

# Of the description, not of the program: it changes when a client would have to.
API_VERSION = "1.0.0"
PATH = "/api/openapi.json"

Json = dict[str, Any]

_JSON, _PROBLEM = "application/json", "application/problem+json"
_TYPES: dict[type, str] = {int: "integer", float: "number", str: "string", bool: "boolean"}
_UPLOAD_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_FACE = f"^(uploads/[0-9a-f]{{32}}|{PRESENTER})$"
_ID = {"type": "string", "pattern": f"^{STREAM_ID.pattern}$"}

# What any guarded operation may answer.
_GUARDED = {
    401: "the token is missing or wrong",
    403: "without a token: asked by another name than this machine's own, or by another page",
    429: "this address asks too often; see Retry-After",
}
_BODY = {400: "the request is not as described", 413: "the body is larger than its limit"}


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
            "schemas": _schemas(settings),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if settings.api_token else [],
    }


def _paths() -> Json:
    upload = _operation(
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
        body=_upload_body(),
    )
    return {
        PATH: {
            "get": _operation("This description.", {200: _json("it", {"type": "object"})}, _GUARDED)
        },
        "/api/streams": {
            "get": _operation("All streams.", {200: _answer("them", "Streams")}, _GUARDED),
            "post": _operation(
                "Start a stream.",
                {201: _answer("it starts", "StartedStream", ["Location"])},
                _GUARDED
                | _BODY
                | {
                    409: "there is a stream of that id",
                    429: f"{_GUARDED[429]}; or as many streams run as may",
                    503: "no encoder works, no room, or the supervisor is away",
                },
                body={"required": True, "content": {_JSON: {"schema": _ref("Wish")}}},
            ),
        },
        "/api/streams/{stream}": {
            "parameters": [_parameter("stream", _ID)],
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
        "/api/uploads": {"post": upload},
        "/upload": {"post": upload},
        "/api/uploads/{upload}": {
            "parameters": [_parameter("upload", _UPLOAD_ID)],
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


def _speech_paths() -> Json:
    of_stream = [_parameter("stream", _ID)]
    mute = _NO_STREAM | {
        409: "the stream has a sound of its own, or is over",
        503: "its face is starting, or has just been restarted; see Retry-After",
    }
    after = {
        "name": "after",
        "in": "query",
        "description": "id of an event; the header Last-Event-ID does the same",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    }
    interrupt = {
        "name": "interrupt",
        "in": "query",
        "description": "1: at once, in place of all that was asked for before",
        "schema": {"enum": ["0", "1"]},
    }
    rate = {
        "name": "rate",
        "in": "query",
        "description": "samples a second of what is sent",
        "schema": {"type": "integer", "minimum": 8000, "maximum": 48000, "default": 16000},
    }
    say = _operation(
        "Have a sound or a text said, after what waits.",
        {202: _answer("its place in the queue", "Utterance")},
        mute
        | _BODY
        | {
            408: "the body did not come in time",
            415: "no sound that is taken",
            422: "a sound beyond a limit, cut off, or damaged; or a text or a voice that is none",
            429: f"{_GUARDED[429]}; or too much waits to be said",
            507: "no room in memory",
        },
        body=_speech_body(),
    )
    told = {"description": "server-sent events", "content": {"text/event-stream": {}}}
    return {
        "/api/streams/{stream}/speech": {
            "parameters": of_stream,
            "get": _operation("How much waits.", {200: _answer("it", "SpeechQueue")}, mute),
            "post": say | {"parameters": [interrupt]},
            "delete": _operation(
                "Silence, now.", {200: _answer("what had to wait", "Dropped")}, mute
            ),
        },
        "/api/streams/{stream}/pcm": {
            "parameters": of_stream,
            "get": _operation(
                "Speak live: a WebSocket for s16le mono, which a description of HTTP cannot tell "
                "more of; see docs/speech.md.",
                {},
                _NO_STREAM
                | {
                    400: "that rate is none",
                    409: mute[409],
                    426: "no WebSocket was asked for; to one who did, close frames tell the rest",
                    501: "the setting web_worker is gthread",
                },
            )
            | {"parameters": [rate, interrupt]},
        },
        "/api/streams/{stream}/face": {
            "parameters": of_stream,
            "put": _operation(
                "Give an avatar another face, while it goes on; see docs/sources.md.",
                {202: _answer("it will be put on; an event tells when", "FaceChange")},
                _NO_STREAM
                | _BODY
                | {
                    409: "the source is no avatar, its engine cannot draw that, or it is over",
                    422: "no picture with a face that can be used; the face before stays",
                    503: mute[503],
                },
                body={"required": True, "content": {_JSON: {"schema": _ref("FaceWish")}}},
            ),
        },
        "/api/streams/{stream}/events": {
            "parameters": of_stream,
            "get": _operation(
                "What happens, as it does; see docs/speech.md.",
                {200: told},
                _NO_STREAM | {400: "that is no event's id", 503: "too many listen"},
            )
            | {"parameters": [after]},
        },
    }


def _speech_body() -> Json:
    text = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
    sound = {"type": "string", "format": "binary"}
    speech = _object({"text": text, "voice": {"type": "string"}}, "text")
    form = _object({"audio": sound, "text": text, "voice": {"type": "string"}})
    content = {
        "multipart/form-data": {"schema": form},
        "application/octet-stream": {"schema": sound},
        _JSON: {"schema": speech},
        **{f"audio/{kind}": {"schema": sound} for kind in ("wav", "flac", "ogg", "mpeg")},
    }
    return {"required": True, "content": content}


_NO_STREAM = _GUARDED | {404: "there is no such stream"}
_NO_UPLOAD = _GUARDED | {404: "there is no such upload"}


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
    return _json(text, _ref(schema), headers)


def _json(text: str, schema: Json, headers: list[str] | None = None) -> Json:
    answer: Json = {"description": text, "content": {_JSON: {"schema": schema}}}
    if headers:
        answer["headers"] = {
            name: {"required": True, "schema": {"type": "string"}} for name in headers
        }
    return answer


def _error(status: int, text: str) -> Json:
    answer: Json = {"description": text, "content": {_PROBLEM: {"schema": _ref("Problem")}}}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return answer


def _parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _upload_body() -> Json:
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": dict.fromkeys(FIELDS, file),
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    content = {
        "multipart/form-data": {"schema": form},
        "application/octet-stream": {"schema": file},
    }
    return {"required": True, "content": content}


def _schemas(settings: Settings) -> Json:
    text, number, whole = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    playback = _object({"hls": text}, "hls")
    return {
        "Problem": _object(
            {"title": text, "status": whole, "detail": text}, "title", "status", "detail"
        ),
        "Wish": _wish(settings),
        "Stream": _object(
            {
                "id": _ID,
                "state": text,
                "playback": playback,
                "live_edge_age_seconds": {"type": ["number", "null"]},
            },
            "id",
            "state",
            "playback",
            "live_edge_age_seconds",
        ),
        "Streams": _object({"streams": {"type": "array", "items": _ref("Stream")}}, "streams"),
        "StartedStream": _object(
            {"id": _ID, "state": {"const": "starting"}, "playback": playback},
            "id",
            "state",
            "playback",
        ),
        "Utterance": _object(
            {
                "utterance": {"type": "string", "pattern": "^u[0-9a-f]+$"},
                "starts_in_seconds": number,
                "duration_seconds": number,
                "queued_seconds": number,
            },
            "utterance",
            "starts_in_seconds",
            "duration_seconds",
            "queued_seconds",
        ),
        "SpeechQueue": _object({"queued_seconds": number}, "queued_seconds"),
        "FaceWish": _object({"image": {"type": "string", "pattern": _FACE}}, "image")
        | {"additionalProperties": False},
        "FaceChange": _object(
            {
                "change": {"type": "string", "pattern": "^f[0-9a-f]+$"},
                "notes": {"type": "array", "items": text},
            },
            "change",
            "notes",
        ),
        "Dropped": _object({"dropped": {"type": "array", "items": text}}, "dropped"),
        "EndingStream": _object({"id": _ID, "state": {"const": "ending"}}, "id", "state"),
        "Encoders": _object(
            {
                "chosen": {"type": ["string", "null"]},
                "encoders": {
                    "type": "array",
                    "items": _object({"name": text, "works": {"type": "boolean"}}, "name", "works"),
                },
            },
            "chosen",
            "encoders",
        ),
        "Upload": _object(
            {
                "id": _UPLOAD_ID,
                "path": {"type": "string", "pattern": "^uploads/[0-9a-f]{32}$"},
                "type": {"enum": ["image", "audio"]},
                "width": whole,
                "height": whole,
                "seconds": number,
                "rate_hz": whole,
                "channels": whole,
                "expires_at": {"type": "string", "format": "date-time"},
            },
            "id",
            "path",
            "type",
            "expires_at",
        ),
        "Limits": _object(
            {name: text if name == "voice" else whole for name in told(settings)}, *told(settings)
        ),
        "Access": _object({"control": {"enum": ["open", "token", "closed"]}}, "control"),
        "Health": _object({"status": {"const": "ok"}}, "status"),
        "Readiness": _object(
            {
                "status": {"const": "ready"},
                "streams": whole,
                "starting": whole | {"description": "never live yet, and not yet too late"},
                "stale_streams": whole | {"description": "0"},
            },
            "status",
            "streams",
            "starting",
            "stale_streams",
        ),
    }


def _object(properties: Json, *required: str) -> Json:
    """An answer: it may get further members, what is listed stays."""
    return {"type": "object", "properties": properties, "required": list(required)}


def _wish(settings: Settings) -> Json:
    """The body of ``POST /api/streams``; what it does not say is as the service's settings."""
    own = {
        "id": {**_ID, "description": "empty: a random one"},
        "source": {
            "type": "object",
            "properties": {
                "type": {"enum": list(SOURCES)},
                "image": {"type": "string", "description": "of an avatar: path of an upload"},
                "audio": {"type": "string", "description": "of an avatar: path of an upload"},
                "device": {"type": "string", "description": "of a camera: number, path or URL"},
                "microphone": {
                    "type": "string",
                    "description": "of a camera: alsa:DEVICE or pulse:DEVICE; empty: silence",
                },
                "name": {"type": "string", "description": "of a file in film_folder"},
            },
            "required": ["type"],
            "additionalProperties": False,
        },
    }
    own |= {
        item.name: _setting(item, getattr(settings, item.name))
        for item in fields(Settings)
        if item.metadata["per_stream"]
    }
    return {"type": "object", "properties": own, "additionalProperties": False}


def _setting(item: Field[Any], default: Any) -> Json:
    low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
    schema: Json = {
        "type": _TYPES[type(item.default)],
        "description": item.metadata["help"],
        "default": default,
    }
    if choices:
        schema["enum"] = list(choices)
    if low is not None:
        schema |= {"minimum": low, "maximum": high}
    return schema
