"""Init segments and fragments of a made-up stream: valid boxes around bytes that no one decodes."""

from __future__ import annotations

import struct

from encoder.boxes import Sample, box, full_box, write_fragment
from tests.unit.samples import IDR, PPS, SLICE, SPS, mp4a, nal

SPS_NAL, PPS_NAL = nal(SPS, 12), nal(PPS, 4)
_VIDEO_CODEC = b"\x01\x64\x00\x1f\xff"  # avc1.64001f


def init(kind: str, timescale_hz: int, *, width: int = 0, height: int = 0, edit: int = 0) -> bytes:
    """ftyp and moov of one track. ``edit``: media time at which an edit list starts."""
    entry = _avc1(width, height) if kind == "vide" else mp4a()
    nothing = bytes(8)
    mvhd = full_box("mvhd", 0, 0, nothing, struct.pack(">2I", 1000, 0), bytes(80))
    tkhd = full_box("tkhd", 0, 3, nothing, struct.pack(">3I", 1, 0, 0), bytes(60))
    mdhd = full_box("mdhd", 0, 0, nothing, struct.pack(">3I", timescale_hz, 0, 0))
    hdlr = full_box("hdlr", 0, 0, bytes(4), kind.encode(), bytes(13))
    stsd = full_box("stsd", 0, 0, struct.pack(">I", 1), entry)
    tables = (full_box(name, 0, 0, bytes(4)) for name in ("stts", "stsc", "stco"))
    stbl = box("stbl", stsd, full_box("stsz", 0, 0, nothing), *tables)
    elst = full_box("elst", 0, 0, struct.pack(">IIiI", 1, 0, edit, 0x10000))
    edts = box("edts", elst) if edit else b""
    trak = box("trak", tkhd, edts, box("mdia", mdhd, hdlr, box("minf", stbl)))
    trex = full_box("trex", 0, 0, struct.pack(">5I", 1, 1, 0, 0, 0))
    return box("ftyp", b"iso6\0\0\0\0iso6cmfc") + box("moov", mvhd, trak, box("mvex", trex))


def _avc1(width: int, height: int) -> bytes:
    sps, pps = SPS_NAL[4:], PPS_NAL[4:]
    config = _VIDEO_CODEC + b"\xe1" + len(sps).to_bytes(2, "big") + sps
    config += b"\x01" + len(pps).to_bytes(2, "big") + pps
    fields = bytes(24) + struct.pack(">2H", width, height) + bytes(50)
    return box("avc1", fields, box("avcC", config))


def fragment(
    kind: str, first: int, count: int, ticks: int, start: int, gop: int, size: int
) -> bytes:
    """Frames ``first`` and following; ``start``: time of the first in ticks."""
    samples = []
    for number in range(first, first + count):
        key = kind == "soun" or number % gop == 0
        data = number.to_bytes(4, "big") * (size // 4)
        if kind == "vide":
            data = idr_sample(size) if key else nal(SLICE, size) + nal(6, 5)
        samples.append(Sample(start + (number - first) * ticks, key, data))
    return write_fragment(first, samples, ticks)


def idr_sample(size: int) -> bytes:
    """The key frame of a track."""
    return SPS_NAL + PPS_NAL + nal(IDR, size) + nal(6, 5)
