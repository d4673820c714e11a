"""A camera as a source, device or URL: the newest picture wins, a lost one is looked for again."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from inference.devices import BACKOFF_SECONDS, Backoff, Device, Devices, Outside
from inference.microphone import Microphone
from logs import event
from rawmedia import Frame, MediaFormat, Samples

CLOSE_SECONDS = 0.5
FALLBACK_FPS = 25.0
BLACK = 16
# A network camera that says nothing for so long is taken for lost; OpenCV would wait 30 s.
SILENT_MILLISECONDS = 5000
# A stream begins with the first picture, if that comes within it; a worker that draws nothing for
# 10 s would be taken for one that hangs.
FIRST_PICTURE_SECONDS = 5.0

log = logging.getLogger(__name__)


class Camera:
    """Pictures of a device in the stream's size; as sound a microphone, or silence.

    A thread reads: a device that hangs must not hang the stream. One slot lies between: what is
    not shown in time is overwritten, never queued. The first unit waits for the first picture;
    where there is none the frame is dark.

    Args:
        device: its number, path or address.
        media: of the stream.
        microphone: what is heard; None: nothing.
        watched: where it is told whether the camera is there.
    """

    def __init__(
        self,
        device: str,
        media: MediaFormat,
        microphone: Microphone | None = None,
        watched: Device | None = None,
    ) -> None:
        self.device = device
        self._microphone = microphone
        self._media = media
        self._watched = watched or Devices(Outside()).add("camera", public_name(device))
        self._latest = np.full((media.height, media.width, 3), BLACK, np.uint8)
        self._has_answered = threading.Event()  # with a picture, or by a failure
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read_for_ever, name="camera", daemon=True)
        self._thread.start()

    def render(self, frame: Frame, samples: Samples) -> int:
        """Fill the next unit with the newest picture; it has no mark."""
        if not self._has_answered.is_set():
            self._has_answered.wait(FIRST_PICTURE_SECONDS)
            self._has_answered.set()  # waited for once
        self._watched.look()
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
        backoff = Backoff()
        while not self._ended.is_set():
            began = time.monotonic()
            pictures, reason = self._read_once()
            if self._ended.is_set():
                return
            self._has_answered.set()
            if pictures and is_file(self.device):  # a recording begins again
                self._ended.wait(BACKOFF_SECONDS[0])
                continue
            self._watched.lacks(reason)
            wait = backoff.after(time.monotonic() - began if pictures else 0.0)
            event(
                log,
                "camera_lost",
                level=logging.WARNING,
                device=public_name(self.device),
                pictures=pictures,
                reason=reason,
                retry_in_seconds=wait,
            )
            self._ended.wait(wait)

    def _read_once(self) -> tuple[int, str]:
        """Read until the device fails: the number of pictures it gave, and why no more."""
        count = 0
        capture = cv2.VideoCapture()
        try:
            if not _open(capture, self.device):
                return 0, "it cannot be opened"
            pace = _Pace(capture.get(cv2.CAP_PROP_FPS)) if is_file(self.device) else None
            while not self._ended.is_set():
                got, picture = capture.read()
                if not got:
                    break
                self._latest = letterboxed(np.asarray(picture, np.uint8), self._media)
                self._watched.gives()
                self._has_answered.set()
                count += 1
                if pace:
                    self._ended.wait(pace.delay())
        except cv2.error as error:
            return count, str(error)
        finally:
            capture.release()
        return count, "it gives no more pictures"


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


def _open(capture: cv2.VideoCapture, device: str) -> bool:
    if device.isdecimal():
        return capture.open(int(device))
    if "://" in device:
        limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        options = [number for limit in limits for number in (limit, SILENT_MILLISECONDS)]
        return capture.open(device, cv2.CAP_FFMPEG, options)
    return capture.open(device)
