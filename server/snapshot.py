"""The newest picture of a stream as a JPEG, decoded when somebody asks: it costs nothing else.

The parts of the segment in progress begin with an IDR; ffmpeg decodes them and keeps the last
picture. It is kept for a second, so a crowd of askers costs one decoding a second, whatever
method and headers they ask with.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from encoder.boxes import BoxStream, find, unpack
from encoder.errors import EncoderError
from encoder.ffmpeg import find_ffmpeg
from encoder.ladder import BEST_RUNG
from encoder.packager import PLAYLIST_NAME

DECODE_SECONDS = 5.0
KEPT_SECONDS = 1.0
JPEG_QUALITY = "4"  # of 2 to 31, less is better: no blocks to be seen, a third of the bytes of 2
_MAP = re.compile(r'^#EXT-X-MAP:URI="([^"]+)"$', re.MULTILINE)
_PART = re.compile(r'^#EXT-X-PART:DURATION=[\d.]+,URI="([^"]+)"', re.MULTILINE)
_SEGMENT = re.compile(r"^([^#\s]\S*)$", re.MULTILINE)


class Snapshots:
    """Makes JPEGs of the streams below a folder.

    Args:
        configured: the setting ``ffmpeg``.
        clock: seconds, rising.
    """

    def __init__(self, configured: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._configured = configured
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Path, _Kept] = {}

    @cached_property
    def _binary(self) -> str:
        return find_ffmpeg(self._configured).path

    def newest(self, folder: Path) -> bytes | None:
        """The newest picture of the stream in ``folder``; None while there is none."""
        kept = self._of(folder)
        with kept.lock:
            if kept.picture is None or self._clock() >= kept.until:
                kept.picture = self._make(folder)
                kept.until = self._clock() + KEPT_SECONDS
            return kept.picture

    def _of(self, folder: Path) -> _Kept:
        """What is kept for a stream; what is too old for anybody goes."""
        with self._lock:
            now = self._clock()
            old = [f for f, k in self._kept.items() if now >= k.until and not k.lock.locked()]
            for each in old:
                if each != folder:
                    del self._kept[each]
            return self._kept.setdefault(folder, _Kept())

    def _make(self, folder: Path) -> bytes | None:
        try:
            media, pictures = _newest_media(folder / BEST_RUNG)
            return self._decode_last(media, pictures) if pictures else None
        except (OSError, EncoderError, subprocess.SubprocessError):
            return None  # the stream ended, or a file left the window, while we looked

    def _decode_last(self, media: bytes, pictures: int) -> bytes | None:
        argv = [self._binary, "-loglevel", "error", "-f", "mp4", "-i", "pipe:0"]
        argv += ["-vf", f"select=eq(n\\,{pictures - 1})", "-frames:v", "1"]
        argv += ["-q:v", JPEG_QUALITY, "-f", "mjpeg", "pipe:1"]
        done = subprocess.run(
            argv, input=media, capture_output=True, timeout=DECODE_SECONDS, check=False
        )
        return done.stdout or None


class _Kept:
    """The picture of one stream, made by one thread at a time."""

    __slots__ = ("lock", "picture", "until")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.picture: bytes | None = None
        self.until = 0.0


def _newest_media(rendition: Path) -> tuple[bytes, int]:
    """Init segment and all that follows the newest IDR; and the number of pictures in it."""
    text = (rendition / PLAYLIST_NAME).read_text("utf-8")
    segments, maps = _SEGMENT.findall(text), _MAP.findall(text)
    if not segments or not maps:
        return b"", 0
    in_progress = _PART.findall(text[text.rindex(segments[-1]) :])
    names = in_progress or segments[-1:]
    media = b"".join((rendition / name).read_bytes() for name in names)
    boxes = [box for box in BoxStream().feed(media) if box.kind == "moof"]
    pictures = sum(unpack("2I", find(moof, "traf/trun"))[1] for moof in boxes)
    return (rendition / maps[-1]).read_bytes() + media, pictures
