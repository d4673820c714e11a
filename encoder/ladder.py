"""The ladder: the sizes and bit rates in which one picture is offered (rule 50)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from encoder.errors import ImpossibleLadder
from rawmedia import MediaFormat

MOST_RUNGS = 6
BEST_RUNG = "v0"
# A phone on a mobile network: 0.3 to 0.4 Mbit/s with sound.
MOBILE_HEIGHT, MOBILE_KBIT = 360, 300
LOWEST_KBIT, HIGHEST_KBIT = 50, 50_000
# Sizes are even, so a rung's shape may miss the source's by a little.
_SHAPE_TOLERANCE = 0.02
_RUNG = re.compile(r"(\d{2,4})x(\d{2,4}):(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Rung:
    """One rendition of the picture."""

    name: str  # its folder: v0, v1, ...
    width: int
    height: int
    kbit: int


def plan_ladder(text: str, media: MediaFormat, video_kbit: int) -> tuple[Rung, ...]:
    """The rungs of a stream, best first.

    Args:
        text: ``auto``: the source's size at ``video_kbit``, and one rung for phones. ``single``:
            the first of these alone. Else ``WIDTHxHEIGHT:KBIT`` for each, commas between.
        media: the source.
        video_kbit: bit rate of the best rung of ``auto`` and ``single``.

    Raises:
        ImpossibleLadder: a rung that cannot be read, is larger than the source or has another
            shape, or too many.
    """
    best = (media.width, media.height, video_kbit)
    if text == "single":
        rungs = [best]
    elif text == "auto":
        rungs = [best, _mobile(media, video_kbit)]
    else:
        rungs = sorted((_read(rung, media) for rung in text.split(",")), key=lambda r: -r[2])
    if len(rungs) > MOST_RUNGS:
        raise ImpossibleLadder(text, f"{len(rungs)} rungs; {MOST_RUNGS} are the most")
    if len({kbit for _, _, kbit in rungs}) < len(rungs):
        raise ImpossibleLadder(text, "two rungs have the same bit rate")
    return tuple(Rung(f"v{place}", *rung) for place, rung in enumerate(rungs))


def _mobile(media: MediaFormat, video_kbit: int) -> tuple[int, int, int]:
    """Two fifths of the best rate at most, and at most 360 lines; small sources keep their size."""
    kbit = max(LOWEST_KBIT - 1, min(MOBILE_KBIT, video_kbit * 2 // 5))
    height = min(MOBILE_HEIGHT, min(media.width, media.height))
    scale = height / min(media.width, media.height)
    return _even(media.width * scale), _even(media.height * scale), kbit


def _read(text: str, media: MediaFormat) -> tuple[int, int, int]:
    match = _RUNG.fullmatch(text.strip())
    if match is None:
        raise ImpossibleLadder(text, "write WIDTHxHEIGHT:KBIT, such as 640x360:300")
    width, height, kbit = (int(number) for number in match.groups())
    if width % 2 or height % 2:
        raise ImpossibleLadder(text, "width and height must be even")
    if width > media.width or height > media.height:
        raise ImpossibleLadder(text, f"the source is only {media.width}x{media.height}")
    if abs(width * media.height / (height * media.width) - 1) > _SHAPE_TOLERANCE:
        raise ImpossibleLadder(text, f"its shape is not that of {media.width}x{media.height}")
    if not LOWEST_KBIT <= kbit <= HIGHEST_KBIT:
        raise ImpossibleLadder(text, f"its bit rate must be {LOWEST_KBIT} to {HIGHEST_KBIT} kbit/s")
    return width, height, kbit


def _even(length: float) -> int:
    return max(16, 2 * round(length / 2))
