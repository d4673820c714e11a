"""Reading by offset says what reading box by box says: the same sample, or the same complaint."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.boxes import (
    DEPENDENT_FLAGS,
    SYNC_FLAGS,
    Box,
    Sample,
    SampleDefaults,
    box,
    full_box,
    read_fragment,
    write_fragment,
)
from encoder.errors import BadBox
from encoder.fragment_shape import FragmentShape, shape_of
from encoder.fragments import TIMESTAMP_OFFSET_SECONDS, FragmentReader
from tests.unit.samples import avc1, boxes, init

TICKS = 3600
DEFAULTS = SampleDefaults(1000, 7, SYNC_FLAGS)
TFHD, TRUN = 0x2003A, 0x1  # of what ffmpeg writes: all is in tfhd, trun has an offset


def fragment(
    number: int,
    media: bytes,
    *,
    is_sync: bool = False,
    tfhd_flags: int = TFHD,
    trun_flags: int = TRUN,
    tfdt_version: int = 1,
    wrap: bytes = b"",
) -> bytes:
    """Of one sample, as ffmpeg writes it, or with its fields elsewhere."""
    own = {0x1: None, 0x4: SYNC_FLAGS if is_sync else DEPENDENT_FLAGS, 0x100: TICKS}
    own |= {0x200: len(media), 0x400: SYNC_FLAGS if is_sync else DEPENDENT_FLAGS}
    head = {0x2: 1, 0x8: TICKS, 0x10: len(media), 0x20: own[0x400]}
    tfhd = b"".join(struct.pack(">I", head[bit]) for bit in head if tfhd_flags & bit)
    if tfhd_flags & 0x1:
        tfhd = bytes(8) + tfhd
    time = struct.pack(">Q" if tfdt_version else ">I", number * TICKS)

    def moof(offset: int) -> bytes:
        words = [offset if own[bit] is None else own[bit] for bit in own if trun_flags & bit]
        trun = struct.pack(f">{1 + len(words)}I", 1, *words)
        traf = box(
            "traf",
            full_box("tfhd", 0, tfhd_flags, struct.pack(">I", 1), tfhd),
            full_box("tfdt", tfdt_version, 0, time),
            wrap,
            full_box("trun", 1, trun_flags, trun),
        )
        return box("moof", full_box("mfhd", 0, 0, struct.pack(">I", number)), traf)

    return moof(len(moof(0)) + 8) + box("mdat", media)


def slowly(moof: Box, mdat: Box) -> list[Sample] | str:
    try:
        return read_fragment(moof, mdat, DEFAULTS)
    except BadBox as error:
        return str(error)


def learnt(data: bytes) -> FragmentShape | None:
    moof, mdat = boxes(data)
    read_fragment(moof, mdat, DEFAULTS)
    return shape_of(moof, DEFAULTS)


forms = st.fixed_dictionaries(
    {
        "tfhd_flags": st.sampled_from([TFHD, 0x20028, 0x20000, 0x3B, 0x20010]),
        "trun_flags": st.sampled_from([TRUN, 0x5, 0x201, 0x701, 0x300, 0x0]),
        "tfdt_version": st.sampled_from([0, 1]),
        "wrap": st.sampled_from([b"", box("free", b"1234")]),
    }
)


@settings(max_examples=200, deadline=None)
@given(forms, st.binary(min_size=7, max_size=40), st.binary(min_size=7, max_size=40), st.booleans())
def test_fragments_of_all_forms(
    form: dict[str, Any], first: bytes, second: bytes, is_sync: bool
) -> None:
    shape = learnt(fragment(1, first, **form))
    assert shape is not None
    moof, mdat = boxes(fragment(2**20, second, is_sync=is_sync, **form))
    assert [shape.read(moof, mdat)] == slowly(moof, mdat)


@settings(max_examples=500, deadline=None)
@given(forms, st.data())
def test_a_damaged_one_is_read_as_the_other_reader_does_or_left_to_it(
    form: dict[str, Any], data: st.DataObject
) -> None:
    shape = learnt(fragment(1, b"x" * 20, **form))
    assert shape is not None
    whole = bytearray(fragment(2, b"y" * 20, **form))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(8, len(whole) - 1))
        whole[at] = data.draw(st.sampled_from([0, 1, 2, 4, 0x7F, 0x80, 0xFF, whole[at] ^ 1]))
    try:
        moof, mdat = boxes(bytes(whole))
    except (BadBox, ValueError):  # it is no moof and mdat any more
        return
    quick = shape.read(moof, mdat)
    assert quick is None or [quick] == slowly(moof, mdat)


def test_what_ffmpeg_writes_is_read_by_offset() -> None:
    shape = learnt(fragment(1, b"first"))
    assert shape is not None
    moof, mdat = boxes(fragment(2, b"and longer"))
    assert shape.read(moof, mdat) == Sample(2 * TICKS, is_sync=False, data=b"and longer")


@pytest.mark.parametrize(
    "other",
    [
        write_fragment(1, [Sample(0, True, b"x" * 9)] * 2, TICKS),
        box("moof", boxes(fragment(1, b"x"))[0].raw[24:]) + box("mdat", b"x"),
    ],
    ids=["two samples", "no mfhd"],
)
def test_of_others_no_shape_is_remembered(other: bytes) -> None:
    assert shape_of(boxes(other)[0], DEFAULTS) is None


def test_a_reader_that_has_seen_many_says_what_one_that_has_seen_none_says() -> None:
    start = TIMESTAMP_OFFSET_SECONDS * 90_000 // TICKS
    pieces = [
        fragment(start + n, b"x" * (n + 1), is_sync=not n % 5, trun_flags=0x5 if not n % 5 else 1)
        for n in range(12)
    ]
    head = init(avc1(), 90_000)
    reader = FragmentReader(base_ticks=0)
    found = [item for piece in (head, *pieces) for item in reader.feed(piece)][1:]
    alone = [list(FragmentReader(base_ticks=0).feed(head + piece))[1] for piece in pieces]
    assert found == alone
    for damaged in (pieces[3][:-9] + box("mdat"), pieces[5].replace(b"tfdt", b"tfdx")):
        with pytest.raises(BadBox):
            list(reader.feed(damaged))
