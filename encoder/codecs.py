"""What an init segment says about its track: codec string, size, timescale (rules 47, 52, 56)."""

from __future__ import annotations

from dataclasses import dataclass

from encoder.boxes import Box, BoxStream, children, find, unpack
from encoder.errors import BadBox

# Bytes before the child boxes of a sample entry (ISO/IEC 14496-12, 12.1.3 and 12.2.3).
_VISUAL_ENTRY_BYTES = 78
_AUDIO_ENTRY_BYTES = 28
_STSD_FIELDS_BYTES = 8

_ES_DESCRIPTOR, _DECODER_CONFIG, _DECODER_SPECIFIC = 0x03, 0x04, 0x05
_NAL_IDR = 5


@dataclass(frozen=True, slots=True)
class Track:
    """The one track of an init segment. ``width`` and ``height`` are 0 for sound."""

    codecs: str  # RFC 6381, as EXT-X-STREAM-INF wants it
    timescale_hz: int
    width: int = 0
    height: int = 0


def read_init(data: bytes) -> tuple[Track, Box]:
    """Parse an init segment: ftyp and moov. Returns its track and the moov.

    Raises:
        BadBox: no moov, or a sample entry that is neither avc1 nor mp4a.
    """
    for box in BoxStream().feed(data):
        if box.kind == "moov":
            return read_moov(box), box
    raise BadBox("moov", len(data), "is missing in the init segment")


def read_moov(moov: Box) -> Track:
    """Read the one track of a moov.

    Raises:
        BadBox: a sample entry that is neither avc1 nor mp4a, or a box that is cut short.
    """
    media = find(moov, "trak/mdia")
    timescale_hz = _timescale(find(media, "mdhd"))
    stsd = find(media, "minf/stbl/stsd")
    entry = next(children(stsd, skip=_STSD_FIELDS_BYTES), None)
    if entry is None:
        raise BadBox("stsd", stsd.offset, "has no sample entry")
    if entry.kind == "avc1":
        width, height = unpack("2H", entry, 24)
        return Track(_avc_codecs(entry), timescale_hz, width, height)
    if entry.kind == "mp4a":
        return Track(_aac_codecs(entry), timescale_hz)
    raise BadBox(entry.kind, entry.offset, "is not a sample entry we stream: avc1 or mp4a")


def is_idr(sample: bytes) -> bool:
    """Whether an AVC sample (4-byte NAL lengths) holds an IDR slice: NAL type 5 (rule 55).

    Sliced threads give several slice NALs a frame; the first slice decides.
    """
    at = 0
    while at + 4 < len(sample):
        kind = sample[at + 4] & 0x1F
        if 1 <= kind <= _NAL_IDR:
            return kind == _NAL_IDR
        at += 4 + int.from_bytes(sample[at : at + 4], "big")
    return False


def _timescale(mdhd: Box) -> int:
    version = unpack("I", mdhd)[0] >> 24
    return unpack("I", mdhd, 20 if version else 12)[0]


def _avc_codecs(entry: Box) -> str:
    config = find(entry, "avcC", skip=_VISUAL_ENTRY_BYTES)
    _version, profile, compatibility, level = unpack("4B", config)
    return f"avc1.{profile:02x}{compatibility:02x}{level:02x}"


def _aac_codecs(entry: Box) -> str:
    esds = find(entry, "esds", skip=_AUDIO_ENTRY_BYTES)
    es = _descriptor(esds, esds.payload[4:], _ES_DESCRIPTOR)
    config = _descriptor(esds, es[3:], _DECODER_CONFIG)
    specific = _descriptor(esds, config[13:], _DECODER_SPECIFIC)
    if not len(specific):
        raise BadBox("esds", esds.offset, "has an empty AudioSpecificConfig")
    return f"mp4a.{config[0]:x}.{specific[0] >> 3}"


def _descriptor(esds: Box, data: memoryview, tag: int) -> memoryview:
    """The body of an MPEG-4 descriptor; its length is written in 7-bit groups."""
    if not len(data) or data[0] != tag:
        raise BadBox("esds", esds.offset, f"expected descriptor {tag:#x}")
    length, at = 0, 1
    for byte in data[1:5]:  # four groups at most (ISO/IEC 14496-1, 8.3.3)
        length, at = length << 7 | byte & 0x7F, at + 1
        if not byte & 0x80:
            break
    if at + length > len(data):
        raise BadBox("esds", esds.offset, f"descriptor {tag:#x} of {length} bytes is cut short")
    return data[at : at + length]
