"""Lips of a voice that is only just heard, against those of the whole recording."""

from __future__ import annotations

import numpy as np
import pytest

from inference.live_mouth import LiveMouth
from inference.mouth import envelope, mouth_track
from inference.speech import BUILT_IN_SAMPLE, Clip, load_clip

from .conftest import MEDIA, best_lag, correlation

UNIT = MEDIA.samples_per_unit
NOTHING = np.zeros((0, 1), np.int16)


@pytest.fixture(scope="module")
def sample() -> Clip:
    return load_clip(BUILT_IN_SAMPLE, MEDIA, 600)


def openings(clip: Clip, ahead_units: int) -> np.ndarray:
    mouth, follows = LiveMouth(MEDIA), clip.samples
    return np.array(
        [
            mouth.shape(clip.unit(n), follows[(n + 1) * UNIT : (n + 1 + ahead_units) * UNIT]).open
            for n in range(clip.units)
        ]
    )


@pytest.mark.parametrize(("ahead_units", "least"), [(2, 0.95), (0, 0.93)])
def test_lips_follow_what_is_heard_without_a_lag(
    sample: Clip, ahead_units: int, least: float
) -> None:
    loud = envelope(sample.samples, UNIT)
    opening = openings(sample, ahead_units)
    assert correlation(opening, loud) >= least
    assert best_lag(opening, loud) == 0
    assert opening.max() > 0.9


def test_they_are_the_lips_of_the_recording(sample: Clip) -> None:
    whole = mouth_track(sample.samples, MEDIA.audio_rate_hz, UNIT).open
    assert correlation(openings(sample, 2), whole) >= 0.97


@pytest.mark.parametrize("loudness", [1.0, 0.15])
def test_a_soft_voice_opens_them_as_well(sample: Clip, loudness: float) -> None:
    soft = np.rint(sample.samples * loudness).astype(np.int16)
    opening = openings(Clip(soft, sample.units), 2)
    later = opening[sample.units // 2 :]
    assert later.max() > 0.6


@pytest.mark.parametrize("level", [30, 165, 330])
def test_a_room_is_no_voice(level: int) -> None:
    chance, mouth = np.random.default_rng(level), LiveMouth(MEDIA)
    for _ in range(150):
        noise = np.rint(chance.normal(0, level, (UNIT, 1))).astype(np.int16)
        assert mouth.shape(noise, NOTHING).open == 0


def test_silence_is_exactly_rest() -> None:
    mouth, silence = LiveMouth(MEDIA), np.zeros((UNIT, 1), np.int16)
    for _ in range(300):
        shape = mouth.shape(silence, silence)
        assert (shape.open, shape.wide, shape.round) == (0, 0, 0)


def test_a_rustle_after_a_long_silence_is_no_shout() -> None:
    mouth, silence = LiveMouth(MEDIA), np.zeros((UNIT, 1), np.int16)
    for _ in range(600):
        mouth.shape(silence, NOTHING)
    rustle = np.rint(np.random.default_rng(3).normal(0, 60, (UNIT, 1))).astype(np.int16)
    assert mouth.shape(rustle, NOTHING).open < 0.1
