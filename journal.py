"""What happened in a stream, in a small file that many processes write and anybody may follow.

Encoder process, inference worker and supervisor add events; web processes pass them on. The file
holds one JSON object a line and is replaced by rename: a reader sees a whole one, and who waits for
renames in its folder is woken. It keeps the newest events only, so it never grows.

A unit's mark (see :mod:`rawmedia`) names a moment of an utterance: when the unit is fed the encoder
process, which alone knows the unit's place in the stream, tells of that moment.

This module imports nothing of ours.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

# The newest, as many and as much as this.
KEPT_EVENTS, KEPT_BYTES = 200, 256 * 1024
# The cues of the longest text that is spoken fit; a longer event keeps its short facts only.
LONGEST_EVENT_BYTES = 16 * 1024
_SHORT_FACT = 200
# A full folder is tried again so often.
RETRY_SECONDS = 0.5
SUFFIX = ".events"


class Moment(IntEnum):
    """What a mark tells of an utterance; a mark of 0 is none."""

    POINT = 0  # whatever a producer of its own means by it
    STARTED = 1
    FINISHED = 2
    INTERRUPTED = 3


# Of a mark: the moment, then an utterance's number (milliseconds, good for a century), its place.
_MOMENT_BITS, _NUMBER_BITS, _PLACE_BITS = 2, 42, 20


def mark_of(utterance: int, moment: Moment, place: int = 0) -> int:
    """The mark of a moment of an utterance.

    Args:
        utterance: its number, below 2**42.
        moment: what happens to it.
        place: with STARTED, how many units of it were said before: to an encoder process that was
            not there then. That it goes on is no event.
    """
    most = (1 << _PLACE_BITS) - 1
    return (min(place, most) << _NUMBER_BITS | utterance) << _MOMENT_BITS | moment


def face_mark(change: int) -> int:
    """The mark of the first unit that shows another face, while what is said goes on.

    In bits it is a FINISHED with a place, which no utterance has.
    """
    return mark_of(change, Moment.FINISHED, 1)


def change_name(change: int) -> str:
    """The id of a change of face for the outside."""
    return f"f{change:x}"


def read_face(mark: int) -> int:
    """The number of the change of face that begins; 0: the mark tells of none."""
    change, moment = read_mark(mark)
    return change if moment is Moment.FINISHED and read_place(mark) else 0


def read_mark(mark: int) -> tuple[int, Moment]:
    """The utterance and its moment; of a POINT all that its producer has given it."""
    moment, rest = Moment(mark & 3), mark >> _MOMENT_BITS
    return (rest if moment is Moment.POINT else rest & (1 << _NUMBER_BITS) - 1), moment


def read_place(mark: int) -> int:
    """Units of the utterance that were said before."""
    is_point = Moment(mark & 3) is Moment.POINT
    return 0 if is_point else mark >> _MOMENT_BITS + _NUMBER_BITS


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``id`` rises, also when a stream of the same name follows."""

    id: int
    kind: str
    facts: dict[str, Any]  # with ``at``, seconds since 1970 UTC


class Journal:
    """The events of one stream.

    Args:
        path: of its file; the folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._untold: deque[tuple[str, dict[str, Any]]] = deque(maxlen=KEPT_EVENTS)
        self._telling = threading.Lock()
        self._retry_at = 0.0

    def tell(self, kind: str, **facts: Any) -> None:
        """Add an event, or keep it until the folder takes it; its time is that of this call.

        Raises:
            OSError: it is kept, for the next call or for :meth:`retry`.
        """
        with self._telling:
            self._untold.append((kind, {"at": time.time()} | facts))
            self._catch_up()

    def retry(self) -> None:
        """Add what is kept, if the folder takes it by now; call it often."""
        if not self._untold or time.monotonic() < self._retry_at:
            return
        with self._telling, suppress(OSError):
            self._catch_up()

    def _catch_up(self) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        while self._untold:
            kind, facts = self._untold[0]
            self.add(kind, **facts)
            self._untold.popleft()

    def add(self, kind: str, **facts: Any) -> None:
        """Add an event, or forget it.

        Raises:
            OSError: the folder is gone, or full.
        """
        with self._locked():
            lines = _lines(self.path)
            newest = json.loads(lines[-1])["id"] if lines else 0
            now_us = time.time_ns() // 1000
            head = {"id": max(newest + 1, now_us), "event": kind, "at": now_us / 1e6}
            self._replace(_newest([*lines, _line(head | facts)]))

    def after(self, event_id: int) -> list[Event]:
        """The events that are kept of those after that one, oldest first; 0: all."""
        told = (json.loads(line) for line in _lines(self.path))
        return [Event(e.pop("id"), e.pop("event"), e) for e in told if e["id"] > event_id]

    def remove(self) -> None:
        """The stream is gone."""
        for path in (self.path, self._lock):
            path.unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        return self.path.with_name(f".lock-{self.path.name}")

    def _replace(self, lines: list[str]) -> None:
        unfinished = self.path.with_name(f".partial-{self.path.name}")
        unfinished.write_text("\n".join(lines) + "\n", "utf-8")
        unfinished.rename(self.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; the kernel unlocks it if that one dies."""
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _line(event: dict[str, Any]) -> str:
    line = json.dumps(event, ensure_ascii=False)
    size = len(line.encode())
    if size <= LONGEST_EVENT_BYTES:
        return line
    short = {key: value for key, value in event.items() if len(str(value)) <= _SHORT_FACT}
    return json.dumps(short | {"cut_bytes": size}, ensure_ascii=False)


def _newest(lines: list[str]) -> list[str]:
    room, kept = KEPT_BYTES, 0
    for line in reversed(lines[-KEPT_EVENTS:]):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept += 1
    return lines[len(lines) - kept :]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").split("\n")[:-1]  # splitlines() would also cut at U+2028
    except FileNotFoundError:
        return []
