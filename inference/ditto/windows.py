"""Windows of 80 frames become one motion: how they overlap, meet and go on from each other.

The state between two windows is a value that is never changed: whoever keeps an earlier one can go
back to it, which is how a face that was interrupted thinks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from inference.ditto.diffusion import WINDOW
from inference.ditto.errors import DittoRefused
from inference.ditto.layout import MOTION_DIMS, POSE_DIMS, Floats

# Below it the first frames of a live stream would never be made: the lips would be late for good.
LEAST_LIVE_OVERLAP = 40
_KEPT = 2 * WINDOW  # frames of motion that the next window may need

# From the number of a window, the motion before it (265,) and its (80, 1103), its motion (80, 265).
Predict = Callable[[int, Floats, Floats], Floats]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How windows lie over each other.

    Raises:
        DittoRefused: an overlap that cannot be.
    """

    frames: int
    live: bool

    def __post_init__(self) -> None:
        low = LEAST_LIVE_OVERLAP if self.live else 0
        if not low <= self.frames < WINDOW:
            why = (
                f"below {LEAST_LIVE_OVERLAP} a live stream would begin {WINDOW - 2 * self.frames} "
                "frames late"
                if 0 <= self.frames < low
                else f"a window has {WINDOW} frames"
            )
            raise DittoRefused(
                f"overlap is {self.frames}: it must be from {low} to {WINDOW - 1}, for {why}"
            )

    @property
    def valid(self) -> int:
        """New frames in each window."""
        return WINDOW - self.frames

    @property
    def fuse(self) -> int:
        """Frames over which two windows are mixed."""
        return min(self.frames, self.valid) if self.live else self.frames


@dataclass(frozen=True, slots=True)
class Joining:
    """How a window goes on from the one before it."""

    overlap: Overlap
    start: Floats  # (265,): what the first one begins with
    reset_every: int  # windows after which the expression begins anew; 0: never
    reset_keeps: slice | None  # what goes on then; None: nothing
    smoothing: int  # width of the mean over the pose where windows meet


@dataclass(frozen=True, slots=True)
class Joined:
    """What has been joined so far: the end of the motion, and the next window's beginning."""

    windows: int
    motion: Floats  # Nx265: of all that was made, the last 160 frames at most
    made: int  # frames
    start: Floats  # (265,)


def nothing(joining: Joining) -> Joined:
    """Before the first window."""
    return Joined(0, np.zeros((0, MOTION_DIMS), np.float32), 0, joining.start)


def joined(joining: Joining, before: Joined, window: Floats, *, anew: bool = False) -> Joined:
    """The next window, (80, 265), joined to what was there; ``anew``: in its place, unmixed."""
    overlap = joining.overlap
    if before.windows == 0:
        motion, first, last = window.copy(), 0, WINDOW - 1
    else:
        motion = _fused(before.motion, window, overlap, anew=anew)
        last = len(motion) - overlap.valid
        first = last - overlap.fuse
    motion = _smoothed(motion, first, last, joining.smoothing)
    kept = motion[-_KEPT:] if overlap.live else motion
    goes_on = motion[len(motion) - overlap.frames - 1]
    return Joined(
        before.windows + 1,
        kept,
        before.made + (WINDOW if before.windows == 0 else overlap.valid),
        _start(joining, before.windows + 1, goes_on),
    )


def _fused(motion: Floats, window: Floats, overlap: Overlap, *, anew: bool) -> Floats:
    fuse, frames = overlap.fuse, overlap.frames
    if fuse == 0:
        return np.concatenate((motion, window))
    if anew:
        return np.concatenate((motion[:-fuse], window[frames - fuse :]))
    share = (np.arange(fuse, dtype=np.float32) / np.float32(fuse))[:, None]
    mixed = (1 - share) * motion[-fuse:] + share * window[frames - fuse : frames]
    return np.concatenate((motion[:-fuse], mixed, window[frames:])).astype(np.float32)


def _smoothed(motion: Floats, first: int, last: int, width: int) -> Floats:
    """The pose is averaged over its neighbours from ``first`` to ``last``, both included."""
    reach = width // 2
    if reach < 1:
        return motion
    smooth = motion.copy()
    for i in range(max(first, 0), min(last, len(motion) - 1) + 1):
        around = motion[max(0, i - reach) : i + reach + 1, POSE_DIMS]
        smooth[i, POSE_DIMS] = around.mean(axis=0, dtype=np.float32)
    return smooth


def _start(joining: Joining, windows: int, goes_on: Floats) -> Floats:
    if joining.reset_every <= 0 or windows % joining.reset_every:
        return goes_on
    start = joining.start.copy()
    if joining.reset_keeps is not None:
        start[joining.reset_keeps] = goes_on[joining.reset_keeps]
    return start


def clipped(motion: Floats, limits: Floats | None) -> Floats:
    """Motion within what the model was shown; ``limits`` has the least, then the most."""
    if limits is None:
        return motion
    inside: Floats = np.clip(motion, limits[0], limits[1]).astype(np.float32)
    return inside


def whole_motion(joining: Joining, told: Floats, predict: Predict) -> Floats:
    """Of a whole sound, offline: (N, 265) of (N, 1103), not clipped."""
    state, valid = nothing(joining), joining.overlap.valid
    while state.made < len(told) or not state.windows:
        first = state.windows * valid
        window = _padded(told[first : first + WINDOW], WINDOW)
        state = joined(joining, state, predict(state.windows, state.start, window))
    motion = state.motion[: len(told)]
    return _smoothed(motion, 0, len(motion) - 1, joining.smoothing)


def _padded(told: Floats, count: int) -> Floats:
    missing = count - len(told)
    if missing <= 0:
        return told
    return np.concatenate((told, np.repeat(told[-1:], missing, axis=0)))


class LiveWindows:
    """Takes conditions as they come, gives motion as soon as it is settled.

    What is given lags behind the newest condition by :attr:`Overlap.fuse` frames at least.

    Args:
        joining: with a live overlap.
        silence: (overlap, 1103) conditions of the frames before the first.
        predict: makes windows.
    """

    def __init__(self, joining: Joining, silence: Floats, predict: Predict) -> None:
        assert joining.overlap.live
        self.zero: Floats | None = None  # the motion that others are measured from, once known
        self._joining = joining
        self._predict = predict
        self._waiting = silence
        self._pending = silence[:0]
        self._state = nothing(joining)

    def push(self, told: Floats) -> Floats:
        """Take (N, 1103); the value is the motion that is settled now, in order, none twice."""
        self._pending = np.concatenate((self._pending, told))
        valid, given = self._joining.overlap.valid, []
        if len(self._pending) >= valid:
            self._waiting = np.concatenate((self._waiting, self._pending))
            self._pending = self._pending[:0]
        while len(self._waiting) >= WINDOW:
            given.append(self._settled(self._waiting[:WINDOW], valid))
            self._waiting = self._waiting[valid:]
        return np.concatenate((self._state.motion[:0], *given))

    def close(self) -> Floats:
        """The rest, as if the last condition went on; it may be longer than what was pushed."""
        self._waiting = np.concatenate((self._waiting, self._pending))
        if not len(self._waiting) or not self._state.windows:
            return self._state.motion[:0]
        count = min(2 * self._joining.overlap.valid, len(self._waiting))
        return self._settled(_padded(self._waiting, WINDOW), count)

    def _settled(self, window: Floats, count: int) -> Floats:
        before = self._state
        motion = self._predict(before.windows, before.start, window)
        self._state = joined(self._joining, before, motion)
        if before.windows == 0:  # it only warms up: nothing before the start is shown
            self.zero = self._state.motion[0]
            return self._state.motion[:0]
        overlap = self._joining.overlap
        first = len(self._state.motion) - overlap.valid - overlap.fuse
        return self._state.motion[first : first + count]


def settled_block(joining: Joining, state: Joined) -> Floats:
    """The frames that the newest window of a live motion settled: ``valid`` of them."""
    overlap = joining.overlap
    first = len(state.motion) - overlap.valid - overlap.fuse
    return state.motion[first : first + overlap.valid]


def begun_anew(joining: Joining, state: Joined) -> Joined:
    """The same, but the next window begins with the very first motion: a head drifts otherwise."""
    return replace(state, start=joining.start)
