"""Life: blinks, gaze, head movement, breathing. Pure functions of the frame index and a seed.

Nothing is remembered between frames: any frame can be asked for, and the same question always has
the same answer. Time is cut into stretches; a hash of the stretch's number decides what happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BLINK_EVERY_SECONDS = 3.4
BLINK_CLOSE_SECONDS = 0.09
BLINK_SHUT_SECONDS = 0.04
BLINK_OPEN_SECONDS = 0.16
GAZE_EVERY_SECONDS = 1.9
SACCADE_SECONDS = 0.06
BREATH_SECONDS = 4.2

# (seconds of one swing, share): periods without a common multiple never look like a loop
SWAY_X = ((7.3, 0.6), (4.1, 0.3), (2.3, 0.1))
SWAY_Y = ((6.1, 0.6), (3.7, 0.3), (1.9, 0.1))
SWAY_TILT = ((8.9, 0.65), (5.3, 0.35))
SWAY_TURN = ((9.7, 0.6), (5.9, 0.4))


@dataclass(frozen=True, slots=True)
class Pose:
    """One moment of everything but the mouth."""

    x: float = 0.0  # head, -1 (left in the picture) to 1
    y: float = 0.0  # head, -1 (up) to 1
    tilt: float = 0.0  # head about the line of sight, -1 to 1
    turn: float = 0.0  # head about its upright axis, -1 to 1
    breath: float = 0.0  # 0 breathed out, 1 breathed in
    lids: float = 0.0  # 0 open, 1 shut
    gaze_x: float = 0.0  # -1 to 1
    gaze_y: float = 0.0  # -1 to 1
    brows: float = 0.0  # 0 at rest, 1 raised


def pose(index: int, fps: int, seed: int = 1, emphasis: float = 0.0) -> Pose:
    """The pose of a frame.

    Args:
        index: number of the frame, from 0 on.
        fps: frames a second.
        seed: another seed is another temperament.
        emphasis: 0 to 1, slow loudness: raises the brows and dips the head a little.
    """
    seconds = index / fps
    gaze_x, gaze_y = _gaze(seconds, seed)
    return Pose(
        x=_sway(seconds, SWAY_X, seed, 1),
        y=_sway(seconds, SWAY_Y, seed, 2) + 0.7 * emphasis,
        tilt=_sway(seconds, SWAY_TILT, seed, 3),
        turn=_sway(seconds, SWAY_TURN, seed, 4) + 0.25 * gaze_x,
        breath=0.5 - 0.5 * math.cos(2 * math.pi * seconds / BREATH_SECONDS),
        lids=_lids(seconds, seed),
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        brows=emphasis,
    )


def _sway(seconds: float, waves: tuple[tuple[float, float], ...], seed: int, axis: int) -> float:
    return sum(
        share * math.sin(2 * math.pi * (seconds / period + _chance(seed, axis, number)))
        for number, (period, share) in enumerate(waves)
    )


def _lids(seconds: float, seed: int) -> float:
    """One blink somewhere in each stretch, sometimes two; the strongest one counts."""
    stretch = math.floor(seconds / BLINK_EVERY_SECONDS)
    return max(_blink(seconds - start) for start in _blink_starts(stretch, seed))


def _blink_starts(stretch: int, seed: int) -> tuple[float, ...]:
    # the latest blink, a second one included, ends inside its own stretch
    first = (stretch + 0.06 + 0.66 * _chance(seed, 11, stretch)) * BLINK_EVERY_SECONDS
    twice = _chance(seed, 12, stretch) < 0.15
    return (first, first + 0.42) if twice else (first,)


def _blink(since: float) -> float:
    closing = since / BLINK_CLOSE_SECONDS
    opening = (since - BLINK_CLOSE_SECONDS - BLINK_SHUT_SECONDS) / BLINK_OPEN_SECONDS
    return _ease(closing) - _ease(opening)


def _gaze(seconds: float, seed: int) -> tuple[float, float]:
    """Looks at the viewer half of the time, else at places nearby; the eyes jump between."""
    stretch = math.floor(seconds / GAZE_EVERY_SECONDS)
    jump = _ease((seconds - stretch * GAZE_EVERY_SECONDS) / SACCADE_SECONDS)
    was, now = _gaze_target(stretch - 1, seed), _gaze_target(stretch, seed)
    return was[0] + (now[0] - was[0]) * jump, was[1] + (now[1] - was[1]) * jump


def _gaze_target(stretch: int, seed: int) -> tuple[float, float]:
    if _chance(seed, 21, stretch) < 0.5:
        return 0.0, 0.0
    return 1.4 * _chance(seed, 22, stretch) - 0.7, 0.9 * _chance(seed, 23, stretch) - 0.45


def _ease(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def _chance(*numbers: int) -> float:
    """A number from 0 to 1 that depends on nothing but its arguments (Python salts its hash)."""
    mixed = 0x9E3779B97F4A7C15
    for number in numbers:
        mixed = ((mixed ^ (number & 0xFFFFFFFF)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return mixed / 2**64
