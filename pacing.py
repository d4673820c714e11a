"""Pictures at any rate become units at the stream's rate; each picture stays with its sound.

For a source such as a model that makes 12 to 17 pictures a second::

    with rawmedia.connect(path, media) as producer:
        paced = pacing.Paced(producer)
        while True:
            paced.write(frame, samples)  # a picture and what is heard while it is shown

The sound is the clock: it is cut into units without a gap, and each unit shows the picture that is
current in the unit's middle. So no picture is ever more than half a unit away from its sound, at
25 units a second 20 ms, and nothing adds up, whatever rate the pictures come at.
"""

from __future__ import annotations

import numpy as np

from rawmedia import FormatError, Frame, Producer, Samples


class Paced:
    """Cuts units for a producer out of pictures with samples of any length.

    :meth:`write` blocks while the encoder has enough: that is real time. A source that is slower
    than its own sound leaves gaps, which the encoder fills with the last picture and silence
    together. What is not yet a whole unit when the source ends, under a frame's time, is not sent.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        media = producer.media
        self._rest: Samples = np.empty((0, media.audio_channels), np.int16)
        self._picture: Frame | None = None  # of the unit that `_rest` begins, if its middle is in

    def write(self, frame: Frame, samples: Samples) -> None:
        """Take one picture (HxWx3 uint8 BGR) and its samples (NxC int16, N of any size).

        Raises:
            FormatError: wrong size or type; nothing was taken.
            Disconnected: the encoder went away; the units that were ready are lost with it.
        """
        self._check(frame, samples)
        unit = self._producer.media.samples_per_unit
        known = len(self._rest)  # before it the picture is an earlier one's
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // unit * unit
        earlier, middle = self._picture, unit // 2
        self._rest = sound[whole:].copy()
        self._picture = self._current(frame, earlier, whole + middle, known, len(sound))
        for start in range(0, whole, unit):
            picture = frame if start + middle >= known else earlier
            assert picture is not None  # a middle before `known` was in an earlier call
            self._producer.write(picture, sound[start : start + unit])

    def _current(
        self, frame: Frame, earlier: Frame | None, middle: int, known: int, end: int
    ) -> Frame | None:
        """The picture of the unit that is not whole yet; all are places in the sound."""
        if middle >= end:
            return None
        return frame.copy() if middle >= known else earlier

    def _check(self, frame: Frame, samples: Samples) -> None:
        media = self._producer.media
        size = (media.height, media.width, 3)
        if frame.shape != size or frame.dtype != np.uint8:
            found = f"{frame.shape} {frame.dtype}"
            raise FormatError(f"frame is {found}; this stream takes {size} uint8")
        if samples.ndim != 2 or samples.shape[1] != media.audio_channels:
            wanted = f"(N, {media.audio_channels})"
            raise FormatError(f"samples are {samples.shape}; this stream takes {wanted}")
        if samples.dtype != np.int16:
            raise FormatError(f"samples are {samples.dtype}; this stream takes int16")
