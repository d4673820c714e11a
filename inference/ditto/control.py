"""What a director may ask of single frames: angles, expression, blinks, fades."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from inference.checkpoint.configuration import BLINK_FRAMES
from inference.ditto.errors import DittoRefused
from inference.ditto.layout import ANGLES, Floats
from inference.errors import FileRejected
from inference.files import regular_file

_MOST_BYTES = 4_000_000
_OPEN_FRAMES = (60, 100)  # between two blinks, drawn anew for each
ENDLESS_FRAMES = 3000  # a plan for a stream without an end, gone through again and again


class ControlRejected(FileRejected):
    """Not a file of controls."""


@dataclass(frozen=True, slots=True)
class Control:
    """Of one frame. None: nothing is asked for. Angles are degrees."""

    delta_pitch: float | None = None
    delta_yaw: float | None = None
    delta_roll: float | None = None
    alpha_pitch: float | None = None
    alpha_yaw: float | None = None
    alpha_roll: float | None = None
    alpha_exp: float | None = None
    delta_exp: float | None = None
    fade_alpha: float | None = None  # 1: as driven, 0: all the way to where it fades
    vad_alpha: float | None = None  # 1: lips as driven, 0: at rest

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Control:
        """From a table.

        Raises:
            DittoRefused: a name that there is not, or no number.
        """
        known = {item.name for item in fields(cls)}
        for name, value in told.items():
            if name not in known:
                raise DittoRefused(f"control {name[:40]!r}: known are {', '.join(sorted(known))}")
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise DittoRefused(f"control {name} is {value!r}: give a number")
            if not math.isfinite(value):
                raise DittoRefused(f"control {name} is {value}: give a finite number")
        return cls(**{name: float(value) for name, value in told.items()})

    @classmethod
    def parse(cls, text: str) -> Control:
        """From ``name=value`` with commas between; nothing asks for nothing.

        Raises:
            DittoRefused: something else, or a name that there is not.
        """
        told: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            try:
                told[name.strip()] = float(value)
            except ValueError as error:
                wanted = "give name=number with commas between, such as delta_pitch=0"
                raise DittoRefused(f"control {part[:40]!r}: {wanted}") from error
        return cls.of(told)

    def over(self, general: Control) -> Control:
        """This one where it asks for something, the general one elsewhere."""
        names = [item.name for item in fields(self)]
        mine = {name: getattr(self, name) for name in names}
        return Control(**{n: getattr(general, n) if v is None else v for n, v in mine.items()})

    @property
    def turns(self) -> dict[str, tuple[float | None, float | None]]:
        """Factor and addition for each angle of which something is asked."""
        asked = {a: (getattr(self, f"alpha_{a}"), getattr(self, f"delta_{a}")) for a in ANGLES}
        return {angle: both for angle, both in asked.items() if both != (None, None)}


NOTHING = Control()


@dataclass(frozen=True, slots=True)
class Direction:
    """What is asked for throughout, and of single frames."""

    overall: Control = NOTHING
    frames: Mapping[int, Control] = field(default_factory=dict)

    def at(self, index: int) -> Control:
        """Of a frame."""
        return self.frames.get(index, NOTHING).over(self.overall)

    def faded(self, count: int, fade_in: int, fade_out: int) -> Direction:
        """The same with a fade at the start and the end of ``count`` frames; below 1: none."""
        frames = dict(self.frames)
        for index, alpha in fades(count, fade_in, fade_out).items():
            frames[index] = Control(fade_alpha=alpha).over(frames.get(index, NOTHING))
        return Direction(self.overall, frames)


def fades(count: int, fade_in: int, fade_out: int) -> dict[int, float]:
    """How much of each fading frame is as driven."""
    rising = {i: i / fade_in for i in range(min(fade_in, count))} if fade_in > 0 else {}
    if fade_out < 1:
        return rising
    first = count - fade_out - 1
    falling = {i: (count - 1 - i) / fade_out for i in range(max(first, 0), count)}
    return rising | {i: min(alpha, rising.get(i, 1.0)) for i, alpha in falling.items()}


def read_direction(path: Path, general: Control = NOTHING) -> Direction:
    """From JSON: ``{"overall": {...}, "frames": {"12": {...}}}``.

    Args:
        path: the file; it counts where it asks for something.
        general: what is asked for elsewhere: the checkpoint's ``overall_ctrl_info``
            (DITTO_FACTS section 11, step 1).

    Raises:
        ControlRejected, DittoRefused: it is something else.
    """
    with regular_file(path, ControlRejected) as fd, open(fd, "rb", closefd=False) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ControlRejected(path, f"it has more than {_MOST_BYTES} bytes", "ask for less")
    try:
        table = json.loads(data)
        overall = Control.of(table.get("overall", {})).over(general)
        frames = {int(k): Control.of(v) for k, v in table.get("frames", {}).items()}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        wanted = 'give {"overall": {"delta_pitch": 2}, "frames": {"12": {"alpha_exp": 0.5}}}'
        raise ControlRejected(path, "it holds no controls", wanted) from error
    return Direction(overall, frames)


@dataclass(frozen=True, slots=True)
class Blinks:
    """When the eyes blink.

    Args:
        shapes: 15x63, what each frame of a blink adds to the eyes at rest; None: they never do.
        open_frames: 0: a random time between blinks, below 0: no blink. A list has the time before
            the first blink at its start, that after the last at its end, and between blinks it is
            gone through from its second on, round and round (DITTO_FACTS section 15b).
    """

    shapes: Floats | None = None
    open_frames: int | Sequence[int] = 0

    def plan(self, count: int, seed: int) -> list[int]:
        """Which frame of a blink each of ``count`` frames is; 0 is an open eye."""
        places = [0] * count
        if isinstance(self.open_frames, int) and self.open_frames < 0:
            return places
        random = np.random.default_rng((seed, 3))
        start, end, gaps = self._gaps(random)
        at, number = start, 0
        while at < count - max(end, BLINK_FRAMES):
            places[at : at + BLINK_FRAMES] = range(BLINK_FRAMES)
            at += BLINK_FRAMES + gaps(number)
            number += 1
        return places

    def _gaps(self, random: np.random.Generator) -> tuple[int, int, Any]:
        """Before the first, after the last, and between two."""
        told = self.open_frames
        if isinstance(told, int) and told > 0:
            return told, told, lambda _number: told
        if isinstance(told, int) or not len(told):
            low, high = _OPEN_FRAMES

            def drawn(_number: int = 0) -> int:
                return int(random.integers(low, high + 1))

            return drawn(), drawn(), drawn
        return told[0], told[-1], lambda number: told[(number + 1) % len(told)]
