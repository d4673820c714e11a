"""What an init segment tells, and which samples are IDRs (rules 47, 55, 56)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.boxes import box
from encoder.codecs import (
    Track,
    is_av1_key_frame,
    is_hevc_idr,
    is_idr,
    is_random_access,
    read_init,
)
from encoder.errors import BadBox
from tests.unit.samples import (
    IDR,
    PPS,
    SEI,
    SLICE,
    SPS,
    avc1,
    esds,
    init,
    moov,
    mp4a,
    nal,
    refusal,
)


@pytest.mark.parametrize(
    ("avcc", "codecs"),
    [
        (b"\x01\x64\x00\x1f\xff", "avc1.64001f"),  # High 3.1
        (b"\x01\x4d\x40\x28", "avc1.4d4028"),  # Main 4.0
        (b"\x01\x42\xc0\x0d\xff\xe1", "avc1.42c00d"),  # Constrained Baseline 1.3
    ],
)
def test_avc_string(avcc: bytes, codecs: str) -> None:
    track, parsed = read_init(init(avc1(avcc, 640, 360), 90_000))
    assert track == Track(codecs, 90_000, 640, 360)
    assert parsed.kind == "moov"


@pytest.mark.parametrize("length_bytes", [1, 2, 4])
def test_aac_string(length_bytes: int) -> None:
    track, _moov = read_init(init(mp4a(esds(length_bytes)), 48_000))
    assert track == Track("mp4a.40.2", 48_000)


def test_he_aac_is_told_apart() -> None:
    track, _moov = read_init(init(mp4a(esds(config=b"\x2b\x09\x88\x00")), 48_000))
    assert track.codecs == "mp4a.40.5"


def test_timescale_of_a_64_bit_mdhd() -> None:
    track, _moov = read_init(moov(avc1(), 12_345, version=1))
    assert track.timescale_hz == 12_345


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (box("ftyp", b"iso6"), "'moov' at byte 12 is missing"),
        (moov(b"", 90_000), "has no sample entry"),
        (moov(box("hev1", bytes(90)), 90_000), "'hev1' .* is not a sample entry we stream"),
        (moov(box("avc1", bytes(78)), 90_000), "has no avcC"),
        (moov(box("avc1", bytes(20)), 90_000), "'avc1' .* needs 28 bytes, has 20"),
        (moov(avc1(b"\x01\x64"), 90_000), "'avcC' .* needs 4 bytes, has 2"),
        (moov(mp4a(box("esds", b"\0\0\0\0\x03")), 48_000), "'esds' .* expected descriptor 0x4"),
        (moov(mp4a(box("esds", b"\0\0\0\0\x03\x80")), 48_000), "expected descriptor 0x4"),
        (moov(mp4a(box("esds", b"\0\0\0\0\x03\x09")), 48_000), "0x3 of 9 bytes is cut short"),
        (moov(mp4a(esds(config=b"")), 48_000), "empty AudioSpecificConfig"),
    ],
)
def test_what_we_do_not_stream(data: bytes, problem: str) -> None:
    with pytest.raises(BadBox, match=problem):
        read_init(data)


def test_a_descriptor_length_has_four_bytes_at_most() -> None:
    """Else a megabyte of 0x80 would be read as one number of a million digits."""
    endless = b"\0\0\0\0\x03" + b"\x80" * 5 + b"\0"
    with pytest.raises(BadBox, match="expected descriptor 0x4"):
        read_init(moov(mp4a(box("esds", endless)), 48_000))


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.data())
def test_a_damaged_init_is_read_or_refused(is_video: bool, data: st.DataObject) -> None:
    whole = bytearray(init(avc1() if is_video else mp4a(), 48_000))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    error = refusal(read_init, bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert error is None or 0 <= error.offset <= len(whole)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (nal(IDR), True),
        (nal(SLICE), False),
        (nal(SPS) + nal(PPS) + nal(SEI) + nal(IDR), True),
        (nal(SEI) + nal(SLICE), False),
        (nal(IDR) * 4, True),  # sliced threads: four slices, one frame
        (nal(SLICE) * 4, False),
        (nal(SLICE) + nal(IDR), False),  # the first slice decides
        (nal(9) + nal(IDR), True),  # access unit delimiter
        (nal(SPS) + nal(PPS), False),  # no slice at all
        (b"", False),
        (b"\0\0\0\x01", False),
        (nal(SEI)[:-3] + nal(IDR), False),  # the SEI's length leads into the IDR
        (b"\xff\xff\xff\xff\x66", False),  # an SEI longer than the sample
        (bytes(4) * 3 + nal(IDR), True),  # empty NALs are passed, not looped over
    ],
)
def test_is_idr_rule_55(sample: bytes, expected: bool) -> None:
    assert is_idr(sample) is expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_is_idr_ends_on_any_bytes(sample: bytes) -> None:
    assert is_idr(sample) in (True, False)


def visual(kind: str, config: bytes) -> bytes:
    """A sample entry of 640x360."""
    return box(kind, avc1(width=640, height=360)[8:86], config)


@pytest.mark.parametrize(
    ("head", "codecs"),
    [
        # version, space+tier+profile, compatibility, constraints, level
        ("01 01 60000000 900000000000 5d", "hvc1.1.6.L93.90"),  # Main 3.1
        ("01 02 20000000 b00000000000 99", "hvc1.2.4.L153.B0"),  # Main 10, 5.1
        ("01 61 60000000 000000000000 78", "hvc1.A1.6.H120"),  # high tier, no constraints
        ("01 04 08000000 9e2800000000 5a", "hvc1.4.10.L90.9E.28"),  # range extensions
    ],
)
def test_hevc_string(head: str, codecs: str) -> None:
    config = box("hvcC", bytes.fromhex(head))
    track, _moov = read_init(init(visual("hvc1", config), 90_000))
    assert track == Track(codecs, 90_000, 640, 360)


@pytest.mark.parametrize(
    ("head", "codecs"),
    [
        ("81 05 0c 00", "av01.0.05M.08"),  # Main, level 3.1, 4:2:0
        ("81 28 cc 00", "av01.1.08H.10"),  # High, level 4.0, high tier, 10 bits
        ("81 4d 6c 00", "av01.2.13M.12"),  # Professional, level 5.1, 12 bits
    ],
)
def test_av1_string(head: str, codecs: str) -> None:
    config = box("av1C", bytes.fromhex(head))
    track, _moov = read_init(init(visual("av01", config), 90_000))
    assert track == Track(codecs, 90_000, 640, 360)


def hevc(kind: int) -> bytes:
    """A NAL unit of HEVC behind its length."""
    return b"\0\0\0\x05" + bytes([kind << 1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (hevc(19), True),  # IDR_W_RADL
        (hevc(32) + hevc(33) + hevc(34) + hevc(39) + hevc(20), True),  # IDR_N_LP behind its sets
        (hevc(21), False),  # CRA: what follows it may need what was before
        (hevc(1), False),
        (hevc(1) + hevc(19), False),  # the first slice decides
        (hevc(33), False),
        (b"", False),
        (b"\0\0\0\x01", False),
    ],
)
def test_55_hevc(sample: bytes, expected: bool) -> None:
    assert is_hevc_idr(sample) is is_random_access("hvc1.1.6.L93.90", sample) is expected


HEADER, KEY, INTER, SHOWN_AGAIN, HIDDEN = (
    bytes.fromhex(text) for text in ("0a01aa", "320110", "320130", "320180", "320100")
)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (HEADER + KEY, True),
        (b"\x12\x00" + HEADER + b"\x1a\x01\x10", True),  # delimiter, and a frame header apart
        (KEY, False),  # who begins here has no sequence header
        (HEADER + INTER, False),
        (HEADER + SHOWN_AGAIN, False),
        (HEADER + HIDDEN, False),
        (HEADER, False),
        (HEADER + b"\x30\x10", True),  # the last unit need not say its size
        (b"\x0e\x00\x01\xaa" + KEY, True),  # an extension byte
        (HEADER + b"\x32\x00", False),
        (b"\x32" + b"\x80" * 40, False),
        (b"", False),
    ],
)
def test_55_av1(sample: bytes, expected: bool) -> None:
    assert is_av1_key_frame(sample) is is_random_access("av01.0.05M.08", sample) is expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.sampled_from(["avc1", "hvc1", "av01"]))
def test_the_looks_end_on_any_bytes(sample: bytes, entry: str) -> None:
    assert is_random_access(entry, sample) in (True, False)
