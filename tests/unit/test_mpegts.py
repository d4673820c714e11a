"""The transport stream, packet by packet, by a reader of the standard's own fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.codecs import read_init
from encoder.elementary import Adts, annex_b, parameter_sets
from encoder.errors import BadBox
from encoder.mpegts import (
    AUDIO_PID,
    LEAD_TICKS,
    OFFSET_TICKS,
    PACKET_BYTES,
    VIDEO_PID,
    TsMuxer,
    Unit,
    crc32,
)
from tests.unit.samples import IDR, PPS, SEI, SLICE, SPS, avc1, esds, init, mp4a, nal

WRAP = 1 << 33


@dataclass
class Packet:
    """One packet of 188 bytes."""

    pid: int
    starts: bool
    counter: int
    payload: bytes
    flags: int = 0
    pcr: int | None = None  # 27 MHz
    stuffing: bytes = b""


@dataclass
class Read:
    """A segment, demultiplexed."""

    packets: list[Packet]
    units: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)  # by PID


def parse(data: bytes) -> Read:
    assert len(data) % PACKET_BYTES == 0
    read = Read([packet(data[at : at + 188]) for at in range(0, len(data), 188)])
    for one in read.packets:
        if one.pid not in (VIDEO_PID, AUDIO_PID) or not one.payload:
            continue
        units = read.units.setdefault(one.pid, [])
        if one.starts:
            units.append(pes(one.pid, one.payload))
        else:
            units[-1] = (units[-1][0], units[-1][1] + one.payload)
    return read


def packet(raw: bytes) -> Packet:
    assert raw[0] == 0x47
    assert raw[1] & 0xA0 == 0  # no error, no priority
    pid, control = (raw[1] & 0x1F) << 8 | raw[2], raw[3] >> 4 & 3
    assert control
    assert raw[3] >> 6 == 0  # not scrambled
    found = Packet(pid, bool(raw[1] & 0x40), raw[3] & 15, b"")
    at = 4
    if control & 2:
        length = raw[4]
        assert length == 183 if control == 2 else length <= 182
        body, at = raw[5 : 5 + length], 5 + length
        if body:
            found.flags, rest = body[0], body[1:]
            if found.flags & 0x10:
                bits = int.from_bytes(rest[:6], "big")
                found.pcr = (bits >> 15) * 300 + (bits & 0x1FF)
                assert bits >> 9 & 0x3F == 0x3F  # reserved
                rest = rest[6:]
            found.stuffing = rest
            assert set(rest) <= {0xFF}
    found.payload = raw[at:] if control & 1 else b""
    return found


def pes(pid: int, payload: bytes) -> tuple[int, bytes]:
    assert payload[:3] == b"\0\0\1"
    assert payload[3] == {VIDEO_PID: 0xE0, AUDIO_PID: 0xC0}[pid]
    assert payload[6:9] == b"\x84\x80\x05"  # aligned, a PTS alone
    stamp = payload[9:14]
    assert stamp[0] >> 4 == 2
    assert stamp[0] & stamp[2] & stamp[4] & 1  # marker bits
    high, middle, low = stamp[0] >> 1 & 7, int.from_bytes(stamp[1:3]), int.from_bytes(stamp[3:5])
    return high << 30 | (middle >> 1) << 15 | low >> 1, payload[14:]


def pictures(count: int, ticks: int = 3600, start: int = 0, size: int = 700) -> list[Unit]:
    return [
        Unit(VIDEO_PID, start + n * ticks, bytes([n % 251]) * (size + n), n == 0)
        for n in range(count)
    ]


def sounds(count: int, start: int = 0) -> list[Unit]:
    return [Unit(AUDIO_PID, start + n * 7680, b"\xff\xf1" + bytes(600 + n)) for n in range(count)]


def test_the_crc_is_that_of_the_standard() -> None:
    """A section with its CRC behind it has the CRC 0; and a value everyone knows."""
    assert crc32(b"123456789") == 0x0376E6E7
    assert crc32(b"123456789" + (0x0376E6E7).to_bytes(4)) == 0


def test_a_segment_begins_with_its_tables_and_a_key_frame() -> None:
    read = parse(TsMuxer().segment([*pictures(50), *sounds(20)], is_break=False))
    pat, pmt, first = read.packets[:3]
    assert (pat.pid, pmt.pid, first.pid) == (0, 0x1000, VIDEO_PID)
    for table, table_id in ((pat, 0), (pmt, 2)):
        section = table.payload[1:]
        length = int.from_bytes(section[1:3], "big") & 0xFFF
        assert table.payload[0] == 0
        assert section[0] == table_id
        assert crc32(section[: 3 + length]) == 0
        assert set(section[3 + length :]) == {0xFF}
    assert pat.payload[9:13] == b"\0\1\xf0\x00"  # program 1 is at PID 0x1000
    assert pmt.payload[9:13] == b"\xe1\0\xf0\0"  # clock on the pictures
    assert pmt.payload[13:23] == b"\x1b\xe1\0\xf0\0" + b"\x0f\xe1\1\xf0\0"
    assert first.flags & 0x40  # random access
    assert not any(one.flags & 0x80 for one in read.packets)


@given(
    st.lists(st.integers(1, 2000), min_size=1, max_size=12),
    st.lists(st.integers(1, 2000), max_size=12),
)
def test_everything_comes_out_as_it_went_in(seen: list[int], heard: list[int]) -> None:
    units = [Unit(VIDEO_PID, n * 3600, bytes([n]) * s, n == 0) for n, s in enumerate(seen)]
    units += [Unit(AUDIO_PID, n * 7680, bytes([n]) * s) for n, s in enumerate(heard)]
    read = parse(TsMuxer().segment(units, is_break=False))
    for pid in (VIDEO_PID, AUDIO_PID):
        given_units = [(u.ticks + OFFSET_TICKS, u.data) for u in units if u.pid == pid]
        assert read.units.get(pid, []) == given_units


def test_a_pes_packet_of_sound_says_its_length_and_one_of_pictures_need_not() -> None:
    read = parse(TsMuxer().segment([*pictures(2), *sounds(2)], is_break=False))
    for one in read.packets[2:]:
        if one.starts:
            length = int.from_bytes(one.payload[4:6], "big")
            assert length == 0 if one.pid == VIDEO_PID else length >= 608


def test_counters_run_on_from_segment_to_segment() -> None:
    muxer = TsMuxer()
    segments = [
        muxer.segment([*pictures(50, start=n * 180_000), *sounds(23)], is_break=False)
        for n in range(3)
    ]
    packets = parse(b"".join(segments)).packets
    for pid in (0, 0x1000, VIDEO_PID, AUDIO_PID):
        of_pid = [one for one in packets if one.pid == pid]
        assert len(of_pid) >= 3
        for before, after in pairwise(of_pid):
            assert after.counter == (before.counter + bool(after.payload)) % 16


@pytest.mark.parametrize("fps", [60, 25, 10, 5, 1])
def test_a_clock_reference_at_least_each_40_ms(fps: int) -> None:
    ticks = 90_000 // fps
    read = parse(TsMuxer().segment(pictures(2 * fps, ticks), is_break=False))
    clocks = [one.pcr for one in read.packets if one.pcr is not None]
    assert {one.pid for one in read.packets if one.pcr is not None} == {VIDEO_PID}
    assert all(0 < after - before <= 27_000_000 * 0.04 for before, after in pairwise(clocks))
    assert clocks[0] == (OFFSET_TICKS - LEAD_TICKS) * 300
    assert clocks[-1] == (OFFSET_TICKS - LEAD_TICKS + (2 * fps - 1) * ticks) * 300


def test_a_break_is_marked_once() -> None:
    read = parse(TsMuxer().segment([*pictures(5), *sounds(3)], is_break=True))
    marked = [one for one in read.packets if one.flags & 0x80]
    assert [one.pcr for one in marked] == [(OFFSET_TICKS - LEAD_TICKS) * 300]


def test_stamps_wrap_at_33_bits() -> None:
    """After 26.5 hours. The clock reference, which is earlier, wraps later."""
    start = WRAP - OFFSET_TICKS - 3600
    read = parse(TsMuxer().segment(pictures(14, start=start), is_break=False))
    assert [pts for pts, _ in read.units[VIDEO_PID]][:3] == [WRAP - 3600, 0, 3600]
    clocks = [one.pcr // 300 for one in read.packets if one.pcr is not None]
    assert clocks[0] == WRAP - 3600 - LEAD_TICKS
    assert clocks[-1] == (start + 13 * 3600 + OFFSET_TICKS - LEAD_TICKS) % WRAP < 10_000


# --- what goes into it --------------------------------------------------------------------------


SPS_UNIT, PPS_UNIT = b"\x67\x64\x00\x1f\xac", b"\x68\xee\x3c\x80"
AVCC = b"\x01\x64\x00\x1f\xff\xe1\x00\x05" + SPS_UNIT + b"\x01\x00\x04" + PPS_UNIT
SETS = b"\0\0\0\1" + SPS_UNIT + b"\0\0\0\1" + PPS_UNIT


def test_parameter_sets_of_the_init_segment() -> None:
    _track, moov = read_init(init(avc1(AVCC), 90_000))
    assert parameter_sets(moov) == SETS


@pytest.mark.parametrize("cut", range(4, len(AVCC)))
def test_parameter_sets_that_are_cut_short(cut: int) -> None:
    _track, moov = read_init(init(avc1(AVCC[:cut]), 90_000))
    with pytest.raises(BadBox, match="avcC"):
        parameter_sets(moov)


def test_an_access_unit_begins_with_its_delimiter_and_an_idr_brings_its_sets_once() -> None:
    sample = nal(9, 2) + nal(SPS, 5) + nal(PPS, 4) + nal(SEI, 6) + nal(IDR, 30) + nal(IDR, 20)
    start = b"\0\0\0\1"
    kinds = [unit[0] & 0x1F for unit in annex_b(sample, SETS).split(start)[1:]]
    assert kinds == [9, SPS, PPS, SEI, IDR, IDR]
    assert annex_b(sample, SETS).startswith(start + b"\x09\xf0" + SETS)
    plain = annex_b(nal(SLICE, 30), SETS)
    assert plain == start + b"\x09\xf0" + start + nal(SLICE, 30)[4:]


def test_adts_says_what_the_config_says() -> None:
    """Against the layout of ISO/IEC 13818-7, bit by bit: AAC-LC, 48 kHz, mono."""
    _track, moov = read_init(init(mp4a(esds()), 48_000))
    frame = Adts.read(moov).frame(bytes(200))
    bits = f"{int.from_bytes(frame[:7], 'big'):056b}"
    assert bits[:16] == "1111111111110001"
    assert (int(bits[16:18], 2), int(bits[18:22], 2), int(bits[23:26], 2)) == (1, 3, 1)
    assert int(bits[30:43], 2) == len(frame) == 207
    assert bits[43:] == "1" * 11 + "00"


def test_what_adts_cannot_tell_is_refused() -> None:
    for config in (b"\x2b\x09\x88\x00", b"\x17\x88", b"\x11\x80"):  # HE-AAC, odd rate, layout
        _track, moov = read_init(init(mp4a(esds(config=config)), 48_000))
        with pytest.raises(BadBox, match="ADTS cannot tell"):
            Adts.read(moov)
    with pytest.raises(BadBox, match="8185 bytes"):
        Adts(1, 3, 1).frame(bytes(8185))


def test_hevc_has_no_parameter_sets_here() -> None:
    _track, moov = read_init(init(mp4a(), 48_000))
    with pytest.raises(BadBox, match="has no avc1"):
        parameter_sets(moov)
