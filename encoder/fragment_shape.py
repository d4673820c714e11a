"""Fragments of one frame each, read by offset: one after the other they differ in a few words.

ffmpeg sends some 70 a second and stream. The first is read box by box; of each later one that has
the same bytes in all other places only those words are looked at. Whatever differs elsewhere, or
does not fit, is left to the reader that looks at every box and says what is wrong.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from encoder.boxes import (
    NON_SYNC,
    TFHD_BASE_OFFSET,
    TFHD_DESCRIPTION,
    TFHD_DURATION,
    TFHD_FLAGS,
    TFHD_SIZE,
    TRUN_CTS,
    TRUN_DURATION,
    TRUN_FIRST_FLAGS,
    TRUN_FLAGS,
    TRUN_OFFSET,
    TRUN_SIZE,
    Box,
    Sample,
    SampleDefaults,
    find,
    unpack,
)
from encoder.errors import BadBox

_WORD = struct.Struct(">I")
_TIMES = (struct.Struct(">I"), struct.Struct(">Q"))  # of tfdt, by its version


@dataclass(frozen=True, slots=True)
class FragmentShape:
    """Where a moof of one sample has its words; build it with :func:`shape_of`."""

    size: int
    fixed: tuple[tuple[int, int, bytes], ...]  # from, to, and what stands there
    time_at: int
    time: struct.Struct
    # Where the word stands, or, if it stands nowhere, what holds instead.
    offset_at: int | None
    size_at: int | None
    default_size: int
    flags_at: int | None
    default_flags: int

    def read(self, moof: Box, mdat: Box) -> Sample | None:
        """The one sample; None: this fragment has to be looked at box by box."""
        raw = moof.raw
        if len(raw) != self.size:
            return None
        for start, end, wanted in self.fixed:
            if raw[start:end] != wanted:
                return None
        size = self._word(raw, self.size_at, self.default_size)
        at = 0
        if self.offset_at is not None:
            at = _WORD.unpack_from(raw, self.offset_at)[0]
            at -= len(raw) + len(mdat.raw) - len(mdat.payload)
        if not size or at < 0 or at + size > len(mdat.payload):
            return None
        flags = self._word(raw, self.flags_at, self.default_flags)
        (dts,) = self.time.unpack_from(raw, self.time_at)
        return Sample(dts, not flags & NON_SYNC, bytes(mdat.payload[at : at + size]))

    @staticmethod
    def _word(raw: memoryview, at: int | None, default: int) -> int:
        value: int = default if at is None else _WORD.unpack_from(raw, at)[0]
        return value


def shape_of(moof: Box, defaults: SampleDefaults) -> FragmentShape | None:
    """The shape of a moof that :func:`encoder.boxes.read_fragment` has read.

    Args:
        moof: of a fragment without faults.
        defaults: of the track.

    Returns:
        None: not one sample, or with what only the other reader knows.
    """
    try:
        mfhd, traf = find(moof, "mfhd"), find(moof, "traf")
    except BadBox:  # without a sequence number, which the other reader does not ask for
        return None
    tfhd, tfdt, trun = (find(traf, kind) for kind in ("tfhd", "tfdt", "trun"))
    (trun_flags, count), (tfhd_flags, _track) = unpack("2I", trun), unpack("2I", tfhd)
    if count != 1 or trun_flags & TRUN_CTS:
        return None
    time = _TIMES[bool(unpack("I", tfdt)[0] >> 24)]
    base = 8 + 8 * bool(tfhd_flags & TFHD_BASE_OFFSET) + 4 * bool(tfhd_flags & TFHD_DESCRIPTION)
    # Both tables list, in this order, the fields whose flags are set.
    of_tfhd = _places(moof, tfhd, base, tfhd_flags, (TFHD_DURATION, TFHD_SIZE, TFHD_FLAGS))
    of_trun = _places(moof, trun, 8, trun_flags, _TRUN_FIELDS)
    time_at = _start(moof, tfdt) + 4
    flags = (of_trun.get(TRUN_FIRST_FLAGS), of_trun.get(TRUN_FLAGS), of_tfhd.get(TFHD_FLAGS))
    sizes = (of_trun.get(TRUN_SIZE), of_tfhd.get(TFHD_SIZE))
    words = [_start(moof, mfhd) + 4, *of_tfhd.values(), *of_trun.values()]
    holes = [(at, at + _WORD.size) for at in words] + [(time_at, time_at + time.size)]
    return FragmentShape(
        size=len(moof.raw),
        fixed=_between(moof.raw, holes),
        time_at=time_at,
        time=time,
        offset_at=of_trun.get(TRUN_OFFSET),
        size_at=next((at for at in sizes if at is not None), None),
        default_size=defaults.size,
        flags_at=next((at for at in flags if at is not None), None),
        default_flags=defaults.flags,
    )


_TRUN_FIELDS = (TRUN_OFFSET, TRUN_FIRST_FLAGS, TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS)


def _start(moof: Box, inner: Box) -> int:
    """Where a box's payload begins in the bytes of its moof."""
    return inner.offset - moof.offset + len(inner.raw) - len(inner.payload)


def _places(moof: Box, inner: Box, at: int, flags: int, fields: tuple[int, ...]) -> dict[int, int]:
    """Where each field stands, by its flag; those that are not there are left out."""
    places: dict[int, int] = {}
    for field in fields:
        if flags & field:
            places[field] = _start(moof, inner) + at + _WORD.size * len(places)
    return places


def _between(raw: memoryview, holes: list[tuple[int, int]]) -> tuple[tuple[int, int, bytes], ...]:
    fixed, start = [], 0
    for hole, end in [*sorted(holes), (len(raw), len(raw))]:
        if start < hole:
            fixed.append((start, hole, bytes(raw[start:hole])))
        start = end
    return tuple(fixed)
