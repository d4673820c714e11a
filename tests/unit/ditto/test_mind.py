"""What moves a face, for whole sounds and frame by frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.ditto.avatar import Avatar
from inference.ditto.diffusion import WINDOW
from inference.ditto.errors import DittoRefused
from inference.ditto.hearing import Chunks, row_count
from inference.ditto.layout import Floats
from inference.ditto.mind import CALM_FRAMES, TURN_FRAMES, LiveMind, Mind, perform
from inference.ditto.networks import Networks
from inference.ditto.recipe import Recipe

VALID = 10


class Ears:
    """Networks that say what they hear: the first number of a motion is the mean of its sound."""

    def __init__(self) -> None:
        self.heard = 0  # windows of sound
        self.steps: list[int] = []  # time of each
        self.starts: list[Floats] = []

    def hear(self, samples: Floats) -> Floats:
        self.heard += 1
        rows = [samples[320 * i : 320 * i + 320].mean() for i in range(row_count(len(samples)))]
        return np.repeat(np.array(rows, np.float32)[:, None], 1024, axis=1)

    def denoise(self, x: Floats, start: Floats, told: Floats, time: int) -> tuple[Floats, Floats]:
        self.steps.append(time)
        self.starts.append(start[0])
        return x, told[..., :265]


def mind_of(ears: Ears, mind: Mind, **changes: object) -> Mind:
    """With exact networks, and nothing that blurs."""
    recipe = replace(mind.recipe, smoothing=0, limits=None, **changes)  # type: ignore[arg-type]
    return replace(mind, networks=ears, recipe=recipe)  # type: ignore[arg-type]


def level(frame: int) -> float:
    return (frame + 1) / 1000


def ramp(count: int) -> Floats:
    """Sound that says the number of its frame."""
    return np.repeat(np.array([level(i) for i in range(count)], np.float32), 640)


class Stage:
    """A sound that may be changed, and the mind that follows it."""

    def __init__(self, mind: Mind, sound: Floats) -> None:
        self.sound = sound
        self.ears = Ears()
        self.mind = LiveMind(mind_of(self.ears, mind), self.between)

    def between(self, first: int, end: int) -> Floats:
        padded = np.zeros(end - first, np.float32)
        low, high = max(first, 0), min(end, len(self.sound))
        if low < high:
            padded[low - first : high - first] = self.sound[low:high]
        return padded

    def shown(self, first: int, count: int) -> list[float]:
        return [float(self.mind.at(i)[0]) for i in range(first, first + count)]


@pytest.mark.facts
def test_each_frame_moves_by_its_own_sound(mind: Mind) -> None:
    stage = Stage(mind, ramp(200))
    assert stage.shown(0, 120) == pytest.approx([level(i) for i in range(120)], abs=1e-5)


@pytest.mark.facts
@pytest.mark.parametrize("samples", [1, 640, 5000, 64_000, 64_001])
def test_a_whole_sound_has_a_frame_for_every_640_samples(samples: int, mind: Mind) -> None:
    performance = perform(mind_of(Ears(), mind), np.zeros(samples, np.float32))
    assert len(performance.motion) == -(-samples // 640)


def test_a_whole_sound_moves_as_a_live_one(mind: Mind) -> None:
    stage = Stage(mind, ramp(95))
    performance = perform(mind_of(stage.ears, mind), ramp(95))
    assert performance.motion[:60, 0] == pytest.approx(stage.shown(0, 60), abs=1e-5)
    assert performance.zero is not None
    assert np.allclose(performance.zero, stage.mind.zero())


def test_offline_with_the_offline_recipe(mind: Mind, offline_recipe: Recipe) -> None:
    ears = Ears()
    plain = replace(
        mind,
        networks=ears,  # type: ignore[arg-type]
        recipe=replace(offline_recipe, smoothing=0, limits=None),
    )
    shares: list[float] = []
    performance = perform(plain, ramp(300), shares.append)
    assert performance.motion[:, 0] == pytest.approx([level(i) for i in range(300)], abs=1e-5)
    assert performance.zero is None
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_work_is_spread_over_the_frames(mind: Mind) -> None:
    """No frame but the first pays for a window: each does its share of the next one."""
    stage = Stage(mind, ramp(400))
    stage.mind.at(0)
    costs = []
    for index in range(1, 200):
        before = stage.ears.heard + len(stage.ears.steps)
        stage.mind.at(index)
        costs.append(stage.ears.heard + len(stage.ears.steps) - before)
    # 10 steps and 2 groups of sound for 10 frames
    assert max(costs) == 2
    assert sum(costs[-100:]) == 120


def test_silence_is_heard_once(mind: Mind) -> None:
    stage = Stage(mind, np.zeros(0, np.float32))
    stage.shown(0, 100)
    assert stage.ears.heard == 1


def test_a_change_is_followed_from_the_frame_that_is_due(mind: Mind) -> None:
    stage = Stage(mind, np.zeros(0, np.float32))
    assert stage.shown(0, 34) == pytest.approx([0] * 34, abs=1e-6)
    said = ramp(200)
    said[: 37 * 640] = 0
    stage.sound = said
    stage.mind.changed(37, 34)
    later = stage.shown(34, 60)
    assert later[:3] == pytest.approx([0] * 3, abs=1e-6)
    # from what was expected to what is heard in a few frames, then as if it had been known
    assert later[3:] == pytest.approx([level(i) for i in range(37, 94)], abs=1e-5)


def test_from_one_motion_to_the_other_in_a_few_frames(mind: Mind) -> None:
    stage = Stage(mind, np.full(640 * 300, 0.8, np.float32))
    stage.shown(0, 45)
    stage.sound = stage.sound * 0
    stage.sound[: 45 * 640] = 0.8
    stage.mind.changed(45, 45)
    shares = [(i + 1) / (TURN_FRAMES + 1) for i in range(TURN_FRAMES)]
    wanted = [0.8 * (1 - share) for share in shares] + [0.0] * 20
    assert stage.shown(45, TURN_FRAMES + 20) == pytest.approx(wanted, abs=1e-5)


def test_what_was_shown_stays_and_can_be_asked_again(mind: Mind) -> None:
    stage = Stage(mind, ramp(300))
    shown = stage.shown(0, 58)
    stage.sound = np.where(np.arange(len(stage.sound)) < 55 * 640, stage.sound, 0).astype(
        np.float32
    )
    stage.mind.changed(55, 55)  # three frames came back
    assert stage.shown(50, 5) == shown[50:55]
    assert stage.shown(58, 20) == pytest.approx([0] * 20, abs=1e-5)


def test_a_change_far_ahead_costs_nothing_now(mind: Mind) -> None:
    stage = Stage(mind, ramp(300))
    stage.shown(0, 41)
    before = len(stage.ears.steps)
    stage.sound[100 * 640 :] = 0
    stage.mind.changed(100, 41)
    stage.mind.at(41)
    assert len(stage.ears.steps) - before <= 2
    assert stage.shown(42, 30) == pytest.approx([level(i) for i in range(42, 72)], abs=1e-5)


def test_a_head_that_listens_long_begins_anew(mind: Mind) -> None:
    """Its windows go on from each other's pose, but for one every 30 s of silence."""
    stage = Stage(mind, np.zeros(0, np.float32))
    stage.shown(0, 2 * CALM_FRAMES + 300)
    per_window = stage.ears.starts[:: mind.recipe.steps]
    own = mind.character.start
    anew = [i for i, start in enumerate(per_window) if np.array_equal(start, own)]
    assert anew[0] == 0
    assert np.diff(anew).tolist() == [CALM_FRAMES // VALID] * 2


def test_a_head_that_speaks_does_not(mind: Mind) -> None:
    stage = Stage(mind, ramp(CALM_FRAMES + 300))
    stage.shown(0, CALM_FRAMES + 100)
    own = mind.character.start
    again = [np.array_equal(start, own) for start in stage.ears.starts[mind.recipe.steps :]]
    assert not any(again)


def test_it_remembers_little(mind: Mind) -> None:
    stage = Stage(mind, np.zeros(0, np.float32))
    sizes = []
    for index in range(1000):
        stage.mind.at(index)
        inner = stage.mind
        sizes.append((len(inner._motion), len(inner._states), len(inner._speech)))
    assert max(sizes[500:]) == max(sizes[100:500])
    assert max(sizes[500:])[0] <= 40 + 1 + inner.ahead_frames


@pytest.mark.parametrize("overlap", [40, 53, 70, 75, 78])
@pytest.mark.parametrize("config", ["3,5,2", "2,3,2"])
def test_other_overlaps_and_chunks(overlap: int, config: str, mind: Mind) -> None:
    other = replace(mind, recipe=replace(mind.recipe, overlap=overlap), chunks=Chunks.parse(config))
    stage = Stage(other, ramp(300))
    assert stage.shown(0, 150) == pytest.approx([level(i) for i in range(150)], abs=1e-5)
    stage.sound = stage.sound * 0
    stage.mind.changed(150, 150)
    assert stage.shown(150 + TURN_FRAMES, 60) == pytest.approx([0] * 60, abs=1e-5)


def test_fewer_steps_count_from_the_next_window_on(mind: Mind) -> None:
    stage = Stage(mind, ramp(300))
    stage.shown(0, 41)
    stage.mind.steps = 5
    before = len(stage.ears.steps)
    stage.shown(41, 100)
    assert len(stage.ears.steps) - before <= 10 * 5 + 10


def test_the_avatar_conditions_where_there_is_no_character(
    networks: Networks, live_recipe: Recipe, avatar: Avatar
) -> None:
    own = Mind.of(networks, replace(live_recipe, character=None), avatar, Chunks(), 1)
    assert np.array_equal(own.character.start, avatar.views[0].face.vector())
    told = own.told(np.zeros((WINDOW, 1024), np.float32), 0)
    assert np.array_equal(told[0, 1040:], avatar.rest)
    theirs = Mind.of(networks, live_recipe, avatar, Chunks(), 1)
    assert not np.array_equal(theirs.character.start, own.character.start)


def test_what_is_told_belongs_to_its_frame(mind: Mind) -> None:
    """Feelings go on from frame to frame, wherever a window begins; eyes may be held."""
    feelings = np.eye(8, dtype=np.float32)
    eyes = np.arange(6, dtype=np.float32).reshape(3, 2)
    looking = replace(mind.character, eye_open=eyes, eye_ball=np.zeros((3, 6), np.float32))
    other = replace(mind, recipe=replace(mind.recipe, emotions=feelings), character=looking)
    told = other.told(np.zeros((4, 1024), np.float32), 13)
    assert told[:, 1024:1032].argmax(axis=1).tolist() == [5, 6, 7, 0]
    assert told[:, 1032].tolist() == [2, 4, 4, 2]  # frames 13 to 16 of 0 1 2 2 1 0 ...


@pytest.mark.parametrize("held", [True, False])
def test_eyes_that_are_held(
    held: bool, networks: Networks, live_recipe: Recipe, avatar: Avatar
) -> None:
    second = replace(avatar.views[0], eye_open=avatar.views[0].eye_open + 1)
    moving = replace(avatar, views=(avatar.views[0], second))
    recipe = replace(live_recipe, character=None, eyes_held=held)
    character = Mind.of(networks, recipe, moving, Chunks(), 1).character
    assert len(character.eye_open) == (1 if held else 2)


def test_a_live_mind_refuses_an_overlap_that_would_be_late(mind: Mind) -> None:
    late = replace(mind, recipe=replace(mind.recipe, overlap=10))
    with pytest.raises(DittoRefused, match="would begin 60 frames late"):
        LiveMind(late, lambda first, end: np.zeros(end - first, np.float32))


def test_a_seed_decides_everything(mind: Mind) -> None:
    def first(seed: int) -> Floats:
        sound = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1
        return perform(replace(mind, seed=seed), sound).motion

    assert np.array_equal(first(3), first(3))
    assert not np.array_equal(first(3), first(4))
