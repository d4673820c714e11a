"""What a request brings to be said: a sound, in a form or as its body, or a text."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from flask import Request
from werkzeug.exceptions import BadRequest
from werkzeug.formparser import FormDataParser

from server.errors import SpeechRefused

PARTIAL = ".partial"
# Left behind by a web process that was killed: nothing takes so long to receive.
LEFT_BEHIND_SECONDS = 600
FIELD = "audio"
KINDS = "a WAV, FLAC, OGG, Opus or MP3 file"
_PIECE_BYTES = 64 * 1024
# What stands around the file in a form.
FORM_BYTES, _FORM_PARTS = 16 * 1024, 8
# The parser of forms holds a piece, the rest of the one before, and the small fields.
_PARSER_BYTES = 4 * _PIECE_BYTES


@dataclass(frozen=True, slots=True)
class Received:
    """Something to say: a sound file, or a text."""

    path: Path  # of the sound; where there is a text, its sound can be written there
    text: str = ""
    voice: str = ""


@contextmanager
def received(asked: Request, folder: Path, most_bytes: int) -> Iterator[Received]:
    """Lend what a request brings; a file that nobody has taken by the end of the block goes.

    Args:
        asked: its body has not been read.
        folder: where files are received; made if it is not there.
        most_bytes: of a sound file.

    Raises:
        SpeechRefused: there is nothing to say in it, or too much.
        HTTPException: it is no request that can be read.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    _sweep(folder)
    path = folder / (secrets.token_hex(16) + PARTIAL)
    try:
        yield _receive(asked, path, most_bytes)
    finally:
        path.unlink(missing_ok=True)


def _receive(asked: Request, path: Path, most_bytes: int) -> Received:
    asked.max_content_length = most_bytes + FORM_BYTES
    if (asked.content_length or 0) > most_bytes + FORM_BYTES:
        raise _too_large(most_bytes)
    kind = asked.mimetype
    if kind == "application/json":
        return _text_in(path, asked.get_json(silent=True))
    if kind == "multipart/form-data":
        return _receive_form(asked, path, most_bytes)
    if kind == "application/x-www-form-urlencoded":
        return _text_in(path, asked.form)
    if not (kind.startswith("audio/") or kind in ("application/ogg", "application/octet-stream")):
        raise SpeechRefused(
            415,
            f"the body is {kind[:80] or 'of no type'}: send {KINDS} as audio/*, a form with the "
            f"field {FIELD!r}, or a text",
        )
    with _Sink(path, most_bytes) as sink:
        shutil.copyfileobj(asked.stream, sink, _PIECE_BYTES)
    return _with_sound(path)


def _receive_form(asked: Request, path: Path, most_bytes: int) -> Received:
    sinks: list[_Sink] = []

    def one_file(*_: object, **__: object) -> IO[bytes]:
        if sinks:
            raise SpeechRefused(400, "the form holds several files; send one after the other")
        sinks.append(_Sink(path, most_bytes))
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
        return _text_in(path, form)
    if FIELD not in files:
        found = next(iter(files))[:80]
        raise SpeechRefused(400, f"the form's file is called {found!r}; call it {FIELD!r}")
    return _with_sound(path)


def _with_sound(path: Path) -> Received:
    if not path.stat().st_size:
        raise SpeechRefused(400, f"the sound is empty: send {KINDS}")
    return Received(path)


def _text_in(path: Path, body: Any) -> Received:
    text, voice = (body.get(key, "") if hasattr(body, "get") else "" for key in ("text", "voice"))
    if not (isinstance(text, str) and isinstance(voice, str) and text.strip()):
        raise SpeechRefused(400, f"there is nothing to say: send {KINDS}, or a 'text'")
    return Received(path, text.strip(), voice)


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"*{PARTIAL}"):
        try:
            if time.time() - path.stat().st_mtime > LEFT_BEHIND_SECONDS:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # another process was faster


def _too_large(most_bytes: int) -> SpeechRefused:
    return SpeechRefused(
        413, f"{most_bytes} bytes are the most (setting max_speech_bytes); send it in pieces"
    )


class _Sink:
    """A file that is being received; it never grows beyond its limit."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._file = path.open("xb")
        self._most_bytes = most_bytes
        self._written = 0

    def write(self, data: bytes) -> int:
        self._written += len(data)
        if self._written > self._most_bytes:
            raise _too_large(self._most_bytes)
        try:
            return self._file.write(data)
        except OSError as error:
            raise SpeechRefused(507, f"there is no room for it: {error.strerror}") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        """As the parser of forms wants it."""
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
