"""What an init segment says about its track: codec string, size, timescale (rules 47, 52, 56)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from encoder.boxes import Box, BoxStream, children, find, unpack
from encoder.errors import BadBox

# Bytes before the child boxes of a sample entry (ISO/IEC 14496-12, 12.1.3 and 12.2.3).
_VISUAL_ENTRY_BYTES = 78
_AUDIO_ENTRY_BYTES = 28
_STSD_FIELDS_BYTES = 8

_ES_DESCRIPTOR, _DECODER_CONFIG, _DECODER_SPECIFIC = 0x03, 0x04, 0x05
_NAL_IDR = 5
# HEVC: slices are 0 to 31 (ITU-T H.265, table 7-1); an IDR without and with leading pictures.
_HEVC_SLICES, _HEVC_IDR = range(32), (19, 20)
# AV1 (its specification, 5.3 and 6.2.2).
_OBU_SEQUENCE_HEADER, _OBU_FRAME_HEADER, _OBU_FRAME = 1, 3, 6


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
        BadBox: no moov, or a sample entry that we do not stream.
    """
    for box in BoxStream().feed(data):
        if box.kind == "moov":
            return read_moov(box), box
    raise BadBox("moov", len(data), "is missing in the init segment")


def read_moov(moov: Box) -> Track:
    """Read the one track of a moov.

    Raises:
        BadBox: a sample entry that we do not stream, or a box that is cut short.
    """
    media = find(moov, "trak/mdia")
    timescale_hz = _timescale(find(media, "mdhd"))
    stsd = find(media, "minf/stbl/stsd")
    entry = next(children(stsd, skip=_STSD_FIELDS_BYTES), None)
    if entry is None:
        raise BadBox("stsd", stsd.offset, "has no sample entry")
    if entry.kind in _PICTURES:
        width, height = unpack("2H", entry, 24)
        return Track(_PICTURES[entry.kind](entry), timescale_hz, width, height)
    if entry.kind in _SOUNDS:
        return Track(_SOUNDS[entry.kind](entry), timescale_hz)
    known = ", ".join((*_PICTURES, *_SOUNDS))
    raise BadBox(entry.kind, entry.offset, f"is not a sample entry we stream: {known}")


def is_random_access(entry: str, sample: bytes) -> bool:
    """Whether decoding can begin with a sample (55): an IDR; in AV1 a shown key frame.

    Args:
        entry: the sample entry, or a codec string that begins with it.
        sample: as it stands in the mdat.
    """
    if entry[:4] in ("hvc1", "hev1"):
        return is_hevc_idr(sample)
    if entry[:4] == "av01":
        return is_av1_key_frame(sample)
    return is_idr(sample)


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


def is_hevc_idr(sample: bytes) -> bool:
    """The same for HEVC: NAL types 19 and 20. A CRA is none: pictures may follow it that need more.

    The first slice decides.
    """
    at = 0
    while at + 4 < len(sample):
        kind = sample[at + 4] >> 1 & 0x3F
        if kind in _HEVC_SLICES:
            return kind in _HEVC_IDR
        at += 4 + int.from_bytes(sample[at : at + 4], "big")
    return False


def is_av1_key_frame(sample: bytes) -> bool:
    """Whether an AV1 temporal unit brings its sequence header, and then a key frame that is shown.

    Without the header a decoder that begins here has none: av1C need not hold it.
    """
    has_header = False
    for kind, payload in _obus(sample):
        if kind == _OBU_SEQUENCE_HEADER:
            has_header = True
        elif kind in (_OBU_FRAME_HEADER, _OBU_FRAME):
            # show_existing_frame 0, frame_type 0 (key), show_frame 1
            return has_header and len(payload) > 0 and payload[0] >> 4 == 1
    return False


def _obus(sample: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each open bitstream unit; the last may have no size of its own."""
    at = 0
    while at < len(sample):
        header = sample[at]
        at += 2 if header & 4 else 1  # an extension byte
        size, shift = 0, 0
        if not header & 2:
            size = len(sample) - at
        while header & 2 and at < len(sample):
            byte, at = sample[at], at + 1
            size, shift = size | (byte & 0x7F) << shift, shift + 7
            if not byte & 0x80 or shift > 49:  # leb128: eight bytes at most
                break
        yield header >> 3 & 0xF, sample[at : at + size]
        at += size


def _timescale(mdhd: Box) -> int:
    version = unpack("I", mdhd)[0] >> 24
    return unpack("I", mdhd, 20 if version else 12)[0]


def avc_decoder_config(moov: Box) -> Box:
    """The avcC of an AVC track.

    Raises:
        BadBox: there is none.
    """
    return find(_entry(moov, "avc1"), "avcC", skip=_VISUAL_ENTRY_BYTES)


def audio_specific_config(moov: Box) -> bytes:
    """What an AAC decoder is set up with.

    Raises:
        BadBox: not an AAC track.
    """
    return bytes(_aac_config(_entry(moov, "mp4a"))[1])


def _entry(moov: Box, kind: str) -> Box:
    return find(find(moov, "trak/mdia/minf/stbl/stsd"), kind, skip=_STSD_FIELDS_BYTES)


def _avc_codecs(entry: Box) -> str:
    config = find(entry, "avcC", skip=_VISUAL_ENTRY_BYTES)
    _version, profile, compatibility, level = unpack("4B", config)
    return f"avc1.{profile:02x}{compatibility:02x}{level:02x}"


def _hevc_codecs(entry: Box) -> str:
    """ISO/IEC 14496-15, annex E.3."""
    config = find(entry, "hvcC", skip=_VISUAL_ENTRY_BYTES)
    _version, profile, flags = unpack("BBI", config)
    level, constraints = unpack("B", config, 12)[0], bytes(config.payload[6:12]).rstrip(b"\0")
    space = ("", "A", "B", "C")[profile >> 6]
    compatibility = int(f"{flags:032b}"[::-1], 2)  # bit 0 stands first there
    tier = "H" if profile & 0x20 else "L"
    parts = [entry.kind, f"{space}{profile & 0x1F}", f"{compatibility:X}", f"{tier}{level}"]
    return ".".join([*parts, *(f"{byte:X}" for byte in constraints)])


def _av1_codecs(entry: Box) -> str:
    """AV1 in ISO BMFF, section 5: the mandatory fields; the rest are what 4:2:0 BT.709 implies."""
    config = find(entry, "av1C", skip=_VISUAL_ENTRY_BYTES)
    _marker, profile_level, flags = unpack("3B", config)
    tier = "H" if flags & 0x80 else "M"
    depth = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return f"av01.{profile_level >> 5}.{profile_level & 0x1F:02d}{tier}.{depth:02d}"


def _opus_codecs(entry: Box) -> str:
    find(entry, "dOps", skip=_AUDIO_ENTRY_BYTES)
    return "opus"


def _aac_codecs(entry: Box) -> str:
    kind, specific = _aac_config(entry)
    return f"mp4a.{kind:x}.{specific[0] >> 3}"


def _aac_config(entry: Box) -> tuple[int, memoryview]:
    """Object type indication, and the AudioSpecificConfig, which is not empty."""
    esds = find(entry, "esds", skip=_AUDIO_ENTRY_BYTES)
    es = _descriptor(esds, esds.payload[4:], _ES_DESCRIPTOR)
    config = _descriptor(esds, es[3:], _DECODER_CONFIG)
    specific = _descriptor(esds, config[13:], _DECODER_SPECIFIC)
    if not len(specific):
        raise BadBox("esds", esds.offset, "has an empty AudioSpecificConfig")
    return config[0], specific


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


_PICTURES = {"avc1": _avc_codecs, "hvc1": _hevc_codecs, "av01": _av1_codecs}
_SOUNDS = {"mp4a": _aac_codecs, "Opus": _opus_codecs}
