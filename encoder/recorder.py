"""What goes on the air is written to disk too, by a thread that never holds up the stream.

Between the two is a bounded queue. A disk that is full, or slower than the stream for so long that
the queue is full, ends the recording; it is told, what is there stays playable, and the stream
lives on.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from encoder.errors import BadBox
from encoder.playlist import SegmentEntry
from encoder.record_hls import HlsWriter
from encoder.record_mp4 import Mp4Writer
from logs import event

# Segments of all renditions that may wait for the disk: at the defaults half a minute.
QUEUE_ITEMS = 64

log = logging.getLogger(__name__)


class Writer(Protocol):
    """A form of recording. Methods return the bytes written and may raise OSError."""

    path: Path

    def resume(self) -> dict[str, int]:
        """Go on after a crash; returns the last msn by rendition, where it does go on."""

    def init(self, name: str, uri: str, data: bytes) -> int:
        """An init segment of a rendition."""

    def segment(self, name: str, entry: SegmentEntry, data: bytes) -> int:
        """A complete segment; no data for a gap."""

    def multivariant(self, text: str) -> int:
        """The multivariant playlist."""

    def end(self) -> int:
        """No more will come."""


@dataclass(frozen=True, slots=True)
class Take:
    """What names a recording, kept beside the stream so that a next process can go on with it."""

    kind: str  # mp4 or hls
    folder: str
    stem: str  # stream id and start

    def writer(self, target_duration: int) -> Writer:
        """What writes it."""
        folder = Path(self.folder)
        if self.kind == "hls":
            return HlsWriter(folder, self.stem, target_duration)
        return Mp4Writer(folder, self.stem)


class Recorder:
    """Takes what is published. Methods return at once and never raise."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._queue: queue.Queue[Callable[[], int] | None] = queue.Queue(QUEUE_ITEMS)
        self._reason = ""  # why it was stopped
        self._ended = False
        self._bytes = 0
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)

    @property
    def state(self) -> str:
        """``waiting`` for the first segment, ``recording``, ``stopped`` by a fault or ``ended``."""
        if self._reason:
            return "stopped"
        return "ended" if self._ended else "recording" if self._bytes else "waiting"

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def resume(self, past: Mapping[str, Sequence[SegmentEntry]], folder: Path) -> None:
        """Go on after a crash: first with what was listed but not yet written.

        Args:
            past: what each rendition lists.
            folder: of the stream on tmpfs.
        """
        try:
            known = self._writer.resume()
        except OSError as error:
            self._stop(error.strerror or str(error))
            return
        if known:
            self._bytes = sum(path.stat().st_size for path in self._writer.path.rglob("*.*"))
        for name, last in known.items():
            for entry in past.get(name, ()):
                if entry.msn > last:
                    data = _read(folder / name / entry.uri)
                    self.segment(name, entry if data else replace(entry, gap=True), data)

    def init(self, name: str, uri: str, data: bytes) -> None:
        """An init segment was published."""
        self._put(lambda: self._writer.init(name, uri, data))

    def segment(self, name: str, entry: SegmentEntry, data: bytes) -> None:
        """A segment was published."""
        self._put(lambda: self._writer.segment(name, entry, data))

    def multivariant(self, text: str) -> None:
        """The multivariant playlist was published."""
        self._put(lambda: self._writer.multivariant(text))

    def end(self) -> None:
        """Close the files when all that waits is written."""
        self._put(None)

    def close(self, seconds: float) -> None:
        """:meth:`end`, and wait for it, but not for ever."""
        if self._thread.is_alive():
            self.end()
            self._thread.join(seconds)
            if self._thread.is_alive():  # what still waits is not written: another may go on here
                self._stop("the disk is too slow")

    def figures(self) -> dict[str, Any]:
        """What the API tells."""
        path = str(self._writer.path)
        return {"state": self.state, "path": path, "bytes": self._bytes, "reason": self._reason}

    def _put(self, write: Callable[[], int] | None) -> None:
        if self._reason or self._ended:
            return
        try:
            self._queue.put_nowait(write)
        except queue.Full:
            self._stop("the disk is slower than the stream")

    def _stop(self, reason: str) -> None:
        self._reason = self._reason or reason
        path = self._writer.path
        event(log, "recording_stopped", level=logging.WARNING, path=path, reason=reason)

    # --- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._reason:
            write = self._queue.get()
            if write is None:
                break
            self._carry_out(write)
        self._carry_out(self._writer.end)
        self._ended = True
        event(log, "recording_ended", path=self._writer.path, bytes=self._bytes)

    def _carry_out(self, write: Callable[[], int]) -> None:
        try:
            self._bytes += write()
        except OSError as error:
            self._stop(error.strerror or str(error))
        except BadBox as error:
            self._stop(str(error))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
