"""An MPEG-2 transport stream (ISO/IEC 13818-1) of one AVC and one AAC track: segments of plain HLS.

Each segment begins with PAT and PMT and can be played alone; continuity counters run on from one
to the next. The clock reference leads the decoding times by the rate control's buffer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

PACKET_BYTES = 188
CLOCK_HZ = 90_000
_ROOM_BYTES = PACKET_BYTES - 4
_PAT_PID, _PMT_PID, VIDEO_PID, AUDIO_PID = 0, 0x1000, 0x100, 0x101
_AVC, _AAC_ADTS = 0x1B, 0x0F  # stream types of table 2-34
_VIDEO_ID, _AUDIO_ID = 0xE0, 0xC0  # stream ids of a PES packet
# The timeline begins at 0, its clock reference before that: nothing may be negative.
OFFSET_TICKS = 10 * CLOCK_HZ
# A key frame may take the whole rate buffer, 0.4 s (RateControl), to arrive.
LEAD_TICKS = CLOCK_HZ * 2 // 5
# 13818-1 asks for a clock reference each 100 ms, DVB for one each 40 ms.
PCR_TICKS = CLOCK_HZ // 25
_CLOCK = -1  # no PID: a clock reference that stands alone
_DISCONTINUITY, _RANDOM_ACCESS, _HAS_PCR = 0x80, 0x40, 0x10
_WRAP = 1 << 33


@dataclass(frozen=True, slots=True)
class Unit:
    """What one PES packet carries. Times on the 90 kHz clock of the timeline; no reordering."""

    pid: int
    ticks: int
    data: bytes
    is_key: bool = False


def crc32(data: bytes) -> int:
    """CRC of a section (annex A): not reflected, all ones at first, nothing inverted."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)
        value &= 0xFFFFFFFF
    return value


def _section(table_id: int, number: int, body: bytes) -> bytes:
    """A PSI section, version 0, the only one of its table, behind a pointer field."""
    length = 5 + len(body) + 4
    head = struct.pack(">BHHBBB", table_id, 0xB000 | length, number, 0xC1, 0, 0)
    section = head + body
    return b"\0" + section + struct.pack(">I", crc32(section))


def _stream_entry(stream_type: int, pid: int) -> bytes:
    return struct.pack(">BHH", stream_type, 0xE000 | pid, 0xF000)


_PAT = _section(0, 1, struct.pack(">HH", 1, 0xE000 | _PMT_PID))
_PMT = _section(
    2,
    1,
    struct.pack(">HH", 0xE000 | VIDEO_PID, 0xF000)
    + _stream_entry(_AVC, VIDEO_PID)
    + _stream_entry(_AAC_ADTS, AUDIO_PID),
)


class TsMuxer:
    """Writes segments; remembers the continuity counters between them."""

    def __init__(self) -> None:
        self._counters: dict[int, int] = {}

    def segment(self, units: Sequence[Unit], *, is_break: bool) -> bytes:
        """One segment.

        Args:
            units: pictures and sound; each of both kinds in its order.
            is_break: times or counters do not continue those of the segment before.
        """
        out = [*self._table(_PAT_PID, _PAT), *self._table(_PMT_PID, _PMT)]
        flag = _DISCONTINUITY if is_break else 0
        pictures = [unit.ticks for unit in units if unit.pid == VIDEO_PID]
        clocks = (Unit(_CLOCK, ticks, b"") for ticks in _between(pictures))
        for unit in sorted([*units, *clocks], key=lambda unit: (unit.ticks, unit.pid)):
            if unit.pid == _CLOCK:
                out.append(self._clock_only(VIDEO_PID, unit.ticks))
            elif unit.pid == VIDEO_PID:
                out += self._pes(unit, unit.ticks, flag)
                flag = 0
            else:
                out += self._pes(unit, None, 0)
        return b"".join(out)

    def _table(self, pid: int, section: bytes) -> Iterator[bytes]:
        padded = section + b"\xff" * (_ROOM_BYTES - len(section))
        yield self._header(pid, starts=True, control=1) + padded

    def _pes(self, unit: Unit, clock: int | None, flag: int) -> Iterator[bytes]:
        payload = _pes_header(unit) + unit.data
        flags = flag | (_RANDOM_ACCESS if unit.is_key else 0)
        fields = _adaptation(flags, clock) if clock is not None or flags else b""
        at, starts = 0, True
        while at < len(payload):
            room = _ROOM_BYTES - (1 + len(fields) if fields else 0)
            piece = payload[at : at + room]
            adaptation = _filled(fields, room - len(piece))
            control = 3 if adaptation else 1
            yield self._header(unit.pid, starts=starts, control=control) + adaptation + piece
            at, starts, fields = at + len(piece), False, b""

    def _clock_only(self, pid: int, ticks: int) -> bytes:
        fields = _adaptation(0, ticks)
        return self._header(pid, starts=False, control=2) + _filled(
            fields, _ROOM_BYTES - 1 - len(fields)
        )

    def _header(self, pid: int, *, starts: bool, control: int) -> bytes:
        """The four bytes of a packet; ``control``: 1 payload, 2 adaptation field, 3 both."""
        before = self._counters.get(pid, 15)
        counter = (before + 1) % 16 if control & 1 else before  # without payload it stands still
        self._counters[pid] = counter
        return struct.pack(">BHB", 0x47, starts << 14 | pid, control << 4 | counter)


def _between(pictures: Sequence[int]) -> Iterator[int]:
    """Instants for clock references between pictures that are far apart."""
    for last, following in pairwise(pictures):
        steps = -(-(following - last) // PCR_TICKS)
        yield from (last + (following - last) * step // steps for step in range(1, steps))


def _adaptation(flags: int, clock: int | None) -> bytes:
    """The adaptation field's flags and clock reference, without its length."""
    if clock is None:
        return bytes([flags])
    base = (clock + OFFSET_TICKS - LEAD_TICKS) % _WRAP
    # 33 bits of 90 kHz, six reserved ones, nine bits of 27 MHz: 0
    return bytes([flags | _HAS_PCR]) + (base << 15 | 0x7E00).to_bytes(6, "big")


def _filled(fields: bytes, stuffing: int) -> bytes:
    """A whole adaptation field that takes ``stuffing`` bytes more than its fields."""
    if not fields:
        if stuffing < 2:
            return b"\0" * stuffing  # a field of length 0 is one byte
        fields, stuffing = b"\0", stuffing - 2
    return bytes([len(fields) + stuffing]) + fields + b"\xff" * stuffing


def _pes_header(unit: Unit) -> bytes:
    """With a PTS alone: what is decoded is shown, in this order."""
    is_video = unit.pid == VIDEO_PID
    pts = (unit.ticks + OFFSET_TICKS) % _WRAP
    stamp = struct.pack(
        ">BHH", 0x21 | pts >> 29 & 0xE, (pts >> 14 & 0xFFFE) | 1, (pts << 1 & 0xFFFE) | 1
    )
    # 0: unbounded, which only pictures may be
    length = 0 if is_video else 3 + len(stamp) + len(unit.data)
    stream_id = _VIDEO_ID if is_video else _AUDIO_ID
    return struct.pack(">IHBBB", 0x100 | stream_id, length, 0x84, 0x80, len(stamp)) + stamp
