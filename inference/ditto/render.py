"""A whole sound at once: every picture of it, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from inference.ditto.control import Direction
from inference.ditto.layout import Floats
from inference.ditto.mind import Mind, perform
from inference.ditto.painter import Look, Painter
from rawmedia import Frame


def pictures(
    look: Look,
    mind: Mind,
    sound: Floats,
    direction: Direction | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> Iterator[Frame]:
    """BGR pictures, ceil(samples / 640) of them at 25 a second; each is good until the next.

    Args:
        look: who says it.
        mind: of the same avatar.
        sound: mono at 16 kHz, from -1 to 1.
        direction: what is asked of single frames.
        progress: told the share of the motion that is done; pictures follow.
    """
    performance = perform(mind, sound, progress)
    count = len(performance.motion)
    painter = Painter(look, mind.recipe, mind.networks, mind.seed, direction, count)
    if performance.zero is not None:
        painter.measure_from(performance.zero)
    width, height = look.scene.size
    picture = np.empty((height, width, 3), np.uint8)
    for index, motion in enumerate(performance.motion):
        painter.draw(picture, index, motion)
        yield picture
