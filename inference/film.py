"""A video or sound file as a source, repeated for ever."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from inference.errors import FilmRejected
from inference.ffmpeg import (
    Contents,
    Decoder,
    find_decoder,
    look_into,
    pictures_argv,
    sound_argv,
)
from logs import event
from rawmedia import Frame, MediaFormat, Samples

# The children of the next round start so long before it: they need some tenths of a second, and a
# stream bridges no more than one tenth.
LEAD_SECONDS = 2.0

log = logging.getLogger(__name__)


class Film:
    """Plays a file from its start to its end, again and again.

    Each round has a child for the pictures and one for the sound, both from the file's start: what
    a round's picture and sound differ in length is made up at its end, never carried on. Whichever
    ends first is held, or silent, until the other has ended.
    """

    def __init__(self, path: Path, media: MediaFormat, ffmpeg: str) -> None:
        """Raises FilmRejected, DecoderMissing: it cannot be played."""
        self._path = path
        self._media = media
        self._ffmpeg = find_decoder(ffmpeg)
        self._contents = look_into(self._ffmpeg, path)
        self._last = _still_slate(media)
        self._round = self._begin()
        self._next: _Round | None = None
        seconds = self._contents.seconds or 0.0
        self._lead_unit = max(0, round((seconds - LEAD_SECONDS) * media.fps))

    def render(self, frame: Frame, samples: Samples) -> int:
        """Fill the next unit in place; it has no mark.

        Raises:
            FilmRejected: the file has changed, and nothing can be played any more.
        """
        if not self._round.fill(frame, samples, self._last):
            self._turn()
            if not self._round.fill(frame, samples, self._last):
                raise FilmRejected(self._path, "gives neither picture nor sound", "check the file")
        np.copyto(self._last, frame)
        if self._next is None and self._round.units > self._lead_unit:
            self._next = self._begin()
        return 0

    def close(self) -> None:
        """End the children."""
        for each in (self._round, self._next):
            if each is not None:
                each.close()

    def _begin(self) -> _Round:
        return _Round(self._ffmpeg, self._path, self._contents, self._media)

    def _turn(self) -> None:
        statuses = self._round.close()
        if any(status > 0 for status in statuses):
            reason = f"its decoders ended with {statuses}"
            event(log, "film_damaged", level=logging.WARNING, file=self._path, reason=reason)
        self._round, self._next = self._next or self._begin(), None


class _Round:
    """The file once."""

    def __init__(self, ffmpeg: str, path: Path, contents: Contents, media: MediaFormat) -> None:
        self.units = 0
        self._pictures = Decoder(pictures_argv(ffmpeg, path, media)) if contents.video else None
        self._sound = Decoder(sound_argv(ffmpeg, path, media)) if contents.audio else None

    def fill(self, frame: Frame, samples: Samples, last: Frame) -> bool:
        """Fill a unit; False: the round is over and the unit is nobody's."""
        seen = _bytes_into(self._pictures, frame)
        heard = _bytes_into(self._sound, samples)
        if seen < frame.nbytes:
            np.copyto(frame, last)
        samples.reshape(-1).view(np.uint8)[heard:] = 0
        self.units += 1
        return seen == frame.nbytes or heard > 0

    def close(self) -> list[int]:
        """End the children; the value is their exit statuses."""
        return [each.close() for each in (self._pictures, self._sound) if each is not None]


def _bytes_into(decoder: Decoder | None, array: Frame | Samples) -> int:
    """Read into an array; the value is the number of bytes that came."""
    return decoder.read_into(array.reshape(-1).view(np.uint8).data) if decoder else 0


def _still_slate(media: MediaFormat) -> Frame:
    """What is seen of a file that holds sound only."""
    rows = np.linspace(64, 24, media.height)[:, None, None] * np.array([1.2, 1.0, 0.9])
    return np.ascontiguousarray(
        np.broadcast_to(rows, (media.height, media.width, 3)).astype(np.uint8)
    )
