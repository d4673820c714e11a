"""What the motion network is told of each frame: speech, feeling, eyes, and whose face it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.ditto.errors import DittoRefused
from inference.ditto.hearing import FEATURES
from inference.ditto.layout import Floats

# [speech 1024 | feeling 8 | eye_open 2 | eye_ball 6 | points at rest 63]
CONDITION_DIMS = FEATURES + 8 + 2 + 6 + 63
FEELINGS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt")
_LOGIT = 8.0


@dataclass(frozen=True, slots=True)
class Character:
    """Whose conditions they are: the avatar's, or those of the checkpoint's reference character."""

    eye_open: Floats  # Nx2
    eye_ball: Floats  # Nx6
    rest: Floats  # (63,)
    start: Floats  # (265,): the motion that everything begins from
    scale: float | None = None  # of the reference character; None: the avatar's own

    def held(self) -> Character:
        """The same with the eyes of the first frame throughout."""
        return Character(self.eye_open[:1], self.eye_ball[:1], self.rest, self.start, self.scale)


def feeling(emotion: str | int | Sequence[int | Sequence[int]] | Floats) -> Floats:
    """(m, 8) shares, to be gone through again and again.

    Args:
        emotion: names with commas between, a number, numbers (all at once), lists of numbers (one
            for each frame), or the shares themselves.

    Raises:
        DittoRefused: a feeling that there is not.
    """
    if isinstance(emotion, str):
        return _shares([_number(name) for name in emotion.split(",")])[None]
    if isinstance(emotion, np.ndarray):
        shares = np.atleast_2d(emotion).astype(np.float32)  # the shipped ones are float64
        if shares.ndim != 2 or shares.shape[1] != len(FEELINGS):
            raise DittoRefused(f"emotions are {emotion.shape}: give (frames, {len(FEELINGS)})")
        return shares
    if isinstance(emotion, int):
        return _shares([emotion])[None]
    numbers = [each for each in emotion if isinstance(each, int)]
    if len(numbers) == len(emotion):
        return _shares(numbers)[None]
    rows = [list(each) if isinstance(each, Sequence) else [each] for each in emotion]
    return np.stack([_shares([int(number) for number in row]) for row in rows])


def conditions(speech: Floats, first: int, emotions: Floats, character: Character) -> Floats:
    """(N, 1103) for the frames from ``first`` on, which may lie before the start."""
    places = np.maximum(np.arange(first, first + len(speech)), 0)
    eyes = [ping_pong(int(i), len(character.eye_open)) for i in places]
    rest = np.broadcast_to(character.rest, (len(speech), len(character.rest)))
    parts = [
        speech,
        emotions[places % len(emotions)],
        character.eye_open[eyes],
        character.eye_ball[eyes],
        rest,
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def ping_pong(index: int, count: int) -> int:
    """There and back again: 0 1 2 2 1 0 0 1 ..."""
    turn, place = divmod(index, count)
    return place if turn % 2 == 0 else count - 1 - place


def _shares(numbers: list[int]) -> Floats:
    if not numbers or not all(0 <= number < len(FEELINGS) for number in numbers):
        raise DittoRefused(f"emotion {numbers}: give numbers from 0 to {len(FEELINGS) - 1}")
    logits = np.zeros(len(FEELINGS), np.float32)
    logits[numbers] = _LOGIT
    shares: Floats = np.exp(logits - logits.max())
    shares /= shares.sum()
    return shares


def _number(name: str) -> int:
    word = name.strip().lower()
    if word.isdecimal():
        return int(word)
    if word not in FEELINGS:
        raise DittoRefused(f"emotion is {name[:40]!r}: choose of {', '.join(FEELINGS)}")
    return FEELINGS.index(word)
