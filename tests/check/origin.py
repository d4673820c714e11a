"""The made-up stream behind HTTP, and one fault that may be put into it.

Pure: :meth:`Origin.answer` says what is answered and at which instant, so a test need not wait for
it. :mod:`tests.check.serving` puts the same behind a real socket.
"""

from __future__ import annotations

import gzip
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from urllib.parse import parse_qs, urlsplit

from tests.check.stream import (
    BY_NAME,
    MULTIVARIANT,
    PART_TARGET,
    TARGET_DURATION,
    WINDOW,
    Stream,
    Track,
)

ADVANCE_PARTS = math.ceil(3 / PART_TARGET)
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Request:
    """One question at an instant."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    now: Fraction
    nth: int  # how often this path was asked for with this method, from 0

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]

    @property
    def is_playlist(self) -> bool:
        """Whether a media playlist is asked for."""
        return self.name == "media.m3u8"

    @property
    def is_media(self) -> bool:
        """Whether a file of media is."""
        return self.name.endswith((".m4s", ".mp4", ".vtt"))

    @property
    def track(self) -> Track | None:
        """The rendition."""
        return BY_NAME.get(self.path.split("/")[-2])


@dataclass(frozen=True)
class Reply:
    """One answer. ``at``: the instant at which it leaves; ``spread``: how long its body takes."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    at: Fraction = Fraction(0)
    spread: float = 0.001

    def with_text(self, change: Callable[[str], str]) -> Reply:
        """With another playlist."""
        if not self.body:
            return self
        return replace(self, body=change(self.body.decode()).encode())


Fault = Callable[[Request, Reply], Reply]


def sound(_request: Request, reply: Reply) -> Reply:
    """No fault."""
    return reply


class Origin:
    """Answers for a stream.

    Args:
        stream: what exists when.
        fault: changes answers before they are packed, cut and sent.
        packing: changes them afterwards.
    """

    def __init__(self, stream: Stream, fault: Fault = sound, packing: Fault = sound) -> None:
        self._stream = stream
        self._fault = fault
        self._packing = packing
        self._asked: Counter[tuple[str, str]] = Counter()

    def answer(self, method: str, url: str, headers: Mapping[str, str], now: Fraction) -> Reply:
        """What is answered, and when."""
        parts = urlsplit(url)
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        nth = self._asked[method, parts.path]
        self._asked[method, parts.path] += 1
        lower = {name.lower(): value for name, value in headers.items()}
        request = Request(method, parts.path, query, lower, now, nth)
        reply = self._fault(request, self._with_cors(self._reply(request)))
        reply = replace(reply, at=max(reply.at, now))
        return self._packing(request, _packed(request, reply))

    def _with_cors(self, reply: Reply) -> Reply:
        exposed = "Age, Date, Content-Length, Content-Range"
        cors = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": exposed}
        return replace(reply, headers=reply.headers | cors)

    def _reply(self, request: Request) -> Reply:
        if request.method == "OPTIONS":
            allowed = {"Access-Control-Allow-Methods": "GET, HEAD, OPTIONS"}
            return Reply(204, allowed | {"Access-Control-Allow-Headers": "Range"})
        if request.name == "index.m3u8":
            return _playlist(MULTIVARIANT, 1, request.now)
        track = request.track
        if track is None:
            return _failure(404, TARGET_DURATION)
        if request.name == "iframes.m3u8":
            return _playlist(self._stream.iframes(track, request.now), 1, request.now)
        return (
            self._media_playlist(request, track)
            if request.is_playlist
            else (self._media(request, track))
        )

    def _media_playlist(self, request: Request, track: Track) -> Reply:
        skip, now = "_HLS_skip" in request.query, request.now
        msn, part = request.query.get("_HLS_msn"), request.query.get("_HLS_part")
        if self._stream.ended(track, now):
            return _playlist(self._stream.playlist(track, now), 1, now)
        if not all(text is None or text.isdecimal() for text in (msn, part)) or (part and not msn):
            return _failure(400, 4 * TARGET_DURATION)
        if msn is None:
            return _playlist(self._stream.playlist(track, now, skip=skip), 1, now)
        wanted = int(msn), int(part) if part is not None else None
        if self._too_far(track, now, *wanted):
            return _failure(400, 4 * TARGET_DURATION)
        at = now
        while request.method == "GET" and not self._has(track, at, *wanted):
            change = self._stream.next_change(track, at)
            if change is None:
                break
            at = change
        return _playlist(self._stream.playlist(track, at, skip=skip), 6 * TARGET_DURATION, at)

    def _too_far(self, track: Track, now: Fraction, msn: int, part: int | None) -> bool:
        last = self._stream.last_msn(track, now)
        listed = self._stream.parts_open(track, now) if msn == last + 1 else 0
        return msn > last + 2 or (msn > last and (part or 0) >= listed + ADVANCE_PARTS)

    def _has(self, track: Track, now: Fraction, msn: int, part: int | None) -> bool:
        last, opened = self._stream.last_msn(track, now), self._stream.parts_open(track, now)
        if part is not None and part >= len(track.parts(msn)):
            msn, part = msn + 1, 0
        return msn <= last or (msn == last + 1 and part is not None and part < opened)

    def _media(self, request: Request, track: Track) -> Reply:
        found, now = self._stream.media(track, request.name), request.now
        if found is None:
            return _failure(404, TARGET_DURATION)
        body, published = found
        last, opened = self._stream.last_msn(track, now), self._stream.parts_open(track, now)
        hinted = f"{self._stream.run(last + 1)}-{last + 1}.{opened}.{track.suffix}"
        is_hinted = request.name == hinted and request.method == "GET" and self._stream.parts
        if published > now and not is_hinted:
            return _failure(404, TARGET_DURATION)
        is_part = request.name.count(".") > 1
        kept = 8 * TARGET_DURATION if is_part else (2 * WINDOW + 1) * TARGET_DURATION
        if "init" not in request.name and published + kept < now:
            return _failure(404, TARGET_DURATION)
        kind = {"vide": "video/mp4", "soun": "audio/mp4", "text": "text/vtt"}[track.kind]
        headers = {"Content-Type": kind, "Cache-Control": "public, max-age=3600"}
        return Reply(200, headers, body, max(published, now))


def _playlist(text: str, age: int, at: Fraction) -> Reply:
    headers = {"Content-Type": PLAYLIST_TYPE, "Cache-Control": f"public, max-age={age}"}
    return Reply(200, headers | {"Vary": "Accept-Encoding"}, text.encode(), at)


def _failure(status: int, age: int) -> Reply:
    headers = {"Content-Type": "application/problem+json"}
    return Reply(status, headers | {"Cache-Control": f"public, max-age={age}"}, b"{}")


def _packed(request: Request, reply: Reply) -> Reply:
    """gzip, ranges, Content-Length and HEAD, in this order."""
    headers, body, status = dict(reply.headers), reply.body, reply.status
    kind = headers.get("Content-Type", "")
    if kind == PLAYLIST_TYPE and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked and status == 200 and kind != PLAYLIST_TYPE:
        size = len(body)
        first = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        last = min(int(asked[2]) if asked[1] and asked[2] else size - 1, size - 1)
        status = 206 if first < size else 416
        headers["Content-Range"] = (
            f"bytes {first}-{last}/{size}" if first < size else (f"bytes */{size}")
        )
        body = body[first : last + 1]
    if status != 204:
        headers["Content-Length"] = str(len(body))
    if request.method == "HEAD":
        body = b""
    return replace(reply, status=status, headers=headers, body=body)
