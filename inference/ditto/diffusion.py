"""Sampling one window of motion from the diffusion network, step by step, reproducibly."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inference.ditto.errors import DittoRefused
from inference.ditto.layout import MOTION_DIMS, Floats

WINDOW = 80  # frames that the network makes at once
NOISE_STEPS = 1000
STEPS_LIMITS = (1, 200)
_OFFSET = 0.008  # of the cosine schedule
_MOST_BETA = 0.999

# From (x, starting motion, conditions, time) to (predicted noise, predicted motion), batch of one.
Denoise = Callable[[Floats, Floats, Floats, int], tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: the network is asked at ``time``; the others mix what comes next."""

    time: int
    motion: float  # share of the predicted motion
    noise: float  # of the predicted noise
    fresh: float  # of noise of our own
    last: bool = False


def alphas() -> Floats:
    """What is left of the motion at each of the 1000 times, float32 as it was trained with."""
    place = np.arange(NOISE_STEPS + 1, dtype=np.float64) / NOISE_STEPS
    curve = np.cos((place + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
    betas = np.clip(1 - curve[1:] / curve[:-1], 0, _MOST_BETA)
    return np.cumprod((1 - betas).astype(np.float32), dtype=np.float32)


def times(steps: int) -> NDArray[np.int64]:
    """Falling times, -1 at the end.

    In float32, from both ends to the middle, as the model's own tools count: a float64 line is one
    off for some numbers of steps, first for 26.
    """
    pace = np.float32(NOISE_STEPS) / np.float32(steps)
    index = np.arange(steps + 1)
    rising = np.float32(-1) + pace * index.astype(np.float32)
    falling = np.float32(NOISE_STEPS - 1) - pace * (steps - index).astype(np.float32)
    line = np.where(index < (steps + 1) // 2, rising, falling).astype(np.float32)
    return line.astype(np.int64)[::-1].copy()


def schedule(steps: int) -> tuple[Step, ...]:
    """The way from noise to motion.

    Raises:
        DittoRefused: fewer steps than one, or more than the limit.
    """
    low, high = STEPS_LIMITS
    if not low <= steps <= high:
        raise DittoRefused(f"sampling_timesteps is {steps}: it must be from {low} to {high}")
    left, line = alphas(), times(steps)
    return tuple(_step(left, int(a), int(b)) for a, b in pairwise(line))


def _step(left: Floats, time: int, following: int) -> Step:
    if following < 0:
        return Step(time, 1.0, 0.0, 0.0, last=True)
    one, now, after = np.float32(1), left[time], left[following]
    fresh = np.sqrt((one - now / after) * (one - after) / (one - now))
    # Three steps go from 999 to 665, where rounding leaves a little less than nothing here.
    noise = np.sqrt(max(np.float32(0), one - after - fresh * fresh))
    return Step(time, float(np.sqrt(after)), float(noise), float(fresh))


@dataclass(frozen=True, slots=True)
class Noise:
    """All randomness of a stream: a seed gives the same stream again.

    The noise of the steps is drawn once and used in every window, which helps them to meet.
    """

    seed: int

    def start(self, window: int) -> Floats:
        """Where a window begins; windows may be asked for in any order, and again."""
        return self._draw(1, window)

    def of_step(self, number: int) -> Floats:
        """Added by a step, the same in every window."""
        return self._draw(2, number)

    def _draw(self, purpose: int, number: int) -> Floats:
        random = np.random.default_rng((self.seed, purpose, number))
        drawn: Floats = random.standard_normal((1, WINDOW, MOTION_DIMS), np.float32)
        return drawn


Sampling = Generator[None, None, Floats]


def sampling(
    denoise: Denoise,
    steps: tuple[Step, ...],
    noise: Noise,
    window: int,
    start: Floats,
    told: Floats,
) -> Sampling:
    """(80, 265) of motion; stops after each step but the last, so that it can be spread over time.

    Args:
        denoise: the network.
        steps: of :func:`schedule`.
        noise: of the stream.
        window: its number.
        start: (265,) motion that it goes on from.
        told: (80, 1103) conditions.
    """
    x = noise.start(window)
    for number, step in enumerate(steps):
        predicted, motion = denoise(x, start[None], told[None], step.time)
        if step.last:
            break
        x = (
            np.float32(step.motion) * motion
            + np.float32(step.noise) * predicted
            + np.float32(step.fresh) * noise.of_step(number)
        )
        yield
    result: Floats = motion[0]
    return result


def finished(work: Sampling) -> Floats:
    """Go through the rest of the steps."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            motion: Floats = end.value
            return motion
