"""Sound into features: which samples the speech network hears for which frames.

A frame has 640 samples at 16 kHz. The network hears windows of (past + group + future) frames and
80 samples more; of what it says the rows of the group count, two of them for each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inference.checkpoint.networks import HUBERT_SAMPLES
from inference.ditto.errors import DittoRefused
from inference.ditto.layout import SAMPLES_PER_FRAME, Floats

FEATURES = 1024
_EXTRA = 80  # the last row's receptive field ends so far behind its hop
_ROWS_PER_FRAME = 2
_ROW_SAMPLES, _FIRST_ROW_SAMPLES = 320, 400

# From (S,) samples to (T, 1024) rows.
Hear = Callable[[Floats], Floats]


def row_count(samples: int) -> int:
    """Rows that the network gives for so many samples."""
    return (samples - _FIRST_ROW_SAMPLES) // _ROW_SAMPLES + 1


@dataclass(frozen=True, slots=True)
class Chunks:
    """How sound is cut: frames before a group, of it, and after it.

    Raises:
        DittoRefused: the network cannot hear windows of that size.
    """

    past: int = 3
    group: int = 5
    future: int = 2

    def __post_init__(self) -> None:
        low, _usual, high = HUBERT_SAMPLES
        told = f"chunk_config {self.past},{self.group},{self.future}"
        if self.past < 0 or self.group < 1 or self.future < 0:
            raise DittoRefused(f"{told}: give a group of 1 or more, the others of 0 or more")
        if not low <= self.window <= high:
            raise DittoRefused(
                f"{told} makes windows of {self.window} samples, the speech network takes "
                f"{low} to {high}: past + group + future must be from 5 to 20 frames"
            )

    @classmethod
    def parse(cls, text: str) -> Chunks:
        """From ``past,group,future``.

        Raises:
            DittoRefused: something else, or a size that the network cannot hear.
        """
        try:
            past, group, future = (int(part) for part in text.split(","))
        except ValueError as error:
            wanted = "three whole numbers with commas between, such as 3,5,2"
            raise DittoRefused(f"chunk_config is {text[:40]!r}: give {wanted}") from error
        return cls(past, group, future)

    @property
    def window(self) -> int:
        """Samples of one window."""
        return (self.past + self.group + self.future) * SAMPLES_PER_FRAME + _EXTRA

    @property
    def hop(self) -> int:
        """Samples from one window to the next."""
        return self.group * SAMPLES_PER_FRAME

    @property
    def reach(self) -> int:
        """Samples behind a group that its features need."""
        return self.future * SAMPLES_PER_FRAME + _EXTRA

    def span(self, group: int) -> tuple[int, int]:
        """First and end sample of what is heard for a group; below 0 is before the start."""
        first = group * self.hop - self.past * SAMPLES_PER_FRAME
        return first, first + self.window


def group_features(window: Floats, chunks: Chunks, hear: Hear) -> Floats:
    """(group, 1024) features of one window: the rows of its group, two for each frame."""
    first = _ROWS_PER_FRAME * chunks.past
    rows = hear(window)[first : first + _ROWS_PER_FRAME * chunks.group]
    kept = rows.reshape(chunks.group, _ROWS_PER_FRAME, -1)
    means: Floats = kept.mean(axis=1, dtype=np.float32)
    return means


def features(sound: Floats, chunks: Chunks, hear: Hear) -> Floats:
    """Of a whole sound, one row for each frame that has a sample: ceil(samples / 640) of them."""
    wanted = frame_count(len(sound))
    groups = [
        group_features(piece(sound, *chunks.span(number)), chunks, hear)
        for number in range(-(-wanted // chunks.group))
    ]
    return np.concatenate(groups)[:wanted]


def frame_count(samples: int) -> int:
    """Frames that show a sound."""
    return -(-samples // SAMPLES_PER_FRAME)


def piece(sound: Floats, first: int, end: int) -> Floats:
    """``sound[first:end]``, zeros where there is none."""
    found = np.zeros(end - first, np.float32)
    low, high = max(first, 0), min(end, len(sound))
    if low < high:
        found[low - first : high - first] = sound[low:high]
    return found
