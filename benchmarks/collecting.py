"""Watches the files of a stream as they are renamed into place, and keeps what parts held."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import inotify_simple
from inotify_simple import flags

# <run>-<msn>.<part>.m4s
PART = re.compile(r"[0-9a-f]+-(\d+)\.(\d+)\.m4s$")


@dataclass(frozen=True, slots=True)
class Part:
    """One that was published."""

    msn: int
    number: int
    name: str
    at: float  # seconds since 1970
    data: bytes


@dataclass(slots=True)
class Collected:
    """What appeared in the folder of a rendition."""

    init: bytes = b""
    parts: list[Part] = field(default_factory=list)
    playlists: dict[str, list[tuple[float, int]]] = field(default_factory=dict)  # when, bytes

    def playlist_after(self, part: Part) -> float | None:
        """When the playlist that lists a part was there."""
        times = self.playlists.get("media.m3u8", [])
        return next((at for at, _size in times if at >= part.at), None)


@contextmanager
def collecting(folder: Path) -> Iterator[Collected]:
    """Collect until the block is left; what was there before is left out, but for the init."""
    collected = Collected()
    ended = threading.Event()
    with inotify_simple.INotify() as inotify:
        inotify.add_watch(folder, flags.MOVED_TO)
        collected.init = next(folder.glob("*-init.mp4")).read_bytes()
        thread = threading.Thread(target=_collect, args=(inotify, folder, collected, ended))
        thread.start()
        try:
            yield collected
        finally:
            ended.set()
            thread.join()


def _collect(
    inotify: inotify_simple.INotify, folder: Path, into: Collected, ended: threading.Event
) -> None:
    while not ended.is_set():
        for happened in inotify.read(timeout=200):
            _take(folder / happened.name, into, time.time())


def _take(path: Path, into: Collected, at: float) -> None:
    if match := PART.match(path.name):
        data = path.read_bytes()
        into.parts.append(Part(int(match[1]), int(match[2]), path.name, at, data))
    elif path.suffix in (".m3u8", ".gz"):
        into.playlists.setdefault(path.name, []).append((at, path.stat().st_size))
