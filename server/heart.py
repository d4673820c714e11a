"""Whether a service makes progress; only then is its service manager told that it lives.

A process that ended is not looked for here: whoever supervises it is at work on it already, and a
restart of everything would only cost the streams that are well. What counts is a process that is
there and does nothing. Clocks are monotonic: a wall clock that jumps must not kill a service.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from logs import event
from server.notify import Notifier

# An encoder process tells of itself twice a second; so long without a word, it is stuck.
SILENT_SECONDS = 10.0
# Before its first word it may wait for a source (`slate_after_seconds`) and load a driver.
START_SECONDS = 90.0
# A web process answers its health check in milliseconds.
ANSWER_SECONDS = 3.0
# How often it is looked.
LOOK_SECONDS = 5.0

log = logging.getLogger(__name__)


class Runner(Protocol):
    """What is asked of a child process."""

    name: str
    began: float  # monotonic

    @property
    def running(self) -> bool:
        """Whether it lives."""


class Worked(Protocol):
    """What is asked of a stream."""

    children: Sequence[Runner]
    playlist: Path


class Progress:
    """When files last changed, by our own clock.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._seen: dict[Path, tuple[int, float]] = {}

    def last_change(self, path: Path) -> float:
        """Since it was first asked after; 0.0 while there is no such file."""
        try:
            changed_ns = path.stat().st_mtime_ns
        except OSError:
            return 0.0
        known, since = self._seen.get(path, (0, 0.0))
        if changed_ns != known:
            known, since = self._seen[path] = changed_ns, self.clock()
        return since


def silent(
    streams: Mapping[str, Worked], figures: Callable[[str], Path], progress: Progress
) -> Iterator[str]:
    """What is stuck, in words: an encoder process that runs and neither tells nor publishes.

    Args:
        streams: by id.
        figures: the file in which a stream's encoder process tells of itself.
        progress: remembers what was seen before.
    """
    now = progress.clock()
    for name, stream in streams.items():
        moved = progress.last_change(figures(name))
        for child in stream.children:
            if child.name == "encoder" and child.running:
                limit = SILENT_SECONDS if moved > child.began else START_SECONDS
                quiet = now - max(moved, child.began)
                if quiet > limit:
                    yield f"the encoder process of {name} has done nothing for {quiet:.0f} s"


def web_answers(address: tuple[str, int], *, tls: bool) -> bool:
    """Whether a web process answers its health check. It may take :data:`ANSWER_SECONDS`.

    Args:
        address: where it listens; of all addresses loopback is asked.
        tls: HTTPS; whose certificate it is does not matter here.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104
    link = http.client.HTTPConnection(host, address[1], timeout=ANSWER_SECONDS)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = http.client.HTTPSConnection(
            host, address[1], timeout=ANSWER_SECONDS, context=context
        )
    with closing(link):
        try:
            link.request("GET", "/healthz", headers={"Connection": "close"})
            return link.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Where a listening socket can be reached."""
    host, port = listener.getsockname()[:2]
    return str(host), int(port)


class Pulse:
    """Tells the service manager at each look how things are.

    Args:
        notifier: speaks with it.
    """

    def __init__(self, notifier: Notifier) -> None:
        self.notifier = notifier
        self.seconds = min(LOOK_SECONDS, notifier.watchdog_seconds / 3 or LOOK_SECONDS)
        self._told: tuple[str, ...] = ()
        self._status = ""

    def beat(self, stuck: Iterable[str], status: str) -> None:
        """One look.

        Args:
            stuck: what does not move; nothing: all is well.
            status: one line for people.
        """
        told = tuple(stuck)
        if not told:
            self.notifier.alive()
        elif [words.split(" for ")[0] for words in told] != [
            words.split(" for ")[0] for words in self._told
        ]:
            event(log, "watchdog_unfed", level=logging.ERROR, reason="; ".join(told))
        shown = "; ".join(told) or status
        if shown != self._status:
            self.notifier.status(shown)
        self._told, self._status = told, shown


async def watch(
    pulse: Pulse,
    streams: Mapping[str, Worked],
    figures: Callable[[str], Path],
    web: Callable[[], bool],
    stopping: asyncio.Event,
) -> None:
    """Look again and again until the service stops.

    Args:
        pulse: tells the service manager.
        streams: by id; changes as streams come and go.
        figures: the file in which a stream's encoder process tells of itself.
        web: whether the web processes answer, as far as they are ours.
        stopping: set when the service ends.
    """
    progress = Progress()
    while not stopping.is_set():
        stuck = list(silent(streams, figures, progress))
        if not await asyncio.to_thread(web):
            stuck.append("no web process answers")
        pulse.beat(stuck, summary(streams))
        try:
            await asyncio.wait_for(stopping.wait(), pulse.seconds)
        except TimeoutError:
            continue
    pulse.notifier.stopping()


def summary(streams: Mapping[str, Worked]) -> str:
    """One line for people."""
    live = sum(stream.playlist.exists() for stream in streams.values())
    return f"{live} of {len(streams)} streams can be played"
