"""One thing to say, ready to be shown: sound, mouth and emphasis of each unit, and both its ends.

A line begins a moment before its sound and ends a moment after it: the lips come from rest and
go back to it, so that nothing jumps whatever the recording begins or ends with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.mouth import REST_SHAPE, Curve, MouthShape, MouthTrack, mouth_track
from inference.speech import BLOCK_FRAMES, Clip
from rawmedia import MediaFormat, Samples

# Lips need so long to part before a sound, and to meet after it.
EASE_SECONDS = 0.12
# Shorter is heard as a click.
FADE_SECONDS = 0.01
EMPHASIS_SECONDS = 0.35
Mono = NDArray[np.float32]


class Spoken(Protocol):
    """What is said. A place is a unit of it: 0 has its first sound, ``units`` is after its last."""

    @property
    def number(self) -> int:
        """Of the utterance; 0: it is none."""

    @property
    def units(self) -> int:
        """Of sound; more than there will ever be, while nobody knows."""

    @property
    def ease(self) -> int:
        """Units after the sound, until the lips are at rest."""

    @property
    def lead(self) -> int:
        """Units before the sound, in which the lips part."""

    def left(self, place: int) -> int:
        """Units of sound that are known to come from a place on."""

    def samples(self, place: int) -> Samples | int:
        """What is heard at a place."""

    def known(self, place: int) -> Samples | None:
        """What is heard at a place, or will be; None: nothing, or nobody knows. Takes nothing."""

    def shape(self, place: int) -> MouthShape:
        """The mouth at a place, the ways from rest and to it included."""

    def emphasised(self, place: int) -> float:
        """0 to 1: slow loudness."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something to say that is known from its beginning to its end."""

    clip: Clip
    track: MouthTrack
    emphasis: Curve  # of each unit
    ease: int  # units before the sound, and after it
    number: int = 0  # of the utterance; 0: it is none
    mono: Mono | None = None  # at 16 kHz from -1 to 1, for a face that listens

    @property
    def units(self) -> int:
        """Of sound."""
        return self.clip.units

    @property
    def lead(self) -> int:
        """Units before the sound."""
        return self.ease

    def left(self, place: int) -> int:
        """Units of sound to come from a place on."""
        return max(0, self.units - place)

    def numbered(self, number: int) -> Line:
        """The same as an utterance."""
        return replace(self, number=number)

    def samples(self, place: int) -> Samples | int:
        """What is heard at a place."""
        return self.clip.unit(place) if 0 <= place < self.units else 0

    def known(self, place: int) -> Samples | None:
        """What is heard at a place, or will be; None: nothing."""
        return self.clip.unit(place) if 0 <= place < self.units else None

    def shape(self, place: int) -> MouthShape:
        """The mouth at a place, the ways from rest and to it included."""
        if place < 0:
            return eased(self.track.shape(0), 1 + place / (self.ease + 1))
        if place >= self.units:
            last = self.track.shape(self.units - 1)
            return eased(last, 1 - (place - self.units + 1) / (self.ease + 1))
        return self.track.shape(place)

    def emphasised(self, place: int) -> float:
        """0 to 1: slow loudness."""
        return float(self.emphasis[place]) if 0 <= place < self.units else 0.0


def line_of(clip: Clip, media: MediaFormat) -> Line:
    """Get an utterance ready; its ends are faded, for a file may begin and end anywhere."""
    track = mouth_track(clip.samples, media.audio_rate_hz, media.samples_per_unit)
    soft = Clip(_soft_ends(clip.samples, media.audio_rate_hz), clip.units)
    return Line(soft, track, emphasis(track.open, media.fps), ease_units(media.fps))


def ease_units(fps: int) -> int:
    """Units of :data:`EASE_SECONDS`, one at least."""
    return max(1, round(EASE_SECONDS * fps))


def eased(shape: MouthShape, share: float) -> MouthShape:
    """A shape on its way from rest (0) to itself (1)."""
    share = min(max(share, 0.0), 1.0)
    share = share * share * (3.0 - 2.0 * share)
    if share == 0.0:
        return REST_SHAPE
    return MouthShape(share * shape.open, share * shape.wide, share * shape.round)


def faded_out(samples: Samples, rate_hz: int) -> Samples:
    """The start of some samples, silent after :data:`FADE_SECONDS`."""
    count = min(len(samples), round(FADE_SECONDS * rate_hz))
    faded = np.zeros_like(samples)
    ramp = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, count + 1) / count)
    faded[:count] = np.rint(samples[:count] * ramp[:, None])
    return faded


def emphasis(opening: Curve, fps: int) -> Curve:
    """Slow loudness of each unit, 0 to 1."""
    reach = max(1, round(EMPHASIS_SECONDS * fps))
    window = np.hanning(2 * reach + 3)[1:-1]
    around = np.pad(opening, len(window) // 2)
    slow = np.convolve(around, window / window.sum(), mode="valid")
    return np.clip(slow * 1.3, 0.0, 1.0)


def _soft_ends(samples: Samples, rate_hz: int) -> Samples:
    """The last unit is padded with zeros: the sound itself ends before them."""
    first, end = _first_heard(samples), len(samples) - _first_heard(samples[::-1])
    if first >= end:
        return samples
    count = min((end - first) // 2, round(FADE_SECONDS * rate_hz))
    soft = samples.copy()
    soft[end - count : end] = faded_out(samples[end - count : end], rate_hz)
    soft[first : first + count] = faded_out(samples[first : first + count][::-1], rate_hz)[::-1]
    return soft


def _first_heard(samples: Samples) -> int:
    """Number of the first sample that is not zero; of none: how many there are."""
    for start in range(0, len(samples), BLOCK_FRAMES):
        heard = samples[start : start + BLOCK_FRAMES].any(axis=1)
        if heard.any():
            return start + int(heard.argmax())
    return len(samples)
