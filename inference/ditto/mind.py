"""What moves a face: hearing and the motion network, for whole sounds and frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from inference.ditto.avatar import Avatar
from inference.ditto.conditions import Character, conditions
from inference.ditto.diffusion import WINDOW, Noise, Step, finished, sampling, schedule
from inference.ditto.hearing import Chunks, features, frame_count, group_features
from inference.ditto.layout import FPS, SAMPLES_PER_FRAME, Floats
from inference.ditto.networks import Networks
from inference.ditto.recipe import Recipe
from inference.ditto.windows import (
    Joined,
    Joining,
    LiveWindows,
    begun_anew,
    clipped,
    joined,
    nothing,
    settled_block,
    whole_motion,
)

# A head that listens for so long begins anew, for its pose drifts from window to window.
CALM_FRAMES = 30 * FPS
# Frames back from the newest that can be asked for again: more than an encoder ever gives back.
BACK_FRAMES = 40
# A face that has to think anew gets from one motion to the other within so many frames.
TURN_FRAMES = 3
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Mind:
    """One stream's use of the model.

    Args:
        networks: of this session.
        recipe: of the checkpoint, with what the user changed.
        character: whose conditions they are.
        chunks: how sound is cut.
        seed: of all noise.
    """

    networks: Networks
    recipe: Recipe
    character: Character
    chunks: Chunks
    seed: int

    @classmethod
    def of(
        cls, networks: Networks, recipe: Recipe, avatar: Avatar, chunks: Chunks, seed: int
    ) -> Mind:
        """For an avatar, unless the checkpoint has a reference character."""
        character = recipe.character or avatar.character()
        return cls(
            networks, recipe, character.held() if recipe.eyes_held else character, chunks, seed
        )

    @property
    def joining(self) -> Joining:
        """How its windows are joined."""
        return self.recipe.joining(self.character.start)

    def told(self, speech: Floats, first: int) -> Floats:
        """(N, 1103) conditions for features of the frames from ``first`` on."""
        return conditions(speech, first, self.recipe.emotions, self.character)


@dataclass(frozen=True, slots=True)
class Performance:
    """The motion of a whole sound: one row for each frame."""

    motion: Floats  # Nx265
    zero: Floats | None  # (265,) that it is measured from; None: its first frame


def perform(mind: Mind, sound: Floats, progress: Progress = lambda _share: None) -> Performance:
    """Motion for ceil(samples / 640) frames.

    Args:
        mind: of the avatar.
        sound: mono at 16 kHz, from -1 to 1.
        progress: told the share that is done, 0 to 1.
    """
    count = frame_count(len(sound))
    speech = features(sound, mind.chunks, mind.networks.hear)
    joining, steps, noise = mind.joining, schedule(mind.recipe.steps), Noise(mind.seed)
    valid = joining.overlap.valid

    def predict(window: int, start: Floats, told: Floats) -> Floats:
        motion = finished(sampling(mind.networks.denoise, steps, noise, window, start, told))
        progress(min(1.0, (window + 1) * valid / max(count, 1)))
        return motion

    if not joining.overlap.live:
        motion = whole_motion(joining, mind.told(speech, 0), predict)
        return Performance(clipped(motion, mind.recipe.limits), None)
    # A window's worth of silence before; and two blocks at least, for less would give nothing.
    frames, quiet = joining.overlap.frames, silent_features(mind)
    padded = np.concatenate((speech, np.repeat(quiet, max(0, 2 * valid - count), axis=0)))
    windows = LiveWindows(joining, mind.told(np.repeat(quiet, frames, axis=0), -frames), predict)
    motion = np.concatenate((windows.push(mind.told(padded, 0)), windows.close()))[:count]
    assert windows.zero is not None
    zero = clipped(windows.zero, mind.recipe.limits)
    return Performance(clipped(motion, mind.recipe.limits), zero)


def silent_features(mind: Mind) -> Floats:
    """(1, 1024): of a frame in the middle of silence."""
    silence = np.zeros(mind.chunks.window, np.float32)
    return group_features(silence, mind.chunks, mind.networks.hear)[:1]


# The samples from one to another (not included), as they are known or expected now.
Heard = Callable[[int, int], Floats]
_Work = Generator[None, None, Joined]


class LiveMind:
    """Motion by frame number, a little ahead of what is asked for.

    Each call does a frame's share of the next window's work, so that no frame takes much longer
    than another. What is expected to be heard may change at any moment: see :meth:`changed`.

    Args:
        mind: of the avatar; its overlap must be a live one.
        heard: the sound.
    """

    def __init__(self, mind: Mind, heard: Heard) -> None:
        self.steps = mind.recipe.steps  # of the windows to come
        self._mind = mind
        self._heard = heard
        self._joining = mind.joining
        assert self._joining.overlap.live
        self._valid = self._joining.overlap.valid
        self._quiet = silent_features(mind)
        self._silence = np.repeat(self._quiet, mind.chunks.group, axis=0)
        self._noise = Noise(mind.seed)
        self._speech: dict[int, Floats] = {}  # features by group
        self._states: dict[int, Joined] = {0: nothing(self._joining)}  # by windows done
        self._motion: dict[int, Floats] = {}  # by frame
        self._zero: Floats | None = None
        self._work: _Work | None = None  # on the window after the newest
        self._left = 0  # of its pieces
        self._anew = False  # the next window replaces what the one before it expected
        self._calm = 0  # frames of silence since the head last began anew
        self._schedules = {self.steps: schedule(self.steps)}

    @property
    def ahead_frames(self) -> int:
        """The most that is thought ahead of the frame that is asked for."""
        return 2 * self._valid

    def zero(self) -> Floats:
        """(265,) that means no change; known when the first window is done."""
        self._finish(1)
        assert self._zero is not None
        return self._zero

    def at(self, index: int) -> Floats:
        """(265,) of a frame: the next one, or one of the last :data:`BACK_FRAMES`."""
        if index not in self._motion:
            self._finish(self._window_of(index) + 1)
        elif self._newest == self._window_of(index) + 1:
            self._share(index)
        motion = self._motion[index]
        self._forget_before(index - BACK_FRAMES)
        return motion

    def known(self, index: int) -> Floats | None:
        """(265,) of a frame to come, as far as it is thought of; nothing is done for it."""
        return self._motion.get(index)

    def changed(self, index: int, now: int) -> None:
        """From a frame on something else will be heard than was expected.

        Args:
            index: of that frame; it may lie ahead.
            now: the first frame that is not shown yet, or is to be shown anew.
        """
        limit = index * SAMPLES_PER_FRAME
        stale = [group for group in self._speech if self._mind.chunks.span(group)[1] > limit]
        for group in stale:
            del self._speech[group]
        self._drop_work()
        thought = self._newest * self._valid  # windows that are done know of so many frames
        if stale and min(stale) * self._mind.chunks.group < thought:
            self._think_anew(now)

    def _think_anew(self, now: int) -> None:
        block = now // self._valid
        was = {i: m for i, m in self._motion.items() if i < now + TURN_FRAMES}
        self._motion = {i: m for i, m in self._motion.items() if i < now}
        self._states = {done: s for done, s in self._states.items() if done <= block + 1}
        self._anew = self._newest > 0
        self._finish(block + 2)
        for i, old in was.items():
            # what is shown stays; from it to what comes now in a few frames
            share = np.float32(max(0, i - now + 1) / (TURN_FRAMES + 1))
            self._motion[i] = (1 - share) * old + share * self._motion.get(i, old)

    # --- windows ---------------------------------------------------------------------------------

    @property
    def _newest(self) -> int:
        return max(self._states)

    def _window_of(self, index: int) -> int:
        """The window that settles a frame: the first only warms up."""
        return index // self._valid + 1

    def _finish(self, done: int) -> None:
        """Until so many windows are done."""
        while self._newest < done:
            work = self._work or self._begin()
            try:
                while True:
                    next(work)
            except StopIteration as end:
                self._settle(end.value)

    def _share(self, index: int) -> None:
        """A frame's share of the next window's work."""
        frames = self._valid - index % self._valid
        work = self._work or self._begin()
        try:
            for _ in range(-(-self._left // frames)):
                next(work)
                self._left -= 1
        except StopIteration as end:
            self._settle(end.value)

    def _begin(self) -> _Work:
        groups = self._groups(self._newest)
        missing = sum(group not in self._speech for group in groups)
        self._left = missing + self.steps
        self._work = self._window(self._newest, self._states[self._newest], groups)
        return self._work

    def _window(self, number: int, before: Joined, groups: range) -> _Work:
        for group in groups:
            if group not in self._speech:
                self._speech[group] = self._hear(group)
                yield
        mind, first = self._mind, number * self._valid - self._joining.overlap.frames
        told = mind.told(self._features(first), first)
        if self.steps not in self._schedules:
            self._schedules[self.steps] = schedule(self.steps)
        steps: tuple[Step, ...] = self._schedules[self.steps]
        work = sampling(mind.networks.denoise, steps, self._noise, number, before.start, told)
        window = yield from work
        return joined(self._joining, before, window, anew=self._anew)

    def _settle(self, state: Joined) -> None:
        number = state.windows - 1
        if self._is_due(number):
            state = begun_anew(self._joining, state)
        self._states[state.windows] = state
        self._drop_work()
        if number == 0:
            self._zero = clipped(state.motion[0], self._mind.recipe.limits)
            return
        first = (number - 1) * self._valid
        block = clipped(settled_block(self._joining, state), self._mind.recipe.limits)
        self._motion |= {first + i: motion for i, motion in enumerate(block)}

    def _is_due(self, number: int) -> bool:
        """Whether nothing was heard for so long that the head may begin anew."""
        groups = self._groups(number)
        silent = all(self._speech[group] is self._silence for group in groups)
        self._calm = self._calm + self._valid if silent else 0
        if self._calm < CALM_FRAMES:
            return False
        self._calm = 0
        return True

    def _drop_work(self) -> None:
        if self._work is not None:
            self._work.close()
        self._work, self._anew = None, False

    # --- hearing ---------------------------------------------------------------------------------

    def _groups(self, number: int) -> range:
        """Of features that a window needs; before the start is silence."""
        size = self._mind.chunks.group
        end = (number + 1) * self._valid
        first = max(0, number * self._valid - self._joining.overlap.frames)
        return range(first // size, -(-end // size))

    def _hear(self, group: int) -> Floats:
        samples = self._heard(*self._mind.chunks.span(group))
        if not samples.any():
            return self._silence
        return group_features(samples, self._mind.chunks, self._mind.networks.hear)

    def _features(self, first: int) -> Floats:
        """(80, 1024) from a frame on."""
        size = self._mind.chunks.group
        before = max(0, -first)
        groups = range(max(0, first) // size, -(-(first + WINDOW) // size))
        heard = np.concatenate([self._speech[group] for group in groups])
        start = max(0, first) - groups[0] * size
        heard = heard[start : start + WINDOW - before]
        return np.concatenate((np.repeat(self._quiet, before, axis=0), heard))

    def _forget_before(self, index: int) -> None:
        for i in [i for i in self._motion if i < index]:
            del self._motion[i]
        block = max(0, index) // self._valid
        for done in [done for done in self._states if done <= block]:
            del self._states[done]
        size, chunks = self._mind.chunks.group, self._mind.chunks
        reach = WINDOW + chunks.past + chunks.future
        for group in [g for g in self._speech if (g + 1) * size < index - reach]:
            del self._speech[group]
