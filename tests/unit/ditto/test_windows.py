"""Windows become one motion; what comes out of a live one, and when."""

from __future__ import annotations

import numpy as np
import pytest

from inference.ditto.errors import DittoRefused
from inference.ditto.layout import Floats
from inference.ditto.windows import (
    Joining,
    LiveWindows,
    Overlap,
    begun_anew,
    joined,
    nothing,
    whole_motion,
)

DIMS = 265


def joining(frames: int, *, live: bool = True, reset: int = 0, smoothing: int = 0) -> Joining:
    start = np.full(DIMS, -9, np.float32)
    return Joining(Overlap(frames, live), start, reset, slice(0, 202), smoothing)


def told(first: int, count: int) -> Floats:
    """Conditions that say the number of their frame."""
    return np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None], 1103, axis=1)


def identity(_number: int, _start: Floats, window: Floats) -> Floats:
    """A model whose motion is the number of the frame."""
    return window[:, :DIMS].copy()


def live(frames: int) -> LiveWindows:
    return LiveWindows(joining(frames), told(-frames, frames), identity)


@pytest.mark.facts
@pytest.mark.parametrize(
    ("overlap", "numbers"), [(70, [20, 30, 40]), (75, [10, 15, 20]), (40, [80, 120])]
)
def test_when_which_frames_come_out(overlap: int, numbers: list[int]) -> None:
    windows, valid, came = live(overlap), 80 - overlap, []
    for frame in range(numbers[-1]):
        motion = windows.push(told(frame, 1))
        if len(motion):
            came.append(frame + 1)
            block = len(came) - 1
            wanted = np.arange(block * valid, (block + 1) * valid)
            assert motion[:, 0] == pytest.approx(wanted, abs=1e-4)
            assert motion[:, 264] == pytest.approx(wanted, abs=1e-4)
    assert came == numbers


@pytest.mark.facts
@pytest.mark.parametrize(
    ("overlap", "total"),
    [(40, 105), (45, 115), (50, 120), (53, 108), (60, 120), (70, 110), (75, 110)],
)
@pytest.mark.parametrize("at_once", [1, 5, 105])
def test_how_much_comes_out_of_105_frames(overlap: int, total: int, at_once: int) -> None:
    windows = live(overlap)
    pieces = [windows.push(told(i, at_once)) for i in range(0, 105, at_once)]
    motion = np.concatenate((*pieces, windows.close()))
    assert len(motion) == total
    # what was pushed comes out where it was; behind it the last frame goes on
    assert motion[:105, 0] == pytest.approx(np.minimum(np.arange(105), 104), abs=1e-3)


@pytest.mark.facts
@pytest.mark.parametrize(("overlap", "valid"), [(70, 10), (75, 5)])
def test_whole_blocks_give_a_block_more(overlap: int, valid: int) -> None:
    """N + valid, of which the last block is the end padded: trimmed by who knows the samples."""
    windows = live(overlap)
    motion = np.concatenate((windows.push(told(0, 100)), windows.close()))
    assert len(motion) == 100 + valid
    assert motion[:, 0] == pytest.approx(np.minimum(np.arange(100 + valid), 99), abs=1e-3)


@pytest.mark.facts
def test_fewer_frames_than_a_block_give_nothing() -> None:
    windows = live(70)
    assert len(windows.push(told(0, 9))) == 0
    assert len(windows.close()) == 0


@pytest.mark.facts
@pytest.mark.parametrize(("overlap", "late"), [(0, 80), (10, 60), (39, 2)])
def test_an_overlap_that_would_be_late_for_good_is_refused(overlap: int, late: int) -> None:
    with pytest.raises(DittoRefused, match=rf"would begin {late} frames late"):
        Overlap(overlap, live=True)
    assert Overlap(overlap, live=False).fuse == overlap


@pytest.mark.parametrize(("overlap", "is_live"), [(80, True), (80, False), (-1, False)])
def test_an_overlap_that_cannot_be_is_refused(overlap: int, is_live: bool) -> None:
    with pytest.raises(DittoRefused, match="overlap is"):
        Overlap(overlap, is_live)


@pytest.mark.facts
@pytest.mark.parametrize("count", [1, 79, 80, 81, 150, 151, 400])
@pytest.mark.parametrize("overlap", [0, 10, 40])
def test_offline_every_frame_is_where_it_was(count: int, overlap: int) -> None:
    motion = whole_motion(joining(overlap, live=False), told(0, count), identity)
    assert motion[:, 0] == pytest.approx(np.arange(count), abs=1e-3)


def test_the_first_window_only_warms_up_and_gives_the_zero() -> None:
    windows = live(70)
    windows.push(told(0, 10))
    assert windows.zero is not None
    assert windows.zero[0] == -70


def test_windows_are_mixed_by_a_ramp() -> None:
    """Two models that disagree by one: the second takes over frame by frame."""

    def predict(number: int, _start: Floats, _window: Floats) -> Floats:
        return np.full((80, DIMS), number, np.float32)

    windows = LiveWindows(joining(70), told(-70, 70), predict)
    motion = windows.push(told(0, 20))
    assert motion[:, 0] == pytest.approx(np.arange(10) / 10)


def test_what_is_thought_anew_is_not_mixed() -> None:
    plan = joining(70)
    state = joined(plan, nothing(plan), np.zeros((80, DIMS), np.float32))
    mixed = joined(plan, state, np.ones((80, DIMS), np.float32))
    anew = joined(plan, state, np.ones((80, DIMS), np.float32), anew=True)
    assert mixed.motion[70:80, 0] == pytest.approx(np.arange(10) / 10)
    assert anew.motion[70:80, 0].tolist() == [1.0] * 10
    assert anew.made == mixed.made == 90


@pytest.mark.parametrize(("reset", "pose", "expression"), [(0, 9, 9), (1, 9, -9), (2, 9, 9)])
def test_where_the_next_window_begins(reset: int, pose: float, expression: float) -> None:
    plan = joining(70, reset=reset)
    state = joined(plan, nothing(plan), told(0, 80)[:, :DIMS])
    assert state.start[[0, 201]].tolist() == [pose, pose]  # frame 80 - 70 - 1
    assert state.start[[202, 264]].tolist() == [expression, expression]
    assert begun_anew(plan, state).start.tolist() == [-9] * DIMS


def test_only_the_pose_is_smoothed_and_only_where_windows_meet() -> None:
    plan = joining(70, smoothing=3)
    state = joined(plan, nothing(plan), np.zeros((80, DIMS), np.float32))
    spikes = np.zeros((80, DIMS), np.float32)
    spikes[72:] = np.where(np.arange(8)[:, None] % 2, 3.0, 0.0)
    after = joined(plan, state, spikes).motion
    assert len(after) == 90
    assert after[80:, 202:].tolist() == spikes[70:, 202:].tolist()
    # of the new frames only the first may change: it is the last one of the mixed zone
    assert after[81:, 0].tolist() == spikes[71:, 0].tolist()
    plain = joined(joining(70), state, spikes).motion
    assert after[75, 0] == pytest.approx(plain[74:77, 0].mean())


def test_a_long_live_stream_keeps_little() -> None:
    plan = joining(70)
    state = nothing(plan)
    for _ in range(50):
        state = joined(plan, state, np.zeros((80, DIMS), np.float32))
    assert state.made == 80 + 49 * 10
    assert len(state.motion) == 160
