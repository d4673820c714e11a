"""Both ends of what is said: lips come from rest and go back to it, and nothing clicks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inference.line import EASE_SECONDS, FADE_SECONDS, ease_units, eased, faded_out, line_of
from inference.mouth import REST_SHAPE, MouthShape
from inference.speech import Clip, load_clip
from rawmedia import MediaFormat, Samples

MEDIA = MediaFormat(64, 64, 25)
RATE_HZ = MEDIA.audio_rate_hz


def tone(units: int, channels: int = 1, missing: int = 0) -> Samples:
    """A loud vowel from its first sample to its last, padded to whole units."""
    count = units * MEDIA.samples_per_unit
    seconds = np.arange(count) / RATE_HZ
    wave = 0.4 * np.cos(2 * np.pi * 150 * seconds) + 0.3 * np.cos(2 * np.pi * 900 * seconds)
    samples = np.repeat(np.rint(32767 * wave).astype(np.int16)[:, None], channels, axis=1)
    samples[count - missing :] = 0
    return samples


def largest_step(samples: Samples) -> int:
    heard = np.concatenate((np.zeros_like(samples[:1]), samples, np.zeros_like(samples[:1])))
    return int(np.abs(np.diff(heard.astype(np.int32), axis=0)).max())


@pytest.mark.parametrize(("channels", "missing"), [(1, 0), (2, 0), (1, 777)])
def test_a_file_that_begins_and_ends_in_the_middle_of_a_sound_does_not_click(
    channels: int, missing: int
) -> None:
    hard = tone(10, channels, missing)
    soft = line_of(Clip(hard, 10), MEDIA)
    heard = np.concatenate([soft.samples(place) for place in range(10)])
    within = int(np.abs(np.diff(hard[:4000].astype(np.int32), axis=0)).max())
    assert largest_step(hard) > 5 * within, "the test would not see a click"
    assert largest_step(heard) <= 1.1 * within
    fade = round(FADE_SECONDS * RATE_HZ)
    assert (
        heard[fade : len(heard) - missing - fade] == hard[fade : len(hard) - missing - fade]
    ).all()


def test_lips_come_from_rest_and_go_back_to_it() -> None:
    line = line_of(Clip(tone(10), 10), MEDIA)
    assert line.track.shape(0).open > 0.3, "the test would not see a jump"
    assert line.shape(-line.ease - 1) == REST_SHAPE
    assert line.shape(line.units + line.ease) == REST_SHAPE
    whole = [line.shape(place).open for place in range(-line.ease - 1, line.units + line.ease + 1)]
    way = np.abs(np.diff(whole))
    assert way.max() <= 0.5 * max(whole)
    assert whole[: line.ease + 2] == sorted(whole[: line.ease + 2])


def test_silence_is_a_line_too() -> None:
    line = line_of(Clip(np.zeros((4 * MEDIA.samples_per_unit, 1), np.int16), 4), MEDIA)
    assert all(line.shape(place) == REST_SHAPE for place in range(-line.ease, 10))


@pytest.mark.parametrize("fps", [1, 5, 25, 60])
def test_the_way_takes_as_long_at_any_rate(fps: int) -> None:
    assert ease_units(fps) >= 1
    assert abs(ease_units(fps) / fps - EASE_SECONDS) <= max(0.5, 1) / fps


def test_a_share_of_a_shape() -> None:
    shape = MouthShape(0.8, 0.4, 0.2)
    assert eased(shape, 1.0) == shape
    assert eased(shape, 0.0) == eased(shape, -3.0) == REST_SHAPE
    assert eased(shape, 0.5).open == pytest.approx(0.4)


def test_a_fade_is_over_after_its_time() -> None:
    samples = np.full((1920, 2), 20_000, np.int16)
    faded = faded_out(samples, RATE_HZ)
    assert faded.dtype == np.int16
    assert not faded[480:].any()
    assert faded[0].tolist() == pytest.approx([20_000, 20_000], rel=0.01)
    assert (np.diff(faded[:480, 0].astype(int)) <= 0).all()
    assert not faded_out(samples[:100], RATE_HZ)[99:].any()


def test_a_long_one_needs_a_few_times_its_own_memory(tmp_path: Path) -> None:
    """While it is decoded, looked at and faded; a copy of it in 64 bits would be eight times it."""
    path = tmp_path / "long.flac"
    soundfile.write(path, np.tile(tone(25), (180, 1)), RATE_HZ)
    tracemalloc.start()
    try:
        line = line_of(load_clip(path, MEDIA, 600), MEDIA)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert line.units == 180 * MEDIA.fps
    assert peak < 4.5 * line.clip.samples.nbytes, f"{peak / line.clip.samples.nbytes:.1f} times"
