"""Mouth shapes of a voice while it is heard, unit by unit.

The same analysis as of a file, over a window that moves along: some units that were heard, the one
to be shown, and what already waits behind it in the jitter buffer. That is heard in any case only
after this unit, so looking at it costs no delay, and the lips lag behind the sound by nothing here
either. How loud the voice is must be learnt on the way; until then it is taken for a usual one.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from inference.mouth import (
    ABOVE_NOISE,
    LOUD_PERCENTILE,
    NOISE_PERCENTILE,
    SILENCE,
    STEPS_PER_SECOND,
    MouthShape,
    Scale,
    envelope,
    mouth_track,
)
from rawmedia import MediaFormat, Samples

# Six times as long as a lip takes to fall shut: what was before no longer shows.
PAST_SECONDS = 0.24
# What is looked at of the future, if it is there: as long as a lip is on its way.
AHEAD_SECONDS = 0.08
# A voice is known by its last seconds, noise by a shorter time: it may begin at any moment.
VOICE_SECONDS, NOISE_SECONDS = 10, 4
# Loud syllables of somebody at a usual distance from a usual microphone; for a second.
USUAL_VOICE, USUAL_SECONDS = 0.1, 1
# Whatever is softer than this, all of it, is no voice: it must not be blown up to one.
SOFTEST_VOICE = 0.02
# In a room so noisy the lips follow the loud syllables only.
MOST_NOISE = 0.3


class LiveMouth:
    """Follows one voice.

    Args:
        media: of the units.
    """

    def __init__(self, media: MediaFormat) -> None:
        self._media = media
        unit = media.samples_per_unit
        self._steps = max(1, round(STEPS_PER_SECOND / media.fps))
        self._past = np.zeros((_units(PAST_SECONDS, media) * unit, media.audio_channels), np.int16)
        usual = [USUAL_VOICE] * (USUAL_SECONDS * STEPS_PER_SECOND)
        self._voice = deque(usual, maxlen=VOICE_SECONDS * STEPS_PER_SECOND)
        self._levels: deque[float] = deque([0.0], maxlen=NOISE_SECONDS * STEPS_PER_SECOND)

    def shape(self, unit: Samples, ahead: Samples) -> MouthShape:
        """The mouth in the next unit; ``ahead``: as much as is known of what follows it."""
        media, known = self._media, self._past
        scale = self._learn(unit)
        rest = _units(AHEAD_SECONDS, media) * media.samples_per_unit
        future = np.zeros((rest, media.audio_channels), np.int16)
        count = min(rest, len(ahead))
        future[:count] = ahead[:count]
        window = np.concatenate((known, unit, future))
        self._past = np.concatenate((known, unit))[len(unit) :]
        track = mouth_track(window, media.audio_rate_hz, media.samples_per_unit, scale)
        return track.shape(len(known) // media.samples_per_unit)

    def _learn(self, unit: Samples) -> Scale:
        steps = envelope(unit, len(unit) // self._steps).tolist()
        self._levels.extend(steps)
        loud = max(SOFTEST_VOICE, float(np.percentile(self._voice, LOUD_PERCENTILE)))
        noise = float(np.percentile(self._levels, NOISE_PERCENTILE)) * ABOVE_NOISE
        floor = max(SILENCE, min(noise, MOST_NOISE * loud))
        self._voice.extend(level for level in steps if level > floor)
        return Scale(floor, loud)


def _units(seconds: float, media: MediaFormat) -> int:
    return max(1, round(seconds * media.fps))
