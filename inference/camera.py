"""A camera as a source, device or URL: the newest picture wins, a lost one is looked for again."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from inference.microphone import Microphone
from logs import event
from rawmedia import Frame, MediaFormat, Samples

BACKOFF_SECONDS = (0.5, 10.0)
CLOSE_SECONDS = 0.5
FALLBACK_FPS = 25.0
BLACK = 16
# A network camera that says nothing for so long is taken for lost; OpenCV would wait 30 s.
SILENT_MILLISECONDS = 5000

log = logging.getLogger(__name__)


class Camera:
    """Pictures of a device in the stream's size; as sound a microphone, or silence.

    A thread reads: a device that hangs must not hang the stream. One slot lies between: what is
    not shown in time is overwritten, never queued. Until the first picture the frame is dark.
    """

    def __init__(
        self, device: str, media: MediaFormat, microphone: Microphone | None = None
    ) -> None:
        self.device = device
        self._microphone = microphone
        self._media = media
        self._latest = np.full((media.height, media.width, 3), BLACK, np.uint8)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read_for_ever, name="camera", daemon=True)
        self._thread.start()

    def render(self, frame: Frame, samples: Samples) -> int:
        """Fill the next unit with the newest picture; it has no mark."""
        # the slot is exchanged whole, never written into: no lock is needed to read it
        np.copyto(frame, self._latest)
        if self._microphone is None:
            samples[:] = 0
        else:
            self._microphone.fill(samples)
        return 0

    def close(self) -> None:
        """Stop reading. A driver that hangs is left behind: its thread cannot be stopped."""
        self._ended.set()
        self._thread.join(CLOSE_SECONDS)
        if self._microphone is not None:
            self._microphone.close()

    def _read_for_ever(self) -> None:
        wait = BACKOFF_SECONDS[0]
        while not self._ended.is_set():
            pictures = self._read_once()
            wait = BACKOFF_SECONDS[0] if pictures else min(2 * wait, BACKOFF_SECONDS[1])
            event(
                log,
                "camera_lost",
                level=logging.WARNING,
                device=public_name(self.device),
                pictures=pictures,
                retry_in_seconds=wait,
            )
            self._ended.wait(wait)

    def _read_once(self) -> int:
        """Read until the device fails; the value is the number of pictures it gave."""
        count = 0
        capture = cv2.VideoCapture()
        try:
            _open(capture, self.device)
            pace = _Pace(capture.get(cv2.CAP_PROP_FPS)) if is_file(self.device) else None
            while not self._ended.is_set():
                got, picture = capture.read()
                if not got:
                    break
                self._latest = letterboxed(np.asarray(picture, np.uint8), self._media)
                count += 1
                if pace:
                    self._ended.wait(pace.delay())
        except cv2.error as error:
            name = public_name(self.device)
            event(log, "camera_error", level=logging.WARNING, device=name, reason=error)
        finally:
            capture.release()
        return count


class _Pace:
    """A file gives its pictures as fast as they are asked for; a camera does not."""

    def __init__(self, fps: float) -> None:
        self._interval = 1 / (fps if 1 <= fps <= 240 else FALLBACK_FPS)
        self._next = time.monotonic()

    def delay(self) -> float:
        """Seconds until the next picture is due."""
        now = time.monotonic()
        self._next = max(self._next + self._interval, now)
        return self._next - now


def letterboxed(picture: Frame, media: MediaFormat) -> Frame:
    """The picture as large as fits, in the middle, on black, its aspect kept."""
    height, width = picture.shape[:2]
    scale = min(media.width / width, media.height / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = cv2.resize(picture, size, interpolation=way)
    out = np.full((media.height, media.width, 3), BLACK, np.uint8)
    x, y = (media.width - size[0]) // 2, (media.height - size[1]) // 2
    out[y : y + size[1], x : x + size[0]] = fitted
    return out


def is_file(device: str) -> bool:
    """True for a recording, which has no pace of its own."""
    return not device.isdecimal() and Path(device).is_file()


def public_name(device: str) -> str:
    """The device without user name and password: a URL is logged, its secrets are not."""
    scheme, mark, rest = device.partition("://")
    if not mark:
        return device
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _open(capture: cv2.VideoCapture, device: str) -> None:
    if device.isdecimal():
        capture.open(int(device))
    elif "://" in device:
        limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        options = [number for limit in limits for number in (limit, SILENT_MILLISECONDS)]
        capture.open(device, cv2.CAP_FFMPEG, options)
    else:
        capture.open(device)
