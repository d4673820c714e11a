"""Playlists, init segments, segments and parts, straight from tmpfs (rules 31-41, 61-70).

A web process holds no stream state: the playlist file itself says how far the stream is.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, g, request, send_file
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from encoder.iframes import IFRAMES_NAME
from encoder.multivariant import MULTIVARIANT_NAME
from encoder.packager import DELTA_NAME, PLAYLIST_NAME
from encoder.playlist_reader import Position, read_position
from encoder.publish import GZIP_SUFFIX
from encoder.transport import TS_MULTIVARIANT_NAME
from server.directives import BadDirective, Directives
from server.holding import PutAside, began, hold_until
from server.problems import problem
from server.ranges import BEYOND_HEADERS, beyond, drop_odd_range
from server.snapshot import Snapshots
from server.watcher import FolderWatcher

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"  # 61
MEDIA_TYPES = {"v": "video/mp4", "a": "audio/mp4", "t": "video/mp2t", "s": "text/vtt"}
# A stream that starts shows its first playlist well within this.
START_SECONDS = 6.0
# Rule 63, in target durations: what was found, and what was not.
FOUND_BLOCKING_TD, FOUND_TD = 6, 0.5
MISSING_BLOCKING_TD, MISSING_TD = 4, 1
# Used where no playlist says it.
USUAL_TARGET_DURATION = 2
# 63: six of the longest target duration that a stream can have. A name never gets other bytes, so
# no playlist has to be read for each file to know its own.
FOUND_MEDIA_SECONDS = 6 * 10

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_RENDITION = re.compile(r"[avts]\d{1,2}")
_MEDIA = re.compile(r"[0-9a-f]{1,24}-(init\.mp4|\d{1,18}(\.\d{1,4})?\.(m4s|vtt)|\d{1,18}\.ts)")
# All who wait for a playlist look at the same text when it has changed.
_read_position = lru_cache(maxsize=16)(read_position)
_EXPOSED = "Age, Date, Content-Length, Content-Range"


def blueprint(live: Path, ffmpeg: str, older: Path | None = None) -> Blueprint:
    """The routes below ``/live``.

    Args:
        live: folder with one folder per stream.
        ffmpeg: the setting, for snapshots.
        older: folder with the same for segments that have left ``live``.
    """
    routes = Blueprint("hls", __name__, url_prefix="/live")
    origin = _Origin(live, Snapshots(ffmpeg), older)
    methods = ["GET", "HEAD", "OPTIONS"]
    for rule, view in (
        (f"/<stream>/{MULTIVARIANT_NAME}", origin.multivariant),
        (f"/<stream>/{TS_MULTIVARIANT_NAME}", origin.ts_multivariant),
        ("/<stream>/snapshot.jpg", origin.snapshot),
        (f"/<stream>/<rendition>/{PLAYLIST_NAME}", origin.media_playlist),
        (f"/<stream>/<rendition>/{IFRAMES_NAME}", origin.iframes),
        ("/<stream>/<rendition>/<name>", origin.media),
    ):
        routes.add_url_rule(rule, view_func=view, methods=methods, provide_automatic_options=False)
    routes.before_request(_note_time)
    routes.register_error_handler(PutAside, lambda _: Response(status=503))
    routes.register_error_handler(RequestedRangeNotSatisfiable, _beyond)
    return routes


def with_cors(response: Response) -> Response:
    """CORS on every answer, errors too (69): a page of any origin may play a stream."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    response.headers["Timing-Allow-Origin"] = "*"
    return response


class _Origin:
    def __init__(self, live: Path, snapshots: Snapshots, older: Path | None) -> None:
        self._live = live.resolve()
        self._places = [self._live, *([older.resolve()] if older else [])]
        self._snapshots = snapshots
        self._watcher = FolderWatcher()

    def multivariant(self, stream: str) -> Response:
        """The multivariant playlist; held for a moment while the stream starts."""
        return self._multivariant(stream, MULTIVARIANT_NAME)

    def ts_multivariant(self, stream: str) -> Response:
        """The same for MPEG-TS; 404 where the stream has none."""
        folder = self._folder(stream)
        # It is written before the other one: where only that is there, this will never be.
        live = folder is not None and (folder / MULTIVARIANT_NAME).exists()
        if folder is None or (live and not (folder / TS_MULTIVARIANT_NAME).exists()):
            return _unknown()
        return self._multivariant(stream, TS_MULTIVARIANT_NAME)

    def _multivariant(self, stream: str, name: str) -> Response:
        folder = self._folder(stream)
        if folder is None:
            return _unknown()
        if request.method == "OPTIONS":
            return _preflight()
        wait = START_SECONDS if request.method == "GET" else 0
        path = folder / name
        text = hold_until(self._watcher, folder, lambda: _read(path), wait)
        if text is None:
            return _later("the stream is starting; ask again in a second")
        return _playlist(path, text, USUAL_TARGET_DURATION * FOUND_TD)

    def snapshot(self, stream: str) -> Response:
        """The newest picture as a JPEG."""
        folder = self._folder(stream)
        if folder is None:
            return _unknown()
        if request.method == "OPTIONS":
            return _preflight()
        picture = self._snapshots.newest(folder)
        if picture is None:
            return _later("there is no picture yet; ask again in a second")
        return _cached(Response(picture, mimetype="image/jpeg"), 1)

    def media_playlist(self, stream: str, rendition: str) -> Response:
        """A media playlist, held until it has what the directives ask for."""
        return self._media_playlist(stream, rendition, PLAYLIST_NAME)

    def iframes(self, stream: str, rendition: str) -> Response:
        """The I-frame playlist of a rendition, held in the same way."""
        return self._media_playlist(stream, rendition, IFRAMES_NAME)

    def _media_playlist(self, stream: str, rendition: str, name: str) -> Response:
        folder = self._folder(stream, rendition)
        text = _read(folder / name) if folder else None
        if folder is None or text is None:
            return _unknown()
        if request.method == "OPTIONS":
            return _preflight()
        position = _read_position(text)
        try:
            # 41: after the end they are not even looked at.
            wanted = Directives() if position.ended else Directives.parse(request.args)
            wanted.check_advance(position)
        except BadDirective as error:
            return _cached(problem(400, str(error)), MISSING_BLOCKING_TD * position.target_duration)
        return self._reload(folder / name, text, wanted, position)

    def _reload(self, path: Path, text: str, wanted: Directives, position: Position) -> Response:
        target_duration = position.target_duration
        folder, age = path.parent, FOUND_TD * target_duration
        if wanted.msn is not None and request.method != "HEAD":  # 70: HEAD never blocks
            check = _when(path, wanted.satisfied)
            ready = hold_until(self._watcher, folder, check, 3 * target_duration)
            if ready is None:  # 40
                return _later("no new media", MISSING_BLOCKING_TD * target_duration)
            text, age = ready, FOUND_BLOCKING_TD * target_duration
        has_delta = wanted.skip and path.name == PLAYLIST_NAME
        delta = _read(folder / DELTA_NAME) if has_delta else None
        if delta is not None:  # 42; it is at least as new as the playlist that was read
            return _timed(_playlist(folder / DELTA_NAME, delta, age), path)
        return _timed(_playlist(path, text, age), path)

    def media(self, stream: str, rendition: str, name: str) -> Response:
        """An init segment, a segment or a part; the hinted part is held until it exists (33)."""
        folder = self._folder(stream, rendition)
        if folder is None:
            return _unknown()
        if not _MEDIA.fullmatch(name):
            return _unknown(_target_duration(folder))
        if request.method == "OPTIONS":
            return _preflight()
        drop_odd_range(request.environ)
        found = self._find(stream, rendition, name)
        if found is None:
            self._await_hinted(folder, name)
            found = self._find(stream, rendition, name)
        if found is None:
            return _unknown(_target_duration(folder))
        path, response = found
        return _cached(_timed(response, path), FOUND_MEDIA_SECONDS)

    def _find(self, stream: str, rendition: str, name: str) -> tuple[Path, Response] | None:
        """A media file, first where it begins: it stands in the next place before it goes there."""
        for place in self._places:
            path = place / stream / rendition / name
            if path.resolve() != path:  # a link leads out of the media
                continue
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                # A name never gets other bytes: it is its own strong ETag, on every host.
                kind = MEDIA_TYPES[rendition[0]]
                return path, send_file(path, kind, conditional=True, etag=name)
        return None

    def _await_hinted(self, folder: Path, name: str) -> None:
        if request.method != "GET":
            return
        position = _position(folder)
        if position is None or position.hint_uri != name:  # 35
            return

        def is_decided() -> bool | None:
            """It is there; or it will never be, as the stream ended or went on with others."""
            if (folder / name).is_file():
                return True
            now = _position(folder)
            return True if now is None or now.ended or now.hint_uri != name else None

        hold_until(self._watcher, folder, is_decided, 3 * position.target_duration)

    def _folder(self, stream: str, rendition: str = "") -> Path | None:
        if not _ID.fullmatch(stream) or (rendition and not _RENDITION.fullmatch(rendition)):
            return None
        folder = self._live / stream / rendition
        return folder if folder.is_dir() and folder.resolve() == folder else None


def _when(path: Path, satisfied: Callable[[Position], bool]) -> Callable[[], str | None]:
    def check() -> str | None:
        text = _read(path)
        return text if text is not None and satisfied(_read_position(text)) else None

    return check


def _position(folder: Path) -> Position | None:
    """How far a rendition is; None: it is gone."""
    text = _read(folder / PLAYLIST_NAME)
    return None if text is None else _read_position(text)


def _target_duration(folder: Path) -> int:
    with contextlib.suppress(ValueError):  # a playlist that is none: its own request says so
        if position := _position(folder):
            return position.target_duration
    return USUAL_TARGET_DURATION


def _read(path: Path) -> str | None:
    try:
        return None if path.is_symlink() else path.read_text("utf-8")
    except FileNotFoundError:
        return None


def _playlist(path: Path, text: str, max_age_seconds: float) -> Response:
    """A playlist, as gzip where the client takes it: compressed once per part, for all (62)."""
    response = Response(mimetype=PLAYLIST_TYPE)
    packed = _read_packed(path) if request.accept_encodings.quality("gzip") > 0 else None
    if packed is not None:
        response.data = packed
        response.headers["Content-Encoding"] = "gzip"
    else:
        response.data = text.encode()
    response.headers["Vary"] = "Accept-Encoding"
    return _cached(response, max_age_seconds)


def _read_packed(path: Path) -> bytes | None:
    packed = path.with_name(path.name + GZIP_SUFFIX)
    try:
        return None if packed.is_symlink() else packed.read_bytes()
    except FileNotFoundError:
        return None


def _note_time() -> None:
    g.began = began()


def _timed(response: Response, path: Path) -> Response:
    """Server-Timing: how long the request was held, and how old the newest media then was.

    Of several that were held together it is the longest hold: that of the first.
    """
    hold_ms = (time.monotonic() - g.began) * 1000
    try:
        age_ms = max(0.0, (time.time() - path.stat().st_mtime) * 1000)
    except FileNotFoundError:
        age_ms = 0.0
    response.headers["Server-Timing"] = f"hold;dur={hold_ms:.1f}, age;dur={age_ms:.1f}"
    return response


def _cached(response: Response, max_age_seconds: float) -> Response:
    response.headers["Cache-Control"] = f"public, max-age={max(1, int(max_age_seconds))}"
    return response


def _unknown(target_duration: int = USUAL_TARGET_DURATION) -> Response:
    response = problem(404, "there is no such stream or file; it may have left the window")
    return _cached(response, MISSING_TD * target_duration)


def _later(detail: str, max_age_seconds: float = MISSING_TD * USUAL_TARGET_DURATION) -> Response:
    response = problem(503, detail)
    response.headers["Retry-After"] = "1"
    return _cached(response, max_age_seconds)


def _beyond(error: RequestedRangeNotSatisfiable) -> Response:
    """A range that begins behind the end of the file (66)."""
    file_bytes = error.length or 0
    response = problem(416, beyond(file_bytes))
    response.headers["Content-Range"] = f"bytes */{file_bytes}"
    response.headers.extend(BEYOND_HEADERS)
    return response


def _preflight() -> Response:
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = "Range"
    response.headers["Access-Control-Max-Age"] = "86400"
    return _cached(response, FOUND_MEDIA_SECONDS)
