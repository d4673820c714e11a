"""The older segments of a long window: they leave tmpfs for a folder on disk, under the same names.

One thread copies, so that a slow disk never holds up a part. A file is whole on the disk, by
rename, before it goes from tmpfs: whoever looks first in tmpfs and then on the disk finds it.

A disk that takes nothing for so long that as many segments wait as the live window has makes the
playlist short: the older segments leave it together, in order (rules 6, 7), and stay fetchable for
as long as rule 30 asks. The waiting ones stay in tmpfs; when the disk takes all of them, the
window grows again.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoder.store import PARTIAL_PREFIX
from encoder.timing import Timing
from logs import event

# How many live windows of segments can be in tmpfs beside those of a stream without an archive:
# one waits before the playlist is made short; those and one more were listed in a long playlist.
WAITING_WINDOWS = 2
RETRY_SECONDS = 1.0
# What a file takes beyond its bytes on a usual file system.
_BLOCK_BYTES = 4096
# A constrained rate still swings within its buffer.
_RATE_HEADROOM = 2

log = logging.getLogger(__name__)


def archive_bound_bytes(
    timing: Timing,
    listed_segments: int,
    video_kbit: Sequence[int],
    audio_kbit: int,
    captions_bytes: int = 0,
) -> int:
    """The most a stream may hold on the disk.

    The playlist, and what left it for a segment plus a playlist more (rule 30), at twice the
    nominal rate, and a block for each file.

    Args:
        timing: of the stream.
        listed_segments: complete segments in a playlist.
        video_kbit: rate of each rung of the ladder.
        audio_kbit: rate of the sound.
        captions_bytes: the most of a segment of captions; 0: there are none.
    """
    segments = 2 * listed_segments + 2
    seconds = segments * timing.segment_seconds
    media = math.ceil(seconds * (sum(video_kbit) + audio_kbit) * 125 * _RATE_HEADROOM)
    files = len(video_kbit) + 1 + bool(captions_bytes)
    return media + segments * (files * _BLOCK_BYTES + captions_bytes)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is the same for the life of an archive."""

    live_segments: int  # so many stay in tmpfs
    bytes: int  # the bound of :func:`archive_bound_bytes`


class Archive:
    """The disk half of a stream's media. All methods belong to one thread; the copying has another.

    Args:
        source: folder of the stream on tmpfs.
        folder: its folder on the disk.
        limits: what stays, what goes.
    """

    def __init__(self, source: Path, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.live_segments = limits.live_segments
        self.is_short = False
        self._source = source
        self._limits = limits
        self._changed = threading.Condition()
        self._pending: dict[str, None] = {}  # in order
        self._removals: list[str] = []
        self._arrived: list[str] = []
        self._sizes: dict[str, int] = {}
        self._leftovers: set[str] = set()
        self._bytes = 0
        self._refusal = ""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="archive", daemon=True)

    def open(self, renditions: Sequence[str]) -> None:
        """Find what a crashed process left, and start.

        A disk that refuses is no error here: it is told, and asked again.
        """
        try:
            for name in renditions:
                self._find(self.folder / name)
        except OSError as error:
            self._told(error)
        self._bytes = sum(self._sizes.values())
        self._leftovers = set(self._sizes)
        self._thread.start()

    def _find(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name.startswith(PARTIAL_PREFIX):
                path.unlink()
            else:
                self._sizes[str(path.relative_to(self.folder))] = path.stat().st_size

    def adopt(self, name: str) -> None:
        """A file that a crashed process has brought here is in use again."""
        self._leftovers.discard(name)

    def remove_leftovers(self) -> None:
        """Delete what a crashed process brought here and nobody lists any more."""
        leftovers, self._leftovers = self._leftovers, set()
        for name in leftovers:
            self.remove(name)

    def take(self, name: str) -> None:
        """Copy a file of the stream, as soon as the disk takes it."""
        with self._changed:
            if name in self._sizes:  # a crashed process has brought it here
                self._arrived.append(name)
                return
            self._pending[name] = None
            waiting = Counter(each.partition("/")[0] for each in self._pending)
            self._changed.notify()
        if not self.is_short and max(waiting.values()) > self.live_segments:
            self.is_short = True
            event(log, "dvr_short", level=logging.WARNING, reason=self._refusal or "slow disk")

    def arrived(self) -> list[str]:
        """The files that have come to the disk since the last call; tmpfs need not have them."""
        with self._changed:
            names, self._arrived = self._arrived, []
            waiting = len(self._pending)
        if self.is_short and names and not waiting:
            self.is_short = False
            event(log, "dvr_long_again", folder=self.folder)
        return names

    def remove(self, name: str) -> None:
        """Delete a file here, or take it from those that wait."""
        with self._changed:
            self._pending.pop(name, None)
            self._removals.append(name)
            self._changed.notify()

    def figures(self) -> dict[str, Any]:
        """What the API tells."""
        with self._changed:
            waiting, refusal = len(self._pending), self._refusal
        return {
            "state": "short" if self.is_short else "waiting" if refusal else "ok",
            "folder": str(self.folder),
            "bytes": self._bytes,
            "bound_bytes": self._limits.bytes,
            "waiting_files": waiting,
            "reason": refusal,
        }

    def close(self, seconds: float = 1.0) -> None:
        """Copy no more; a disk that hangs is left to itself."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def delete(self) -> None:
        """Remove the folder too; call :meth:`close` before."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                if not (self._closed or self._removals or self._pending):
                    self._changed.wait()
                if self._closed:
                    return
                removals, self._removals = self._removals, []
                name = next(iter(self._pending), None)
            for gone in removals:
                self._unlink(gone)
            if name is not None:
                self._bring(name)

    def _bring(self, name: str) -> None:
        try:
            size = self._copy(name)
        except FileNotFoundError as error:
            if not (self._source / name).exists():  # a gap, or its time is over
                self._settle(name, 0)
                return
            self._refuse(error)
        except OSError as error:
            self._refuse(error)
        else:
            self._settle(name, size)

    def _copy(self, name: str) -> int:
        data = (self._source / name).read_bytes()
        if self._bytes + len(data) > self._limits.bytes:
            raise OSError(0, f"{self._limits.bytes} bytes are the bound")
        times = (self._source / name).stat()
        target = self.folder / name
        partial = target.with_name(PARTIAL_PREFIX + target.name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            # Last-Modified is part of what is served under the name.
            os.utime(partial, ns=(times.st_atime_ns, times.st_mtime_ns))
            partial.rename(target)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
        return len(data)

    def _settle(self, name: str, size: int) -> None:
        with self._changed:
            wanted = name in self._pending
            self._pending.pop(name, None)
            if not self._pending:
                self._refusal = ""
            if size:
                self._sizes[name] = size
                self._bytes += size
            if wanted:
                self._arrived.append(name)
        if not wanted:
            self._unlink(name)

    def _refuse(self, error: OSError) -> None:
        self._told(error)
        deadline = time.monotonic() + RETRY_SECONDS
        with self._changed:
            while not self._closed and not self._removals and time.monotonic() < deadline:
                self._changed.wait(deadline - time.monotonic())

    def _told(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if not self._refusal:
            event(log, "dvr_refused", level=logging.WARNING, folder=self.folder, reason=reason)
        self._refusal = reason

    def _unlink(self, name: str) -> None:
        size = self._sizes.pop(name, None)
        if size is None:
            return
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            event(log, "dvr_file_stays", level=logging.WARNING, file=name, reason=error)
            return
        self._bytes -= size
