"""Pictures at 12 to 17 a second become units at the stream's rate, each with its own sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacing import Paced
from rawmedia import FormatError, Frame, MediaFormat, Producer, Samples

MEDIA = MediaFormat(16, 16, 25, 8_000, 2)
UNIT = MEDIA.samples_per_unit


class Written(Producer):
    """Remembers units instead of sending them: a list is all that is between."""

    def __init__(self) -> None:
        self.media = MEDIA
        self.units: list[tuple[int, Samples]] = []

    def write(self, frame: Frame, samples: Samples, mark: int = 0) -> None:
        self.units.append((int(frame[0, 0, 0]), samples.copy()))


def picture(number: int) -> Frame:
    return np.full((16, 16, 3), number, np.uint8)


def sound(number: int, count: int) -> Samples:
    """Samples that tell which picture they belong to."""
    return np.full((count, 2), number, np.int16)


def paced_units(lengths: list[int]) -> list[tuple[int, Samples]]:
    out = Written()
    paced = Paced(out)
    for number, length in enumerate(lengths):
        frame = picture(number)
        paced.write(frame, sound(number, length))
        frame[:] = 255  # a caller may draw the next one into the same memory
    return out.units


@given(st.lists(st.integers(0, 4 * UNIT), max_size=60))
def test_all_sound_comes_out_in_order_and_pictures_with_it(lengths: list[int]) -> None:
    units = paced_units(lengths)
    heard = np.concatenate([s for _p, s in units]) if units else np.empty((0, 2), np.int16)
    meant = np.concatenate([sound(n, count) for n, count in enumerate(lengths)] or [heard])
    assert len(meant) - UNIT < len(heard) <= len(meant)
    assert np.array_equal(heard, meant[: len(heard)])
    for index, (shown, _samples) in enumerate(units):
        assert shown == meant[index * UNIT + UNIT // 2, 0], "the unit's middle decides"


@pytest.mark.parametrize("rate", [12, 12.5, 15, 17])
def test_a_model_slower_than_the_stream_is_repeated_and_never_drifts(rate: float) -> None:
    edges = [round(n * 8_000 / rate) for n in range(200)]
    units = paced_units(list(np.diff(edges)))
    assert {shown for shown, _ in units} >= set(range(198)), "no picture is left out"
    for index, (shown, _samples) in enumerate(units):
        start, end = edges[shown], edges[shown + 1]
        assert start - UNIT / 2 <= index * UNIT <= end, "within half a unit of its sound"


def test_a_changing_rate_keeps_each_picture_with_its_sound() -> None:
    rng = np.random.default_rng(5)
    lengths = [round(8_000 / rate) for rate in rng.uniform(12, 17, 200)]
    edges = np.cumsum([0, *lengths])
    for index, (shown, _samples) in enumerate(paced_units(lengths)):
        begins = index * UNIT
        assert edges[shown] - UNIT / 2 <= begins < edges[shown + 1]


@pytest.mark.parametrize(
    ("frame", "samples", "words"),
    [
        (np.zeros((16, 8, 3), np.uint8), sound(0, 9), r"\(16, 8, 3\).*takes \(16, 16, 3\)"),
        (np.zeros((16, 16, 3), np.float32), sound(0, 9), "float32"),
        (picture(0), np.zeros((9, 1), np.int16), r"\(9, 1\).*\(N, 2\)"),
        (picture(0), np.zeros(9, np.int16), r"\(9,\)"),
        (picture(0), np.zeros((9, 2), np.float32), "float32.*int16"),
    ],
)
def test_wrong_arrays_are_named(frame: Frame, samples: Samples, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        Paced(Written()).write(frame, samples)
