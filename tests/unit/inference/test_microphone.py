"""Sound by the clock from a device that keeps another: never late, silent while there is none."""

from __future__ import annotations

import numpy as np
import pytest

from inference.errors import DecoderMissing, UnknownMicrophone
from inference.microphone import DEPTH_SECONDS, JitterBuffer, check_microphone, microphone_argv
from rawmedia import MediaFormat, Samples

from .conftest import unit

MEDIA = MediaFormat(64, 64, 25, 8_000, 2)
UNIT = MEDIA.samples_per_unit
DEPTH = 3 * UNIT  # 120 ms


def taken(buffer: JitterBuffer) -> Samples:
    _frame, samples = unit(MEDIA)
    samples[:] = 99
    buffer.take(samples)
    return samples


def numbered(first: int, count: int) -> bytes:
    return np.repeat(np.arange(first, first + count, dtype=np.int16)[:, None], 2, 1).tobytes()


def test_the_depth_is_that_of_the_page() -> None:
    assert DEPTH_SECONDS * MEDIA.audio_rate_hz == DEPTH


def test_sound_comes_whole_and_in_order_after_the_depth() -> None:
    buffer = JitterBuffer(MEDIA)
    buffer.add(numbered(1, DEPTH - 1))
    assert not taken(buffer).any(), "less than the depth"
    buffer.add(numbered(DEPTH, 1))
    for number in range(3):
        first = 1 + number * UNIT
        assert taken(buffer)[:, number % 2].tolist() == list(range(first, first + UNIT))
    assert not taken(buffer).any()


def test_after_a_gap_the_depth_is_filled_anew() -> None:
    buffer = JitterBuffer(MEDIA)
    buffer.add(numbered(1, DEPTH))
    for _ in range(4):
        taken(buffer)
    buffer.add(numbered(1, DEPTH - 1))
    assert not taken(buffer).any()
    buffer.add(numbered(DEPTH, 1))
    assert taken(buffer)[0, 0] == 1


def test_a_device_with_a_faster_clock_never_adds_delay() -> None:
    buffer = JitterBuffer(MEDIA)
    first = 1
    for _ in range(90):
        buffer.add(numbered(first, UNIT + 20))
        first += UNIT + 20
        samples = taken(buffer)
        if samples.any():
            assert first - int(samples[-1, 0]) < 0.4 * MEDIA.audio_rate_hz
        assert (samples[:, 0] == samples[:, 1]).all(), "channels stay where they are"


@pytest.mark.parametrize(
    "name", ["", "default", "jack:x", "alsa:", "alsa:a b", "alsa:-i\n", "lavfi:x"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownMicrophone, match="alsa:DEVICE or pulse:DEVICE"):
        check_microphone(name, "")
    with pytest.raises(UnknownMicrophone):
        microphone_argv("ffmpeg", name, MEDIA)


def test_a_missing_ffmpeg_is_told() -> None:
    with pytest.raises(DecoderMissing, match="/nonexistent"):
        check_microphone("alsa:default", "/nonexistent/ffmpeg")
