"""Fragments are read back as they were written; damage is BadBox, never anything else."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.boxes import (
    DEPENDENT_FLAGS,
    SYNC_FLAGS,
    BoxStream,
    Sample,
    SampleDefaults,
    box,
    children,
    find,
    full_box,
    read_fragment,
    read_sample_defaults,
    unpack,
    write_fragment,
)
from encoder.errors import BadBox
from tests.unit.samples import avc1, boxes, moov, refusal

NO_DEFAULTS = SampleDefaults(0, 0, 0)
TICKS = 3600


@st.composite
def runs(draw: st.DrawFn, longest: int = 60) -> list[Sample]:
    """Samples of one fragment: any pattern of sync flags and sizes, times beyond 32 bits."""
    first = draw(st.integers(0, 2**33))
    kinds = st.tuples(st.booleans(), st.binary(min_size=1, max_size=40))
    frames = draw(st.lists(kinds, min_size=1, max_size=longest))
    return [
        Sample(first + number * TICKS, is_sync, data)
        for number, (is_sync, data) in enumerate(frames)
    ]


def read_back(data: bytes) -> list[Sample]:
    moof, mdat = boxes(data)
    return read_fragment(moof, mdat, NO_DEFAULTS)


def read_everything(data: bytes) -> list[Sample]:
    """What a reader of any bytes would do: cut, pair, read."""
    found = boxes(data)
    return [
        sample
        for moof, mdat in pairwise(found)
        if (moof.kind, mdat.kind) == ("moof", "mdat")
        for sample in read_fragment(moof, mdat, NO_DEFAULTS)
    ]


@settings(max_examples=100, deadline=None)
@given(runs(), st.integers(1, 2**40))
def test_a_fragment_is_read_as_it_was_written(samples: list[Sample], sequence: int) -> None:
    assert read_back(write_fragment(sequence, samples, TICKS)) == samples


@settings(max_examples=50, deadline=None)
@given(st.lists(runs(8), min_size=1, max_size=4), st.data())
def test_pieces_of_any_size_give_the_same_boxes(
    fragments: list[list[Sample]], data: st.DataObject
) -> None:
    whole = b"".join(write_fragment(n, run, TICKS) for n, run in enumerate(fragments))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    stream = BoxStream()
    pieces = (whole[a:b] for a, b in pairwise([0, *cuts, len(whole)]))
    found = [each for piece in pieces for each in stream.feed(piece)]
    assert [(b.kind, b.offset, bytes(b.raw)) for b in found] == [
        (b.kind, b.offset, bytes(b.raw)) for b in boxes(whole)
    ]
    assert b"".join(bytes(b.raw) for b in found) == whole


@settings(max_examples=40, deadline=None)
@given(runs())
def test_a_merged_part_costs_little(samples: list[Sample]) -> None:
    """A moof per frame would cost 110 bytes each; merged it is a table row of 4 or 8."""
    moof, mdat = boxes(write_fragment(1, samples, TICKS))
    assert len(moof.raw) <= 100 + 8 * len(samples)
    assert len(mdat.raw) == 8 + sum(len(sample.data) for sample in samples)


def test_a_usual_video_part_costs_100_bytes_and_4_a_frame() -> None:
    samples = [Sample(n * TICKS, n == 0, b"x" * 9) for n in range(5)]
    moof, _mdat = boxes(write_fragment(1, samples, TICKS))
    assert len(moof.raw) == 100 + 4 * 5


def test_rules_53_57_tfdt_and_addressing_from_the_moof() -> None:
    samples = [Sample(2**40 + n * TICKS, True, bytes([n])) for n in range(3)]
    data = write_fragment(7, samples, TICKS)
    moof, mdat = boxes(data)
    traf = find(moof, "traf")
    flags, track, duration, sample_flags = unpack("4I", find(traf, "tfhd"))
    assert flags == 0x020028  # default-base-is-moof; duration and flags for all
    assert (track, duration, sample_flags) == (1, TICKS, SYNC_FLAGS)
    version, time = unpack("IQ", find(traf, "tfdt"))
    assert (version >> 24, time) == (1, 2**40)
    trun_flags, count, offset, *sizes = unpack("6I", find(traf, "trun"))
    assert trun_flags & 0xFFFFFF == 0x201  # data offset, sizes
    assert (count, sizes) == (3, [1, 1, 1])
    assert data[offset:] == bytes(mdat.payload) == b"\0\1\2"


def test_flags_of_an_idr_and_its_followers() -> None:
    samples = [Sample(n * TICKS, n == 0, b"x") for n in range(3)]
    moof, _mdat = boxes(write_fragment(1, samples, TICKS))
    assert unpack("4I", find(moof, "traf/tfhd"))[3] == DEPENDENT_FLAGS
    assert unpack("4I", find(moof, "traf/trun"))[3] == SYNC_FLAGS  # first-sample-flags


def test_sample_defaults_come_from_trex_then_tfhd() -> None:
    (parsed,) = boxes(moov(avc1(), 90_000))
    defaults = read_sample_defaults(parsed)
    assert defaults == SampleDefaults(1000, 0, SYNC_FLAGS)
    fragment = box(
        "moof",
        box(
            "traf",
            full_box("tfhd", 0, 0x20010, struct.pack(">2I", 1, 2)),  # each sample has 2 bytes
            full_box("tfdt", 0, 0, struct.pack(">I", 500)),  # the 32-bit form
            full_box("trun", 0, 0, struct.pack(">I", 2)),
        ),
    )
    moof, mdat = boxes(fragment + box("mdat", b"abcd"))
    assert read_fragment(moof, mdat, defaults) == [
        Sample(500, True, b"ab"),
        Sample(1500, True, b"cd"),
    ]


# --- damage -------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_bad_boxes_or_not_yet_boxes(data: bytes) -> None:
    error = refusal(read_everything, data)
    assert error is None or 0 <= error.offset <= len(data)


@settings(max_examples=400, deadline=None)
@given(runs(6), st.data())
def test_a_damaged_fragment_is_read_or_refused(samples: list[Sample], data: st.DataObject) -> None:
    whole = bytearray(write_fragment(1, samples, TICKS))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.integers(0, len(whole)))
    error = refusal(read_everything, bytes(whole[:end]))
    assert error is None or 0 <= error.offset <= end


@pytest.mark.parametrize("size", [0, 2, 7, 64 * 1024 * 1024 + 1, 0xFFFFFFFF])
def test_impossible_sizes(size: int) -> None:
    with pytest.raises(BadBox, match=f"size {size}") as caught:
        boxes(box("free") + struct.pack(">I4s", size, b"moof"))
    assert caught.value.offset == 8


@pytest.mark.parametrize("size", [0, 15, 2**26 + 1, 2**63])
def test_impossible_64_bit_sizes(size: int) -> None:
    with pytest.raises(BadBox, match=f"size {size}"):
        boxes(struct.pack(">I4sQ", 1, b"mdat", size) + bytes(16))


def test_a_64_bit_size_that_fits_is_read() -> None:
    (found,) = boxes(struct.pack(">I4sQ", 1, b"mdat", 19) + b"abc")
    assert (found.kind, bytes(found.payload)) == ("mdat", b"abc")


def test_a_64_bit_header_may_come_in_two_pieces() -> None:
    data = struct.pack(">I4sQ", 1, b"mdat", 19) + b"abc"
    stream = BoxStream()
    assert not list(stream.feed(data[:10]))
    assert [bytes(found.payload) for found in stream.feed(data[10:])] == [b"abc"]


def test_a_type_must_be_printable() -> None:
    with pytest.raises(BadBox, match="printable"):
        boxes(struct.pack(">I4s", 8, b"mo\0f"))


def test_a_child_may_not_reach_beyond_its_parent() -> None:
    (parent,) = boxes(box("free") + box("moof", struct.pack(">I4s", 24, b"traf"), bytes(8)))[1:]
    with pytest.raises(BadBox, match="a child of 24 bytes in 16") as caught:
        list(children(parent))
    assert caught.value.offset == 16


def test_stray_bytes_behind_the_last_child() -> None:
    (parent,) = boxes(box("moof", box("traf"), b"\0\0\0"))
    with pytest.raises(BadBox, match="3 stray bytes") as caught:
        list(children(parent))
    assert caught.value.offset == 16


def test_a_missing_child_is_named() -> None:
    (parent,) = boxes(box("moof", box("traf")))
    with pytest.raises(BadBox, match="'traf' at byte 8 has no tfhd"):
        find(parent, "traf/tfhd")


def fragment_with_trun(trun: bytes, media: bytes, tfhd_flags: int = 0x20000) -> bytes:
    traf = box(
        "traf",
        full_box("tfhd", 0, tfhd_flags, struct.pack(">I", 1)),
        full_box("tfdt", 1, 0, bytes(8)),
        trun,
    )
    return box("moof", traf) + box("mdat", media)


@pytest.mark.parametrize(
    ("flags", "words", "problem"),
    [
        (0x201, (1, 84, 5), "5 bytes at 0 leave the mdat"),
        (0x201, (1, 4, 1), "leave the mdat"),  # points into the moof
        (0x201, (1, 0xFFFFFFFF, 1), "leave the mdat"),
        (0x200, (3, 1, 1), "table ends before 3 samples"),
        (0x004, (1,), "table ends before 1 samples"),
        (0xA00, (1, 1, 0), "composition offsets"),
        (0x000, (0xFFFFFFFF,), "sample of no bytes"),  # four thousand million of them
        (0x200, (2, 1, 0), "sample of no bytes"),
    ],
)
def test_tables_that_do_not_fit(flags: int, words: tuple[int, ...], problem: str) -> None:
    trun = full_box("trun", 0, flags, struct.pack(f">{len(words)}I", *words))
    with pytest.raises(BadBox, match=problem):
        read_back(fragment_with_trun(trun, b"abcd"))


def test_a_box_is_cut_short() -> None:
    with pytest.raises(BadBox, match="'tfhd' at byte 16 needs 8 bytes, has 4"):
        read_back(box("moof", box("traf", box("tfhd", bytes(4)))) + box("mdat"))
