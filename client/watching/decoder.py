"""ffmpeg as the decoder of a player: media in by a pipe, one line out for each decoded picture."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

_KEPT_LINES = 20
_FINISH_SECONDS = 5.0
# What arrives here is from a network: no protocol but the pipe, so no playlist in disguise can make
# ffmpeg open files or addresses, and the format is told, not guessed.
_INPUT = ("-protocol_whitelist", "pipe", "-probesize", "32768", "-analyzeduration", "0")
# 8K is the most: a damaged or hostile header must not take the memory of the machine.
_MOST_PIXELS = ("-max_pixels", str(7680 * 4320))
# Slices, since frame threads hold back as many pictures as there are threads.
_DECODING = ("-thread_type", "slice", "-flags", "low_delay")
# Even raw pictures are "encoded" by threads that hold some back: one thread holds none.
_LISTING = ("-fps_mode", "passthrough", "-threads", "1", "-flush_packets", "1", "-f", "framecrc")
_JPEG_QUALITY = "3"


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded frame. ``seconds`` is its media time, ``at`` the monotonic time it was ready."""

    is_video: bool
    seconds: Fraction
    duration_seconds: Fraction
    at: float


class Decoder:
    """A running ffmpeg for one stretch of media that one init segment describes.

    Args:
        ffmpeg: path of the binary.
        demuxer: ffmpeg's name of the container.
        on_frame: called by a thread of this decoder for each decoded frame.
        pictures: pattern of files to save the pictures under, and the number of the first.
    """

    def __init__(
        self,
        ffmpeg: str,
        demuxer: str,
        on_frame: Callable[[Decoded], None],
        pictures: tuple[Path, int] | None = None,
    ) -> None:
        self._argv = argv(ffmpeg, demuxer, pictures)
        self._on_frame = on_frame
        self.complaints: deque[str] = deque(maxlen=_KEPT_LINES)
        self.errors = 0

    def start(self) -> None:
        """Begin.

        Raises:
            OSError: ffmpeg cannot be started.
        """
        self._child = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours: what was decoded is still counted
        )
        work = ((self._read, self._child.stdout), (self._drain, self._child.stderr))
        self._threads = [
            threading.Thread(target=target, args=(pipe,), daemon=True) for target, pipe in work
        ]
        for thread in self._threads:
            thread.start()

    def feed(self, data: bytes) -> bool:
        """Hand over media; waits while ffmpeg is behind. False: ffmpeg has ended."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(data)
            self._child.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def finish(self) -> None:
        """No more comes: let it decode what it has, then reap it."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(_FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
        self._reap()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self._reap()

    def _reap(self) -> None:
        self._child.wait()
        for thread in self._threads:
            thread.join(_FINISH_SECONDS)

    def _read(self, pipe: IO[bytes]) -> None:
        reading = Reading()
        for line in pipe:
            frame = reading.take(line.decode("ascii", "replace"), time.monotonic())
            if frame is not None:
                self._on_frame(frame)

    def _drain(self, pipe: IO[bytes]) -> None:
        """Always: a full stderr pipe would stop ffmpeg."""
        for line in pipe:
            self.errors += 1
            self.complaints.append(line.decode("utf-8", "replace").strip())


def argv(ffmpeg: str, demuxer: str, pictures: tuple[Path, int] | None) -> list[str]:
    """The command line of a decoder."""
    head = [ffmpeg, "-hide_banner", "-nostats", "-loglevel", "error", "-copyts"]
    head += [*_INPUT, *_MOST_PIXELS, *_DECODING, "-f", demuxer, "-i", "pipe:0"]
    maps = ["-map", "0:v:0?", "-map", "0:a:0?"]
    saving: list[str] = []
    if pictures is not None:
        pattern, first = pictures
        saving = ["-map", "0:v:0", "-fps_mode", "passthrough", "-q:v", _JPEG_QUALITY]
        saving += ["-f", "image2", "-start_number", str(first), "-y", str(pattern)]
    return [*head, *maps, *_LISTING, "pipe:1", *saving]


class Reading:
    """Reads the lines of ffmpeg's framecrc muxer, which lists each frame as it leaves the decoder.

    ``#tb 0: 1/12800`` and ``#media_type 0: video`` come first, then for each frame: stream, DTS,
    PTS, duration, size, checksum.
    """

    def __init__(self) -> None:
        self._timebases: dict[str, Fraction] = {}
        self._videos: set[str] = set()

    def take(self, line: str, at: float) -> Decoded | None:
        """One line; a frame, if it tells of one."""
        if line.startswith("#"):
            self._head(line[1:].strip())
            return None
        fields = [field.strip() for field in line.split(",")]
        timebase = self._timebases.get(fields[0])
        if timebase is None or len(fields) < 6:
            return None
        try:
            pts, duration = int(fields[2]), int(fields[3])
        except ValueError:  # NOPTS
            return None
        return Decoded(fields[0] in self._videos, pts * timebase, duration * timebase, at)

    def _head(self, line: str) -> None:
        name, _, value = line.partition(": ")
        kind, _, stream = name.partition(" ")
        if kind == "tb":
            self._timebases[stream] = Fraction(value)
        elif kind == "media_type" and value == "video":
            self._videos.add(stream)
