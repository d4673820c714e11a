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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

KEPT_EVENTS = 200
# An event beyond this is cut down to its kind: the file's bound is 200 times this.
LONGEST_EVENT_BYTES = 2048
SUFFIX = ".events"


class Moment(IntEnum):
    """What a mark tells of an utterance; a mark of 0 is none."""

    POINT = 0  # whatever a producer of its own means by it
    STARTED = 1
    FINISHED = 2
    INTERRUPTED = 3


def mark_of(utterance: int, moment: Moment) -> int:
    """The mark of a moment of an utterance, whose number is below 2**62."""
    return utterance << 2 | moment


def read_mark(mark: int) -> tuple[int, Moment]:
    """The utterance and its moment."""
    return mark >> 2, Moment(mark & 3)


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

    def add(self, kind: str, **facts: Any) -> None:
        """Add an event.

        Raises:
            OSError: the folder is gone, or full.
        """
        with self._locked():
            lines = _lines(self.path)
            newest = json.loads(lines[-1])["id"] if lines else 0
            now_us = time.time_ns() // 1000
            head = {"id": max(newest + 1, now_us), "event": kind}
            line = json.dumps(head | {"at": now_us / 1e6} | facts)
            if len(line) > LONGEST_EVENT_BYTES:
                line = json.dumps(head | {"at": now_us / 1e6, "cut": len(line)})
            self._replace([*lines, line][-KEPT_EVENTS:])

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


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
