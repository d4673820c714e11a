"""The test card can be read back, also small and badly encoded, and flashes when it beeps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.testcard import TestCard
from inference.timecode import TIME_BITS, TimeCode, draw_code, is_flash, read_code
from rawmedia import Frame, MediaFormat

from .conftest import unit

MEDIA = MediaFormat(640, 360, 25)
NOW = 1_795_188_658.205
CODE = TimeCode(1_795_188_658_205, 17)


def card_at(now: float, media: MediaFormat = MEDIA, units: int = 1) -> Frame:
    card = TestCard(media, lambda: now)
    frame, samples = unit(media)
    for _ in range(units):
        card.render(frame, samples)
    return frame


@given(st.integers(0, (1 << TIME_BITS) - 1), st.integers(0, 63))
def test_what_is_drawn_is_read(milliseconds: int, number: int) -> None:
    frame = np.full((36, 64, 3), 90, np.uint8)
    draw_code(frame, TimeCode(milliseconds, number))
    assert read_code(frame) == TimeCode(milliseconds, number)


@pytest.mark.parametrize("size", [(64, 36), (426, 240), (640, 360), (1280, 720), (1920, 1080)])
def test_the_card_of_any_size_says_when_it_was_drawn(size: tuple[int, int]) -> None:
    frame = card_at(NOW, MediaFormat(*size, 25), units=18)
    assert read_code(frame) == CODE


@pytest.mark.parametrize("size", [(320, 180), (427, 239), (1000, 562)])
def test_it_is_read_scaled_grey_and_noisy(size: tuple[int, int]) -> None:
    shown = cv2.resize(card_at(NOW, units=18), size, interpolation=cv2.INTER_LINEAR)
    noise = np.random.default_rng(1).normal(0, 20, shown.shape)
    noisy = np.clip(shown * 0.8 + 20 + noise, 0, 255).astype(np.uint8)
    assert read_code(noisy) == CODE
    assert read_code(np.asarray(cv2.cvtColor(noisy, cv2.COLOR_BGR2GRAY), np.uint8)) == CODE


def test_a_wrong_block_is_noticed() -> None:
    frame = card_at(NOW)
    for column in range(32):
        damaged = frame.copy()
        block = damaged[:20, column * 20 : column * 20 + 20]
        block[:] = 251 - block
        assert read_code(damaged) is None
    assert read_code(np.zeros((36, 64, 3), np.uint8)) is None
    assert read_code(np.full((36, 64, 3), 255, np.uint8)) is None


@pytest.mark.parametrize("fps", [1, 10, 25, 60])
def test_flash_and_beep_share_one_unit_of_each_second(fps: int) -> None:
    media = MediaFormat(64, 36, fps, 48_000, 2)
    card = TestCard(media)
    frame, samples = unit(media)
    period = max(2, fps)
    for index in range(3 * period):
        card.render(frame, samples)
        loud = index % period == period // 2
        assert is_flash(frame) is loud
        assert bool(samples.any()) is loud
        if loud:
            assert (np.abs(samples[0]) > 10_000).all(), "from the first sample on"
            assert not samples[4800:].any(), "no longer than a tenth of a second"


def test_neighbours_differ() -> None:
    card = TestCard(MEDIA, lambda: NOW)
    frame, samples = unit(MEDIA)
    card.render(frame, samples)
    for _ in range(5):
        before = frame.copy()
        card.render(frame, samples)
        assert (frame[80:] != before[80:]).sum() > 100, "the hand moves"
