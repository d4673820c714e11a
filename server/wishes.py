"""The JSON body of ``POST /api/streams``, checked: what a stream shall be."""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields, replace
from typing import Any

import config
from config import INGEST, SILENT, TESTCARD, ConfigError, Settings
from server.tokens import STREAM_ID

SOURCES = ("avatar", "camera", "file", TESTCARD, INGEST)
# What belongs to each kind of source, beside its type.
_SOURCE_KEYS = {
    "avatar": ("image", "audio"),
    "camera": ("device", "microphone"),
    "file": ("name",),
    TESTCARD: (),
    INGEST: (),
}
# Beside the settings that a stream may have for itself.
_OWN_KEYS = ("id", "source")
# What `lipstream render` takes for single frames, by its flags and as the model's own tools call
# it: docs/decisions/0032-what-a-live-face-is-not-asked.md.
_OF_SINGLE_FRAMES = ("control", "ctrl_info", "frames", "fade_in", "fade_out")

# From a name and what it must be (image, audio: an upload; file: of film_folder) to a path.
Resolve = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Wish:
    """A stream that is wished."""

    id: str
    changes: dict[str, Any]  # settings that differ from the service's

    def settings(self, service: Settings) -> Settings:
        """The settings of the stream."""
        return replace(service, stream=self.id, **self.changes)


def read_wish(body: object, resolve: Resolve) -> Wish:
    """Check a body.

    Args:
        body: parsed JSON, from anyone.
        resolve: finds uploads and films.

    Raises:
        ConfigError: what is wrong, and what would be right.
    """
    if not isinstance(body, dict):
        raise ConfigError('the body must be a JSON object, such as {} or {"id": "my-stream"}')
    known = {item.name: item for item in fields(Settings) if item.metadata["per_stream"]}
    # it waits to be spoken to
    changes = {"source": "avatar", "image": "", "audio": SILENT, "microphone": ""}
    for key, value in body.items():
        if key in known:
            changes[key] = _value(known[key], value)
        elif key in _OF_SINGLE_FRAMES:
            raise ConfigError(
                f"{key} is for a sound that is known as a whole, as `lipstream render` has it: a "
                "live stream has no frame that is known beforehand, and lips come from rest and "
                "go back to it by themselves; what is asked of every frame is overall_control"
            )
        elif key not in _OWN_KEYS:
            raise ConfigError(_unknown(key, [*_OWN_KEYS, *known]))
    changes |= _source(body.get("source", {"type": "avatar"}), resolve)
    return Wish(_stream_id(body), changes)


def _value(item: Field[Any], value: object) -> Any:
    value = config.typed(item, value, "the body")
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{item.name} holds a NUL character")
    config.check(item, value)
    return value


def _stream_id(body: Mapping[str, object]) -> str:
    wished = body.get("id", f"s{secrets.token_hex(8)}")  # 64 bits: nobody guesses it
    if not isinstance(wished, str) or not STREAM_ID.fullmatch(wished):
        raise ConfigError(
            f"id is {str(wished)[:80]!r}: use 1 to 63 small letters, digits and hyphens"
        )
    return wished


def _source(source: object, resolve: Resolve) -> dict[str, str]:
    if not isinstance(source, dict):
        raise ConfigError('source must be an object, such as {"type": "avatar"}')
    kind = source.get("type")
    _choice("source.type", kind, SOURCES)
    keys = _SOURCE_KEYS[str(kind)]
    for key, value in source.items():
        if key != "type" and key not in keys:
            raise ConfigError(f"source: {_unknown(key, ['type', *keys])}")
        if not isinstance(value, str):
            raise ConfigError(f"source.{key} must be text")
    if kind == "avatar":
        given = {key: source[key] for key in keys if source.get(key)}
        return {"source": "avatar"} | {key: resolve(name, key) for key, name in given.items()}
    if kind == "camera":
        device = _device(source.get("device", "0"))
        return {"source": f"camera:{device}", "microphone": source.get("microphone", "")}
    if kind == "file":
        return {"source": f"file:{resolve(source.get('name', ''), 'file')}"}
    return {"source": str(kind)}


_DEVICE = re.compile(r"\d{1,3}|/dev/video\d{1,3}|(rtsp|rtsps|http|https)://[!-~]{1,1000}")


def _device(device: str) -> str:
    if not _DEVICE.fullmatch(device):
        raise ConfigError(
            f"source.device is {device[:80]!r}: give a number, /dev/videoN, "
            "or an rtsp:// or http:// address"
        )
    return device


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {str(value)[:80]!r}: choose one of {', '.join(choices)}")


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"there is nothing called {key[:80]!r}; {hint}"
