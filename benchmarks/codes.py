"""Time codes of the test card in parts that were collected."""

from __future__ import annotations

import io

import av
import numpy as np

from benchmarks.collecting import Collected, Part
from inference.timecode import read_code


def drawn_times(collected: Collected) -> dict[str, list[int | None]]:
    """Of each part, by name: when its pictures were drawn, in milliseconds since 1970.

    A part is decoded with those of its segment before it; segments without their first part are
    left out, for nothing of them can be decoded.
    """
    segments: dict[int, list[Part]] = {}
    for part in collected.parts:
        segments.setdefault(part.msn, []).append(part)
    found: dict[str, list[int | None]] = {}
    for parts in segments.values():
        if parts[0].number == 0:
            found |= _of_segment(collected.init, parts)
    return found


def _of_segment(init: bytes, parts: list[Part]) -> dict[str, list[int | None]]:
    times = _decode(init + b"".join(part.data for part in parts))
    found, first = {}, 0
    for part in parts:
        count = _pictures(init + part.data)
        found[part.name] = times[first : first + count]
        first += count
    return found


def _decode(data: bytes) -> list[int | None]:
    with av.open(io.BytesIO(data), "r") as media:
        pictures = [frame.to_ndarray(format="gray") for frame in media.decode(video=0)]
    codes = [read_code(picture.astype(np.uint8, copy=False)) for picture in pictures]
    return [code.milliseconds if code else None for code in codes]


def _pictures(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r") as media:
        return sum(1 for packet in media.demux(video=0) if packet.size)
