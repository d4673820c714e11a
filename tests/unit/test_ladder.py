from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.errors import ImpossibleLadder
from encoder.ladder import HIGHEST_KBIT, Rung, plan_ladder
from rawmedia import MediaFormat

HD = MediaFormat(1280, 720, 25)


def test_auto_is_the_source_and_a_rung_for_phones() -> None:
    assert plan_ladder("auto", HD, 700) == (
        Rung("v0", 1280, 720, 700),
        Rung("v1", 640, 360, 280),
    )


def test_upright_sources_keep_their_shape() -> None:
    assert plan_ladder("auto", MediaFormat(720, 1280, 25), 1000)[1] == Rung("v1", 360, 640, 300)


def test_single_is_one_rung() -> None:
    assert plan_ladder("single", HD, 700) == (Rung("v0", 1280, 720, 700),)


def test_given_rungs_are_sorted_best_first() -> None:
    rungs = plan_ladder("640x360:300, 1280x720:900,960x540:600", HD, 700)
    assert [(r.name, r.height, r.kbit) for r in rungs] == [
        ("v0", 720, 900),
        ("v1", 540, 600),
        ("v2", 360, 300),
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("best", "640x360:300"),
        ("1920x1080:900", "1280x720"),
        ("641x360:300", "even"),
        ("640x480:300", "shape"),
        ("640x360:20", "50 to"),
        ("640x360:300,320x180:300", "same bit rate"),
        (",".join(f"640x360:{n}" for n in range(100, 107)), "6 are the most"),
        ("", "640x360:300"),
    ],
)
def test_impossible_ladders_say_why(text: str, word: str) -> None:
    with pytest.raises(ImpossibleLadder, match="ladder ") as refused:
        plan_ladder(text, HD, 700)
    assert word in str(refused.value)


@given(
    st.integers(8, 2048),
    st.integers(8, 2048),
    st.integers(50, HIGHEST_KBIT),
)
def test_auto_fits_any_source(half_width: int, half_height: int, kbit: int) -> None:
    """Rule 50: two bit rates, the smaller one no larger in any way."""
    media = MediaFormat(2 * half_width, 2 * half_height, 25)
    best, mobile = plan_ladder("auto", media, kbit)
    assert (best.width, best.height, best.kbit) == (media.width, media.height, kbit)
    assert mobile.width <= best.width
    assert mobile.height <= best.height
    assert mobile.kbit < best.kbit
    assert mobile.kbit <= 300
    assert mobile.width % 2 == mobile.height % 2 == 0


@given(st.text(max_size=40))
def test_any_other_text_is_refused_or_read(text: str) -> None:
    with contextlib.suppress(ImpossibleLadder):
        assert plan_ladder(text, HD, 700)
