from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.mouth import MouthTrack, envelope, mouth_track
from inference.speech import BUILT_IN_SAMPLE, Clip, load_clip
from rawmedia import MediaFormat, Samples

from .conftest import MEDIA, best_lag, correlation

RATE = 48_000
PER_FRAME = RATE // 25

# First and second formants in hertz: what separates these vowels in every language that has them.
EE, OO, AH = (280, 2300), (300, 800), (750, 1200)


def vowel(formants: tuple[int, int], seconds: float = 0.6, pitch: float = 140.0) -> Samples:
    """A buzz with two resonances."""
    t = np.arange(int(seconds * RATE) // PER_FRAME * PER_FRAME) / RATE
    wave = np.zeros_like(t)
    for number in range(1, int(4000 / pitch)):
        frequency = number * pitch
        gain = sum(1 / (1 + ((frequency - f) / 90) ** 2) for f in formants)
        wave += gain / number**0.5 * np.sin(2 * np.pi * frequency * t)
    return as_samples(0.5 * wave / np.abs(wave).max())


def as_samples(wave: NDArray[np.float64]) -> Samples:
    return np.rint(wave * 32767).astype(np.int16)[:, None]


def silence(frames: int) -> Samples:
    return np.zeros((frames * PER_FRAME, 1), np.int16)


def track(samples: Samples) -> MouthTrack:
    return mouth_track(samples, RATE, PER_FRAME)


@pytest.fixture(scope="module")
def sample() -> Clip:
    return load_clip(BUILT_IN_SAMPLE, MEDIA, 600)


def test_silence_is_exactly_rest() -> None:
    shapes = track(silence(50))
    for curve in (shapes.open, shapes.wide, shapes.round):
        assert len(curve) == 50
        assert not curve.any()


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_room_noise_does_not_jitter_the_lips(loudness: int, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, loudness / 3, (20 * PER_FRAME, 1))
    quiet = np.clip(noise, -loudness, loudness).astype(np.int16)
    # before speech, as in a real recording: it decides what is loud
    shapes = track(np.concatenate((quiet, vowel(AH))))
    assert not shapes.open[:17].any()


def test_lips_close_fully_between_words() -> None:
    shapes = track(np.concatenate((vowel(AH), silence(12), vowel(AH))))
    middle = len(shapes.open) // 2
    assert not shapes.open[middle - 3 : middle + 3].any()
    assert shapes.open.max() > 0.7


def test_built_in_sample_opens_with_its_envelope(sample: Clip) -> None:
    loud = envelope(sample.samples, MEDIA.samples_per_unit)
    opening = track(sample.samples).open
    assert correlation(opening, loud) >= 0.9
    assert best_lag(opening, loud) == 0


def test_built_in_sample_has_pauses_and_all_shapes(sample: Clip) -> None:
    shapes = track(sample.samples)
    assert 18 * 25 <= sample.units <= 27 * 25
    resting = (shapes.open == 0).astype(int)
    starts = np.flatnonzero(np.diff(np.concatenate(([0], resting, [0]))) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate(([0], resting, [0]))) == -1)
    assert sum(end - start >= 8 for start, end in zip(starts, ends, strict=True)) >= 4
    for curve in (shapes.open, shapes.wide, shapes.round):
        assert np.percentile(curve, 95) > 0.5


@given(st.floats(95.0, 240.0))
@settings(max_examples=25, deadline=None)
def test_vowels_have_their_shapes_at_every_pitch(pitch: float) -> None:
    ee, oo, ah = (track(vowel(v, pitch=pitch)) for v in (EE, OO, AH))
    middle = slice(4, -4)
    assert ee.wide[middle].mean() > 0.5 > ee.round[middle].mean()
    assert oo.round[middle].mean() > 0.5 > oo.wide[middle].mean()
    assert max(ah.wide[middle].mean(), ah.round[middle].mean()) < 0.5


@given(
    st.lists(st.integers(0, 32767), min_size=3, max_size=12),
    st.sampled_from([(8_000, 25), (16_000, 1), (22_050, 25), (44_100, 60), (48_000, 24)]),
)
@settings(max_examples=30, deadline=None)
def test_every_sound_gives_shapes_in_bounds(loudness: list[int], timing: tuple[int, int]) -> None:
    rate, fps = timing
    per_frame = rate // fps
    noise = np.random.default_rng(1).uniform(-1, 1, (len(loudness), per_frame))
    samples = (noise * np.array(loudness)[:, None]).astype(np.int16).reshape(-1, 1)
    shapes = mouth_track(samples, rate, per_frame)
    for curve in (shapes.open, shapes.wide, shapes.round):
        assert curve.shape == (len(loudness),)
        assert np.isfinite(curve).all()
        assert curve.min() >= 0
        assert curve.max() <= 1


def test_a_quiet_recording_opens_as_far_as_a_loud_one() -> None:
    loud = np.concatenate((silence(10), vowel(AH), silence(10)))
    quiet = (loud // 12).astype(np.int16)
    assert track(quiet).open.max() == pytest.approx(track(loud).open.max(), abs=0.1)


def test_a_click_sits_in_its_own_frame() -> None:
    samples = silence(40)
    samples[20 * PER_FRAME : 21 * PER_FRAME] = vowel(AH, 0.04)
    assert int(np.argmax(track(samples).open)) == 20


def test_beyond_the_end_is_rest() -> None:
    shapes = track(vowel(AH))
    assert shapes.shape(len(shapes.open)).open == 0
    assert shapes.shape(-1).open == 0


def test_stereo_is_heard_as_its_middle() -> None:
    mono = vowel(AH)
    stereo = np.repeat(mono, 2, axis=1)
    media = MediaFormat(640, 360, 25, audio_channels=2)
    both = mouth_track(stereo, RATE, media.samples_per_unit)
    assert np.allclose(both.open, track(mono).open)
