"""A forwarding proxy before the service, one for each player: what it asked for, and when.

A player's own figures differ in what they mean; its requests do not.
"""

from __future__ import annotations

import gzip
import http.client
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import requests

from client.observe import next_position
from client.playlists import MediaPlaylist
from client.reader import read_media_playlist

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}
# As our packager names files: RUN-MSN.m4s, a part RUN-MSN.PART.m4s; .ts in the plain version.
SEGMENT = re.compile(r"/([^/]+)/[0-9a-f]+-(\d+)\.(?:m4s|ts)$")
PART = re.compile(r"/([^/]+)/[0-9a-f]+-(\d+)\.(\d+)\.m4s$")
UPSTREAM_SECONDS = 30
# As `lipstream check` allows for the arrival of a part.
LATE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a player; `at` is the wall clock when it came."""

    path: str
    query: str
    at: float
    status: int
    body: bytes = field(repr=False)  # of playlists only


@dataclass(slots=True)
class Record:
    """All requests of one player."""

    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def parts(self) -> int:
        return sum(bool(PART.search(r.path)) for r in self.requests if r.status == 200)

    @property
    def held_reloads(self) -> int:
        return sum("_HLS_msn=" in r.query for r in self.requests if r.status == 200)

    @property
    def video_rungs(self) -> tuple[str, ...]:
        """Directories of the video renditions that media were taken from."""
        matches = [PART.search(r.path) or SEGMENT.search(r.path) for r in self.requests]
        return tuple(sorted({m[1] for m in matches if m and not m[1].startswith("a")}))

    @property
    def refused(self) -> list[str]:
        return [f"{r.status} {r.path}?{r.query}" for r in self.requests if r.status >= 400]

    def made_at(self) -> float | None:
        """Wall clock of the first picture of the first video segment that was asked for."""
        asked = (m for r in self.requests if (m := SEGMENT.search(r.path)) and m[1][0] != "a")
        first = next(asked, None)
        return None if first is None else self._dates().get((first[1], int(first[2])))

    def part_seconds(self) -> float:
        """The part target, or 0 while no playlist has told it."""
        told = (p.part_target for p in self._playlists() if p.part_target)
        return float(next(told, 0))

    def part_age(self) -> float | None:
        """Median of the time from the first picture of a video part to the request for it."""
        dates, target = self._dates(), self.part_seconds()
        asked = [(r.at, m) for r in self.requests if (m := PART.search(r.path)) and m[1][0] != "a"]
        starts = [(at, dates.get((m[1], int(m[2]))), int(m[3]) * target) for at, m in asked]
        ages = [at - date - offset for at, date, offset in starts if date is not None]
        return statistics.median(ages) if ages else None

    def _dates(self) -> dict[tuple[str, int], float]:
        """Rendition and msn -> PROGRAM-DATE-TIME, from all playlists that went by."""
        return {
            (request.path.split("/")[-2], segment.msn): float(segment.wall)
            for request in self.requests
            if request.body
            for segment in read_media_playlist(request.body).every
            if segment.wall is not None
        }

    def _playlists(self) -> Iterator[MediaPlaylist]:
        return (read_media_playlist(r.body) for r in self.requests if r.body)


@contextmanager
def recorder(origin: str) -> Iterator[Record]:
    """A proxy of that origin on a port of its own."""
    with _Server(("127.0.0.1", 0), _Forward) as server:
        record = Record(f"http://127.0.0.1:{server.server_port}")
        server.upstream, server.record = urlsplit(origin), record  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield record
        server.shutdown()


class Punctuality:
    """Follows the parts of a stream itself while a player plays, to know whose fault a stall is.

    Args:
        playlist: address of a low-latency media playlist.
    """

    def __init__(self, playlist: str) -> None:
        self._playlist = playlist
        self._waits: list[float] = []
        self._target = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Punctuality:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(UPSTREAM_SECONDS)

    @property
    def is_late(self) -> bool:
        """Whether a part came later than rule 20 and a busy machine's scheduler allow."""
        return max(self._waits, default=0.0) > self._target + LATE_SECONDS

    def _follow(self) -> None:
        query, since = "", 0.0
        while not self._over.is_set():
            answer = requests.get(f"{self._playlist}{query}", timeout=UPSTREAM_SECONDS)
            if query:  # the first part came before anybody waited for it
                self._waits.append(time.monotonic() - since)
            since = time.monotonic()
            playlist = read_media_playlist(answer.content)
            self._target = float(playlist.part_target or 0)
            msn, part = next_position(playlist)
            query = f"?_HLS_msn={msn}&_HLS_part={part}"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Browsers drop connections when they close; anything else is a fault of this file."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Nagle would hold the second of two small writes back for 40 ms.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Any

    def setup(self) -> None:
        super().setup()
        upstream = self.server.upstream
        self._upstream = http.client.HTTPConnection(
            upstream.hostname, upstream.port, timeout=UPSTREAM_SECONDS
        )

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def do_GET(self) -> None:
        at = time.time()
        kept = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        try:
            self._upstream.request(self.command, self.path, headers=kept)
            answer = self._upstream.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._upstream.close()
            self.close_connection = True
            return
        self._keep(at, answer, body)
        self._reply(answer, body)

    do_HEAD = do_GET  # noqa: N815 - names of the standard library
    do_OPTIONS = do_GET  # noqa: N815

    def _keep(self, at: float, answer: http.client.HTTPResponse, body: bytes) -> None:
        url = urlsplit(self.path)
        packed = answer.getheader("Content-Encoding") == "gzip"
        text = body if url.path.endswith(".m3u8") else b""
        text = gzip.decompress(text) if packed else text
        self.server.record.requests.append(Request(url.path, url.query, at, answer.status, text))

    def _reply(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*HOP_BY_HOP, "content-length"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        if length is not None and answer.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: the record has it."""
