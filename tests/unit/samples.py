"""Media made by hand: the smallest bytes that count as what they stand for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from encoder.boxes import Box, BoxStream, Sample, box, full_box
from encoder.errors import BadBox

SLICE, IDR, SEI, SPS, PPS = 1, 5, 6, 7, 8


def nal(kind: int, size: int = 8) -> bytes:
    """One NAL unit behind its 4-byte length."""
    return size.to_bytes(4, "big") + bytes([0x60 | kind]) + b"\x55" * (size - 1)


def picture(number: int, gop: int, ticks: int, size: int = 24) -> Sample:
    """Frame ``number`` of a track with an IDR each ``gop`` frames; its bytes tell its number."""
    is_idr = number % gop == 0
    data = nal(SEI) + nal(IDR if is_idr else SLICE, size) + number.to_bytes(4, "big")
    return Sample(number * ticks, is_idr, data)


def pictures(count: int, gop: int, ticks: int, size: int = 24) -> Iterator[Sample]:
    """The first ``count`` frames."""
    return (picture(number, gop, ticks, size) for number in range(count))


def sound(number: int, size: int = 24) -> Sample:
    """AAC frame ``number``, or what passes for one."""
    return Sample(number * 1024, True, b"\x21" * size + number.to_bytes(4, "big"))


def boxes(data: bytes) -> list[Box]:
    """The top-level boxes of some bytes."""
    return list(BoxStream().feed(data))


def descriptor(tag: int, body: bytes, length_bytes: int = 4) -> bytes:
    """An MPEG-4 descriptor, its length written in as many 7-bit groups as wished."""
    groups = [len(body) >> 7 * n & 0x7F for n in reversed(range(length_bytes))]
    return bytes([tag, *(group | 0x80 for group in groups[:-1]), groups[-1]]) + body


def esds(length_bytes: int = 4, config: bytes = b"\x11\x88") -> bytes:
    """AAC-LC at 48 kHz, mono, as ffmpeg writes it (``length_bytes=4``) or as others do (1)."""
    specific = descriptor(0x05, config, length_bytes)
    decoder = descriptor(0x04, b"\x40\x15" + bytes(11) + specific, length_bytes)
    es = descriptor(0x03, b"\0\x01\0" + decoder, length_bytes)
    return full_box("esds", 0, 0, es)


def avc1(avcc: bytes = b"\x01\x64\x00\x1f\xff", width: int = 1280, height: int = 720) -> bytes:
    """A visual sample entry."""
    fields = bytes(24) + struct.pack(">2H", width, height) + bytes(50)
    return box("avc1", fields, box("avcC", avcc))


def mp4a(inside: bytes = b"") -> bytes:
    """An audio sample entry."""
    return box("mp4a", bytes(28), inside or esds())


def moov(entry: bytes, timescale_hz: int, *, edit_list: bool = False, version: int = 0) -> bytes:
    """A moov of one track without samples; trex says 1000 ticks, no size, sync."""
    times = bytes(16 if version else 8)
    mdhd = full_box("mdhd", version, 0, times, struct.pack(">I", timescale_hz), bytes(12))
    stsd = full_box("stsd", 0, 0, struct.pack(">I", 1), entry)
    media = box("mdia", mdhd, box("minf", box("stbl", stsd)))
    edits = box("edts", full_box("elst", 0, 0, bytes(4))) if edit_list else b""
    trex = full_box("trex", 0, 0, struct.pack(">5I", 1, 1, 1000, 0, 0x02000000))
    mvhd = full_box("mvhd", 0, 0, bytes(8), struct.pack(">I", 1000), bytes(84))
    tkhd = full_box("tkhd", 0, 3, bytes(8), struct.pack(">I", 1), bytes(68))
    return box("moov", mvhd, box("trak", tkhd, edits, media), box("mvex", trex))


def init(entry: bytes, timescale_hz: int) -> bytes:
    """A whole init segment."""
    return box("ftyp", b"iso6\0\0\0\0iso6cmfc") + moov(entry, timescale_hz)


def refusal(read: Callable[[bytes], object], data: bytes) -> BadBox | None:
    """The error of a reader, or None where it took the bytes. Any other error is passed on."""
    try:
        read(data)
    except BadBox as error:
        return error
    return None
