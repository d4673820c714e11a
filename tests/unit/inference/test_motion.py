from __future__ import annotations

from dataclasses import astuple, fields
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.motion import Pose, pose

MINUTES = range(25 * 240)
FIELDS = [field.name for field in fields(Pose)]


@given(st.integers(0, 10**9), st.integers(1, 60), st.integers(0, 2**32), st.floats(0, 1))
def test_a_pose_depends_on_nothing_but_its_arguments(
    index: int, fps: int, seed: int, emphasis: float
) -> None:
    first = pose(index, fps, seed, emphasis)
    assert pose(index, fps, seed, emphasis) == first
    assert all(-2.0 <= value <= 2.0 for value in astuple(first))
    assert 0.0 <= first.lids <= 1.0


def test_known_frame_stays_what_it_was() -> None:
    """Another process, another day: the same picture (Python salts its own hash)."""
    assert pose(1000, 25).x == pytest.approx(0.8021, abs=1e-4)


@pytest.mark.parametrize("name", ["x", "y", "tilt", "breath"])
def test_the_head_never_jumps(name: str) -> None:
    values = [getattr(pose(i, 25), name) for i in MINUTES]
    assert max(abs(b - a) for a, b in pairwise(values)) < 0.1
    assert max(values) - min(values) > 0.8


def test_blinks_come_at_a_natural_pace_and_are_short() -> None:
    lids = [pose(i, 25).lids for i in MINUTES]
    starts = [i for i in MINUTES[1:] if lids[i - 1] == 0 < lids[i]]
    per_minute = len(starts) / 4
    assert 12 <= per_minute <= 26
    gaps = sorted(b - a for a, b in pairwise(starts))
    assert gaps[len(gaps) // 10] < gaps[-1] / 2, "blinks like a clock"
    shut = max(len(run) for run in "".join("x" if v > 0 else " " for v in lids).split())
    assert shut <= 9
    assert max(lids) > 0.95


def test_the_eyes_rest_between_jumps() -> None:
    gaze = [(pose(i, 25).gaze_x, pose(i, 25).gaze_y) for i in MINUTES]
    still = sum(a == b for a, b in pairwise(gaze))
    assert still / len(gaze) > 0.9
    assert 0.3 < sum(g == (0.0, 0.0) for g in gaze) / len(gaze) < 0.8


def test_another_seed_is_another_temperament() -> None:
    assert [pose(i, 25, 1).lids for i in range(500)] != [pose(i, 25, 2).lids for i in range(500)]


def test_emphasis_raises_the_brows() -> None:
    assert pose(7, 25, emphasis=1.0).brows > pose(7, 25).brows == 0.0


def test_time_is_seconds_not_frames() -> None:
    assert pose(50, 25) == pose(100, 50)
