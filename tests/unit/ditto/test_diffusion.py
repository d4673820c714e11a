"""The schedule of the diffusion, against the figures of the published model."""

from __future__ import annotations

import numpy as np
import pytest

from inference.ditto.diffusion import Noise, finished, sampling, schedule, times
from inference.ditto.errors import DittoRefused
from inference.ditto.layout import Floats

# (time, noise of our own, predicted noise) of 10 steps, float32.
TEN = (
    (999, 0.987881, 0.000345),
    (899, 0.830970, 0.464159),
    (799, 0.687273, 0.569679),
    (699, 0.578098, 0.570082),
    (599, 0.487794, 0.517894),
    (499, 0.406521, 0.432739),
    (399, 0.327271, 0.325551),
    (299, 0.243172, 0.205333),
    (199, 0.144219, 0.084311),
)


@pytest.mark.facts
def test_ten_steps_are_those_of_the_model() -> None:
    steps = schedule(10)
    assert [step.time for step in steps] == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    for step, (time, fresh, noise) in zip(steps, TEN, strict=False):
        assert step.time == time
        assert step.fresh == pytest.approx(fresh, abs=5e-7)
        assert step.noise == pytest.approx(noise, abs=5e-7)
        assert step.motion**2 + step.noise**2 + step.fresh**2 == pytest.approx(1, abs=1e-6)
    assert steps[-1].last
    assert not any(step.last for step in steps[:-1])


@pytest.mark.facts
def test_times_are_counted_in_float32() -> None:
    doubles = {
        steps: np.linspace(-1, 999, steps + 1).astype(int)[::-1].tolist() for steps in range(1, 201)
    }
    different = [steps for steps, line in doubles.items() if times(steps).tolist() != line]
    assert different[0] == 26
    assert all(np.abs(times(s) - np.array(doubles[s])).max() == 1 for s in different)


@pytest.mark.facts
def test_no_number_of_steps_divides_by_nothing() -> None:
    """Three steps give a root of less than nothing where it is not watched."""
    for count in range(1, 201):
        shares = [(step.motion, step.noise, step.fresh) for step in schedule(count)]
        assert np.isfinite(shares).all(), count


@pytest.mark.parametrize("count", [0, 201, -1])
def test_steps_beyond_the_limits_are_refused(count: int) -> None:
    with pytest.raises(DittoRefused, match="it must be from 1 to 200"):
        schedule(count)


def follow(seed: int, count: int = 4) -> tuple[Floats, list[int]]:
    asked = []

    def denoise(x: Floats, start: Floats, told: Floats, time: int) -> tuple[Floats, Floats]:
        asked.append(time)
        return 0.5 * x, x + start[:, None] + told[..., :265]

    told = np.zeros((80, 1103), np.float32)
    start = np.zeros(265, np.float32)
    return finished(sampling(denoise, schedule(count), Noise(seed), 3, start, told)), asked


def test_a_seed_gives_the_same_again() -> None:
    first, asked = follow(1)
    assert asked == [999, 749, 499, 249]
    assert np.array_equal(first, follow(1)[0])
    assert not np.array_equal(first, follow(2)[0])


def test_the_noise_of_a_step_is_that_of_all_windows_and_the_start_is_not() -> None:
    noise = Noise(7)
    assert np.array_equal(noise.of_step(3), Noise(7).of_step(3))
    assert not np.array_equal(noise.of_step(3), noise.of_step(4))
    assert not np.array_equal(noise.start(0), noise.start(1))
    assert abs(float(noise.start(0).std()) - 1) < 0.02


def test_a_perfect_network_is_believed() -> None:
    """Whatever the noise: who always says the same motion gets it."""
    wished = np.random.default_rng(0).standard_normal((80, 265)).astype(np.float32)

    def denoise(x: Floats, _start: Floats, _told: Floats, _time: int) -> tuple[Floats, Floats]:
        return x, wished[None]

    start, told = np.zeros(265, np.float32), np.zeros((80, 1103), np.float32)
    work = sampling(denoise, schedule(10), Noise(1), 0, start, told)
    for _ in range(9):  # it pauses after each step but the last
        next(work)
    assert np.array_equal(finished(work), wished)
