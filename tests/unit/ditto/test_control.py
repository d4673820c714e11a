"""Blinks, fades, and what is asked of single frames."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inference.ditto.control import (
    Blinks,
    Control,
    ControlRejected,
    Direction,
    fades,
    read_direction,
)
from inference.ditto.errors import DittoRefused

SHAPES = np.zeros((15, 63), np.float32)


def starts(plan: list[int]) -> list[int]:
    return [i for i, place in enumerate(plan) if place == 1]


def test_blinks_come_after_their_time_and_are_whole() -> None:
    plan = Blinks(SHAPES).plan(3000, seed=1)
    at = starts(plan)
    assert len(plan) == 3000
    assert len(at) > 20
    assert 60 <= at[0] - 1 <= 100
    assert all(15 + 60 <= b - a <= 15 + 100 for a, b in pairwise(at))
    assert all(plan[i - 1 : i + 14] == list(range(15)) for i in at)
    assert plan[-15:] == [0] * 15
    assert plan == Blinks(SHAPES).plan(3000, seed=1)
    assert plan != Blinks(SHAPES).plan(3000, seed=2)


def test_blinks_as_told() -> None:
    fixed = starts(Blinks(SHAPES, 20).plan(200, 1))
    assert fixed == [21, 56, 91, 126, 161]  # 20 frames open, 15 of the blink
    listed = starts(Blinks(SHAPES, (5, 10, 30, 40)).plan(200, 1))
    # gaps 10, 30, 40, 5: from the second on, round and round (DITTO_FACTS section 15b)
    assert listed == [6, 31, 76, 131, 151]  # none begins in the last 40
    assert starts(Blinks(SHAPES, -1).plan(3000, 1)) == []
    assert starts(Blinks(SHAPES).plan(60, 1)) == []


def test_fades() -> None:
    assert fades(10, 4, 0) == {0: 0.0, 1: 0.25, 2: 0.5, 3: 0.75}
    assert fades(10, 0, 3) == {6: 1.0, 7: pytest.approx(2 / 3), 8: pytest.approx(1 / 3), 9: 0.0}
    assert fades(10, 0, 0) == fades(10, -1, -1) == {}
    assert set(fades(2, 5, 5)) == {0, 1}


def test_a_frame_asks_over_what_is_asked_throughout() -> None:
    plan = Direction(Control(delta_pitch=2, alpha_exp=0.5), {3: Control(delta_pitch=-1)})
    assert plan.at(0) == Control(delta_pitch=2, alpha_exp=0.5)
    assert plan.at(3) == Control(delta_pitch=-1, alpha_exp=0.5)
    faded = plan.faded(10, 4, 0)
    assert faded.at(3) == Control(delta_pitch=-1, alpha_exp=0.5, fade_alpha=0.75)
    assert faded.at(9) == plan.at(9)


def test_a_file_of_controls(tmp_path: Path) -> None:
    path = tmp_path / "control.json"
    path.write_text(json.dumps({"overall": {"delta_yaw": 3}, "frames": {"2": {"alpha_exp": 0}}}))
    plan = read_direction(path)
    assert plan.at(2) == Control(delta_yaw=3, alpha_exp=0)


def test_a_file_of_controls_lies_over_what_the_checkpoint_asks(tmp_path: Path) -> None:
    """The published configurations look down by two degrees throughout."""
    path, general = tmp_path / "control.json", Control(delta_pitch=2)
    path.write_text('{"frames": {"2": {"delta_yaw": 5}}}')
    plan = read_direction(path, general)
    assert plan.at(0) == Control(delta_pitch=2)
    assert plan.at(2) == Control(delta_pitch=2, delta_yaw=5)
    path.write_text('{"overall": {"delta_pitch": 0}}')
    assert read_direction(path, general).at(0) == Control(delta_pitch=0)


def test_controls_as_text() -> None:
    assert Control.parse("") == Control.parse(" , ") == Control()
    assert Control.parse("delta_pitch=0, alpha_exp = .8") == Control(delta_pitch=0, alpha_exp=0.8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("delta_pitch", "give name=number"),
        ("delta_pitch=up", "give name=number"),
        ("pitch=2", "known are alpha_exp"),
        ("delta_yaw=nan", "give a finite number"),
        ("delta_yaw=-inf", "give a finite number"),
    ],
)
def test_text_that_is_no_control(text: str, words: str) -> None:
    with pytest.raises(DittoRefused, match=words):
        Control.parse(text)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("[]", ControlRejected, "it holds no controls"),
        ("{", ControlRejected, "it holds no controls"),
        ('{"frames": {"x": {}}}', ControlRejected, "it holds no controls"),
        ("[" * 100_000, ControlRejected, "it holds no controls"),
        ('{"overall": {"delta_pitsch": 1}}', DittoRefused, "delta_pitsch"),
        ('{"overall": {"delta_pitch": "1"}}', DittoRefused, "give a number"),
        ('{"overall": {"delta_pitch": true}}', DittoRefused, "give a number"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    path = tmp_path / "control.json"
    path.write_text(text)
    with pytest.raises(error, match=words):
        read_direction(path)
