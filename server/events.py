"""``/api/streams/<id>/events``: what happens in a stream, as server-sent events.

Under the asgi worker the view only looks whether it may be: :mod:`server.events_asgi` then follows
the journal without a thread. Under gthread each listener has a thread, so there are few.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request

from config import Settings
from encoder.media_root import RUN
from journal import SUFFIX, Event, Journal
from server.listing import list_streams
from server.problems import problem
from server.watcher import FolderWatcher

# Key in the environment: whoever called sends the events himself, and wants to know of what.
FOLLOWED = "lipstream.followed_events"
# Proxies and phones cut what is silent for half a minute.
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b":\n\n"
_RETRY_MS = 2000
# Of all threads under gthread; the others are for who plays.
_SHARE_OF_THREADS = 4


@dataclass(frozen=True, slots=True)
class Following:
    """A listener's wish: the events of a stream after one of them; None: from now on."""

    stream: str
    after: int | None


def blueprint(settings: Settings, media_root: Path) -> Blueprint:
    """The route of events.

    Args:
        settings: which worker class runs it.
        media_root: entered already.
    """
    routes = Blueprint("events", __name__)
    listeners = settings.web_threads // _SHARE_OF_THREADS if settings.web_worker == "gthread" else 1
    events = _Events(media_root, listeners)
    routes.add_url_rule("/api/streams/<stream>/events", view_func=events.follow, methods=["GET"])
    return routes


class _Events:
    def __init__(self, media_root: Path, listeners: int) -> None:
        self._root = media_root
        self._listeners = listeners
        self._free = threading.BoundedSemaphore(listeners)
        self._watcher = FolderWatcher()

    def follow(self, stream: str) -> Response:
        """Events after the one that ``Last-Event-ID`` or ``?after=`` names, and all to come."""
        if stream not in list_streams(self._root):
            return problem(404, f"there is no stream {stream[:64]!r}; /api/streams lists them")
        last = request.headers.get("Last-Event-ID") or request.args.get("after", "")
        if last and not (last.isascii() and last.isdigit() and len(last) <= 18):
            return problem(400, f"{last[:40]!r} is no event's id: give one that was sent, or 0")
        following = Following(stream, int(last) if last else None)
        if FOLLOWED in request.environ:
            return _headed(Response(json.dumps(asdict(following))))
        if not self._free.acquire(blocking=False):
            response = problem(503, f"{self._listeners} listen already; ask again in some seconds")
            response.headers["Retry-After"] = "5"
            return response
        response = Response(self._told(following))
        response.call_on_close(self._free.release)
        return _headed(response)

    def _told(self, following: Following) -> Iterator[bytes]:
        told = Telling(self._root, following)
        yield told.greeting()
        while not told.is_over():
            news = self._watcher.wait_for(self._root / RUN, told.news, HEARTBEAT_SECONDS)
            yield news or HEARTBEAT


class Telling:
    """What one listener has been told, and what is new to him."""

    def __init__(self, media_root: Path, following: Following) -> None:
        self._root = media_root
        self._stream = following.stream
        self._journal = Journal(journal_path(media_root, following.stream))
        self._seen: tuple[int, int] | None = None  # of the journal's file
        self._after = self._newest() if following.after is None else following.after

    def greeting(self) -> bytes:
        """How things stand; a listener who comes back after it goes on from there."""
        figures = list_streams(self._root).get(self._stream, {})
        keys = ("state", "source", "encoder", "msn", "media_seconds")
        now = {key: figures[key] for key in keys if key in figures}
        return b"retry: %d\n" % _RETRY_MS + frame(Event(self._after, "now", now))

    def news(self) -> bytes | None:
        """What has happened since the last call; None: nothing."""
        seen = self._look()
        if seen is None or seen == self._seen:
            return None
        self._seen = seen
        events = self._journal.after(0)
        missed = events and 0 < self._after < events[0].id  # that one is not kept any more
        new = [event for event in events if event.id > self._after]
        if not new:
            return None
        start = frame(Event(self._after, "missed", {})) if missed else b""
        self._after = new[-1].id
        return start + b"".join(frame(event) for event in new)

    def is_over(self) -> bool:
        """Whether the stream is gone."""
        return self._look() is None and self._stream not in list_streams(self._root)

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._journal.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _newest(self) -> int:
        events = self._journal.after(0)
        return events[-1].id if events else 0


def frame(event: Event) -> bytes:
    """An event as it is sent (HTML Living Standard, 9.2)."""
    data = json.dumps(event.facts)
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def journal_path(media_root: Path, stream: str) -> Path:
    """The file that a listener follows."""
    return media_root / RUN / f"{stream}{SUFFIX}"


def read_following(body: bytes) -> Following:
    """What the view has allowed."""
    wish: dict[str, Any] = json.loads(body)
    return Following(**wish)


def _headed(response: Response) -> Response:
    response.mimetype = "text/event-stream"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold small events back
    return response
