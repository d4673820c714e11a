"""The presenter: a face that says a clip for ever, with pauses. The face itself is exchangeable."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from inference.motion import Pose, pose
from inference.mouth import REST_SHAPE, Curve, MouthShape, MouthTrack
from inference.speech import Clip
from rawmedia import Frame, MediaFormat, Samples

Region = tuple[int, int, int, int]

# Darker than this is the inside of a mouth: lips and skin of the drawn character have a luma beyond
# 100, its mouth's inside one below 60, and 4:2:0 H.264 at 700 kbit/s moves neither by more than 20.
INTERIOR_LUMA = 80
EMPHASIS_SECONDS = 0.35


class Face(Protocol):
    """Something with a mouth, eyes and a head, drawn into frames of one size."""

    @property
    def mouth_region(self) -> Region:
        """(x, y, w, h) of the pixels in which the mouth moves, whatever the head does."""

    def draw(self, frame: Frame, mouth: MouthShape, pose: Pose) -> None:
        """Draw the whole picture."""


class Presenter:
    """A source: ``face`` says ``clip``, rests for ``pause_units``, and starts again."""

    def __init__(
        self, face: Face, clip: Clip, track: MouthTrack, media: MediaFormat, pause_units: int
    ) -> None:
        self.face = face
        self.clip = clip
        self.track = track
        self._media = media
        self._round_units = clip.units + pause_units
        self._emphasis = _emphasis(track, self._round_units, media.fps)
        self._index = 0

    def render(self, frame: Frame, samples: Samples) -> None:
        """Fill the next unit in place."""
        place = self._index % self._round_units
        speaking = place < self.clip.units
        samples[:] = self.clip.unit(place) if speaking else 0
        shape = self.track.shape(place) if speaking else REST_SHAPE
        life = pose(self._index, self._media.fps, emphasis=float(self._emphasis[place]))
        self.face.draw(frame, shape, life)
        self._index += 1

    def close(self) -> None:
        """Nothing is held that the garbage collector does not know."""


def mouth_region(source: object) -> Region:
    """Where to measure a presenter's mouth: (x, y, w, h) in pixels of its frames.

    Raises:
        TypeError: the source has no mouth that we know of, such as a camera.
    """
    if not isinstance(source, Presenter):
        raise TypeError(f"{type(source).__name__} has no known mouth: only a Presenter has one")
    return source.face.mouth_region


def mouth_opening(frame: Frame, region: Region) -> int:
    """How far a mouth is open in a picture: the number of dark pixels in its region.

    Works on rendered and on decoded frames alike. A photo may have dark places of its own: compare
    with the value at rest, or correlate, which ignores a constant.
    """
    x, y, width, height = region
    pixels = frame[y : y + height, x : x + width].astype(np.uint16)
    luma = (29 * pixels[..., 0] + 150 * pixels[..., 1] + 77 * pixels[..., 2]) >> 8
    return int((luma < INTERIOR_LUMA).sum())


def _emphasis(track: MouthTrack, units: int, fps: int) -> Curve:
    """Slow loudness over a whole round; the round is a circle, so its end meets its start."""
    padded = np.pad(track.open, (0, units - len(track.open)))
    reach = max(1, round(EMPHASIS_SECONDS * fps))
    window = np.hanning(2 * reach + 3)[1:-1]
    around = np.pad(padded, len(window) // 2, mode="wrap")
    slow = np.convolve(around, window / window.sum(), mode="valid")
    return np.clip(slow * 1.3, 0.0, 1.0)
