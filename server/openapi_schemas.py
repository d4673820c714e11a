"""The shapes of what the control API takes and answers, for its description (JSON Schema).

What may stand in ``POST /api/streams`` comes from the settings, so it cannot fall behind them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import Field, fields
from typing import Any

from config import Settings
from server.face import PRESENTER
from server.speech_voice import LONGEST_TEXT
from server.tokens import STREAM_ID
from server.told_limits import told
from server.uploads import FIELDS
from server.wishes import SOURCES

Json = dict[str, Any]

STREAM: Json = {"type": "string", "pattern": f"^{STREAM_ID.pattern}$"}
UPLOAD: Json = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_TYPES: dict[type, str] = {int: "integer", float: "number", str: "string", bool: "boolean"}
_TEXT, _NUMBER, _WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}
_FILE = {"type": "string", "format": "binary"}
_FACE = f"^(uploads/[0-9a-f]{{32}}|{PRESENTER})$"


def reference(name: str) -> Json:
    """To one of :func:`schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(settings: Settings) -> Json:
    """All that have a name.

    Args:
        settings: their defaults and limits are told.
    """
    return {
        "Problem": _object({"title": _TEXT, "status": _WHOLE, "detail": _TEXT}),
        "Wish": _wish(settings),
        **_streams(),
        **_speech_and_faces(),
        "EndingStream": _object({"id": STREAM, "state": {"const": "ending"}}),
        "Encoders": _encoders(),
        "Upload": _upload(),
        "Limits": _object({name: _TEXT if name == "voice" else _WHOLE for name in told(settings)}),
        "Access": _object({"control": {"enum": ["open", "token", "closed"]}}),
        "Health": _object({"status": {"const": "ok"}}),
        "Readiness": _readiness(),
    }


def upload_bodies() -> Json:
    """A file, by content type; in a form under any of the names that are taken."""
    form = {
        "type": "object",
        "properties": dict.fromkeys(FIELDS, _FILE),
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    return {"multipart/form-data": form, "application/octet-stream": _FILE}


def speech_bodies() -> Json:
    """What can be said, by content type."""
    text = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
    form = {"audio": _FILE, "text": text, "voice": _TEXT}
    return {
        "multipart/form-data": _object(form, optional=form),
        "application/octet-stream": _FILE,
        "application/json": _object({"text": text, "voice": _TEXT}, optional=("voice",)),
        **{f"audio/{kind}": _FILE for kind in ("wav", "flac", "ogg", "mpeg")},
    }


def _object(properties: Json, optional: Collection[str] = ()) -> Json:
    """A body: it may get further members, what is listed stays."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _streams() -> Json:
    playback = _object({"hls": _TEXT})
    stream = {
        "id": STREAM,
        "state": _TEXT,
        "playback": playback,
        "live_edge_age_seconds": {"type": ["number", "null"]},
    }
    started = {"id": STREAM, "state": {"const": "starting"}, "playback": playback}
    return {
        "Stream": _object(stream),
        "Streams": _object({"streams": {"type": "array", "items": reference("Stream")}}),
        "StartedStream": _object(started),
    }


def _speech_and_faces() -> Json:
    utterance = {
        "utterance": {"type": "string", "pattern": "^u[0-9a-f]+$"},
        "starts_in_seconds": _NUMBER,
        "duration_seconds": _NUMBER,
        "queued_seconds": _NUMBER,
    }
    face = _object({"image": {"type": "string", "pattern": _FACE}})
    change = {"change": {"type": "string", "pattern": "^f[0-9a-f]+$"}, "notes": _TEXTS}
    return {
        "Utterance": _object(utterance),
        "SpeechQueue": _object({"queued_seconds": _NUMBER}),
        "FaceWish": face | {"additionalProperties": False},
        "FaceChange": _object(change),
        "Dropped": _object({"dropped": _TEXTS}),
    }


def _encoders() -> Json:
    encoder = _object({"name": _TEXT, "works": {"type": "boolean"}})
    return _object(
        {
            "chosen": {"type": ["string", "null"]},
            "encoders": {"type": "array", "items": encoder},
        }
    )


def _upload() -> Json:
    of_pictures = {"width": _WHOLE, "height": _WHOLE}
    of_sounds = {"seconds": _NUMBER, "rate_hz": _WHOLE, "channels": _WHOLE}
    return _object(
        {
            "id": UPLOAD,
            "path": {"type": "string", "pattern": "^uploads/[0-9a-f]{32}$"},
            "type": {"enum": ["image", "audio"]},
            **of_pictures,
            **of_sounds,
            "expires_at": {"type": "string", "format": "date-time"},
        },
        optional=(*of_pictures, *of_sounds),
    )


def _readiness() -> Json:
    return _object(
        {
            "status": {"const": "ready"},
            "streams": _WHOLE,
            "starting": _WHOLE | {"description": "never live yet, and not yet too late"},
            "stale_streams": _WHOLE | {"description": "0"},
        }
    )


def _wish(settings: Settings) -> Json:
    """The body of ``POST /api/streams``; what it does not say is as the service's settings."""
    own = {
        "id": {**STREAM, "description": "empty: a random one"},
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
