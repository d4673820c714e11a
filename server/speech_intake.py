"""What a request brings to be said: a sound, in a form or as its body, or a text.

A sound is decoded and written anew by :mod:`server.inspection`, as an upload is: the worker that
feeds a stream never opens a stranger's bytes.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from flask import Request
from werkzeug.exceptions import BadRequest, ClientDisconnected
from werkzeug.formparser import FormDataParser

from config import Settings
from server.bodies import timed
from server.errors import SpeechRefused, UploadRefused
from server.inspection import Order, inspect
from server.upload_store import Sink

PARTIAL = ".partial"
# Left behind by a web process that was killed: nothing takes so long to receive.
LEFT_BEHIND_SECONDS = 600
FIELD = "audio"
KINDS = "a WAV, FLAC, OGG, Opus or MP3 file"
_JSON, _FORM, _FIELDS = (
    "application/json",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
)
_SOUND = ("application/ogg", "application/octet-stream")  # and audio/*
_PIECE_BYTES = 64 * 1024
# A text of the longest kind, each of its characters escaped, has less than half of it.
_TEXT_BYTES = 64 * 1024
# What stands around the file in a form.
_FORM_BYTES, _FORM_PARTS = 16 * 1024, 8
# The parser of forms holds a piece, the rest of the one before, and the small fields.
_PARSER_BYTES = 4 * _PIECE_BYTES
# Each may need the memory of the longest sound.
_INSPECTING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Received:
    """Something to say: a sound file, or a text."""

    path: Path  # of the sound; where there is a text, its sound can be written there
    text: str = ""
    voice: str = ""


@contextmanager
def received(asked: Request, folder: Path, settings: Settings) -> Iterator[Received]:
    """Lend what a request brings; a file that nobody has taken by the end of the block goes.

    Args:
        asked: its headers have been checked, its body has not been read.
        folder: where files are received; made if it is not there.
        settings: the limits.

    Raises:
        SpeechRefused, UploadRefused: there is nothing to say in it, or too much.
        HTTPException: it is no request that can be read.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    _sweep(folder)
    raw, path = (folder / (secrets.token_hex(16) + PARTIAL) for _ in range(2))
    try:
        with timed(asked.environ):
            text = _receive(asked, raw, settings.max_speech_bytes)
        if not text:
            _rewrite(raw, path, settings)
        yield Received(path, *text)
    finally:
        for each in (raw, path):
            each.unlink(missing_ok=True)


def _rewrite(raw: Path, path: Path, settings: Settings) -> None:
    order = Order(str(raw), str(path), settings.max_image_pixels, settings.max_audio_seconds)
    with _INSPECTING:
        found = inspect(order)["type"]
    if found != "audio":
        raise SpeechRefused(415, f"it is a picture; send {KINDS}")


def check_headers(asked: Request, settings: Settings) -> None:
    """See before anything is read whether it can be something to say.

    Raises:
        SpeechRefused, UploadRefused: it cannot.
    """
    most_bytes, kind = settings.max_speech_bytes, asked.mimetype
    asked.max_content_length = most_bytes + _FORM_BYTES
    if kind in (_JSON, _FIELDS):
        asked.max_content_length = _TEXT_BYTES
        if (asked.content_length or 0) > _TEXT_BYTES:
            raise _too_much_text()
    if (asked.content_length or 0) > most_bytes + _FORM_BYTES:
        raise UploadRefused(
            413, f"{most_bytes} bytes are the most (setting max_speech_bytes); send it in pieces"
        )
    if not (kind in (_JSON, _FORM, _FIELDS, *_SOUND) or kind.startswith("audio/")):
        raise SpeechRefused(
            415,
            f"the body is {kind[:80] or 'of no type'}: send {KINDS} as audio/*, a form with the "
            f"field {FIELD!r}, or a text",
        )


def _receive(asked: Request, raw: Path, most_bytes: int) -> tuple[str, str] | tuple[()]:
    """Write the sound into a file; where there is none: the text and its voice."""
    kind = asked.mimetype
    if kind == _JSON:
        return _text_in(_json_in(asked))
    if kind == _FORM:
        return _receive_form(asked, raw, most_bytes)
    if kind == _FIELDS:
        return _text_in(asked.form)
    with _sink(raw, most_bytes) as sink:
        shutil.copyfileobj(asked.stream, sink, _PIECE_BYTES)
        if sink.written < (asked.content_length or 0):  # gthread ends such a body silently
            raise ClientDisconnected("the body ended early")
    _require_sound(raw)
    return ()


def _receive_form(asked: Request, raw: Path, most_bytes: int) -> tuple[str, str] | tuple[()]:
    sinks: list[Sink] = []

    def one_file(*_: object, **__: object) -> IO[bytes]:
        if sinks:
            raise SpeechRefused(400, "the form holds several files; send one after the other")
        sinks.append(Sink(raw, most_bytes))
        return cast("IO[bytes]", sinks[0])

    parser = FormDataParser(
        one_file, max_form_memory_size=_PARSER_BYTES, max_form_parts=_FORM_PARTS, silent=False
    )
    try:
        _stream, form, files = parser.parse(
            asked.stream, asked.mimetype, asked.content_length, asked.mimetype_params
        )
    except ValueError as error:
        raise BadRequest(f"this is no form that can be read: {error}") from error
    finally:
        for sink in sinks:
            sink.close()
    if not sinks:
        return _text_in(form)
    if FIELD not in files:
        called = str(next(iter(files), ""))[:80]  # it may have no name
        raise SpeechRefused(400, f"the form's file is called {called!r}; call it {FIELD!r}")
    _require_sound(raw)
    return ()


@contextmanager
def _sink(path: Path, most_bytes: int) -> Iterator[Sink]:
    sink = Sink(path, most_bytes)
    try:
        yield sink
    finally:
        sink.close()


def _require_sound(path: Path) -> None:
    if not path.stat().st_size:
        raise SpeechRefused(400, f"the sound is empty: send {KINDS}")


def _json_in(asked: Request) -> object:
    """What the body holds; None if that is no JSON, or JSON too deep to be read."""
    # A body in chunks tells no length, and is not read any further.
    if len(asked.get_data()) >= _TEXT_BYTES:
        raise _too_much_text()
    try:
        return asked.get_json(silent=True)
    except RecursionError:
        return None


def _too_much_text() -> UploadRefused:
    return UploadRefused(413, f"{_TEXT_BYTES} bytes of text are the most; send it in pieces")


def _text_in(body: Any) -> tuple[str, str]:
    text, voice = (body.get(key, "") if hasattr(body, "get") else "" for key in ("text", "voice"))
    if not (isinstance(text, str) and isinstance(voice, str) and text.strip()):
        raise SpeechRefused(400, f"there is nothing to say: send {KINDS}, or a 'text'")
    return text.strip(), voice


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"*{PARTIAL}"):
        try:
            if time.time() - path.stat().st_mtime > LEFT_BEHIND_SECONDS:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # another process was faster
