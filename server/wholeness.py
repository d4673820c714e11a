"""What the decoders do not tell: that a file is cut off, or moves; and what a refused file is.

Pure functions over bytes. They never decode: what they let pass is still decoded, confined, by
:mod:`server.inspection`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

# First bytes of what people try, so that the refusal names it. (offset, bytes, name)
_KNOWN = (
    (0, b"%PDF", "a PDF document"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"II+\0", "a TIFF picture"),
    (0, b"MM\0+", "a TIFF picture"),
    (0, b"v/1\x01", "an OpenEXR picture with high dynamic range"),
    (0, b"#?RADIANCE", "a Radiance picture with high dynamic range"),
    (0, b"#?RGBE", "a Radiance picture with high dynamic range"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "a moving AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftyp", "a video or an MP4 file"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (8, b"AVI ", "a video"),
    (0, b"P6", "a PNM picture"),
    (0, b"P3", "a PNM picture"),
    (0, b"PF", "a PFM picture with high dynamic range"),
    (0, b"Pf", "a PFM picture with high dynamic range"),
)
# The sounds that are taken; libsndfile would read many more, which nobody needs. (first bytes, what
# must stand at byte 8)
_SOUNDS = (
    (b"RIFF", b"WAVE"),
    (b"RIFX", b"WAVE"),
    (b"FORM", b"AIFF"),
    (b"FORM", b"AIFC"),
    (b"fLaC", b""),
    (b"OggS", b""),
    (b"ID3", b""),  # MP3 with a title in front
)
_MARKUP = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype|!--|html|svg|script)", re.IGNORECASE
)
_HEAD_BYTES = 1024
_MPEG_AUDIO = (0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB)  # layer III of versions 2.5, 2 and 1

# In the entropy-coded data of a JPEG file a marker is FF and neither 0, RSTn, nor more FF.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_JPEG_SOS, _JPEG_EOI = 0xDA, 0xD9
# What programs write for the length where they do not know it yet: they pipe, and cannot go back.
_WAV_UNKNOWN = 0x7FFF_0000

_Chunk = tuple[bytes, int, int]  # kind, first byte of its body, length as told


def name_of(head: bytes) -> str:
    """What a file is that is not taken, in words; empty if nobody knows.

    Args:
        head: its first bytes.
    """
    for at, signature, name in _KNOWN:
        if head.startswith(signature, at):
            return name
    if _MARKUP.match(head[:_HEAD_BYTES]):
        return "an SVG drawing" if b"<svg" in head[:_HEAD_BYTES].lower() else "a web page or XML"
    return ""


def may_be_sound(head: bytes) -> bool:
    """Whether a file begins like a sound that is taken."""
    if any(head.startswith(first) and head.startswith(at_8, 8) for first, at_8 in _SOUNDS):
        return True
    # A frame of MPEG audio: 11 bits set, then version and layer, neither of them reserved.
    return head[:1] == b"\xff" and len(head) > 1 and head[1] in _MPEG_AUDIO


def picture_is_cut_off(kind: str, data: bytes) -> bool:
    """Whether the end of a picture is missing, which decoders fill with grey.

    Args:
        kind: as :func:`inference.images.read_header` names it.
        data: the whole file.
    """
    if kind == "JPEG":
        return not _jpeg_ends(data)
    if kind == "GIF":
        return not _gif_images(data)[1]
    if kind == "WebP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False  # decoders refuse PNG and BMP themselves


def picture_moves(kind: str, data: bytes) -> bool:
    """Whether it is an animation."""
    if kind == "GIF":
        return _gif_images(data)[0] > 1
    if kind == "WebP":
        return data[12:16] == b"VP8X" and bool(data[20] & 0x02)
    if kind == "PNG":
        return b"acTL" in data[: max(data.find(b"IDAT"), 0)]
    return False


def sound_is_cut_off(data: bytes) -> bool:
    """Whether the end of a WAV, AIFF or OGG file is missing: decoders silently do without."""
    if data[:4] == b"OggS":
        return not _ogg_page_is_whole(data, data.rfind(b"OggS"))
    if data[:4] == b"FORM":
        return len(data) < 8 + int.from_bytes(data[4:8], "big")
    if data[:4] not in (b"RIFF", b"RIFX") or data[8:12] != b"WAVE":
        return False
    order = "<" if data[:4] == b"RIFF" else ">"
    for kind, body, length in _riff_chunks(data, order):
        if kind == b"data":
            return length < _WAV_UNKNOWN and body + length > len(data)
    return False


def _ogg_page_is_whole(data: bytes, at: int) -> bool:
    if at + 27 > len(data):
        return False
    table = at + 27
    body = table + data[at + 26]
    return body + sum(data[table:body]) <= len(data)


def _riff_chunks(data: bytes, order: str) -> Iterator[_Chunk]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}4sI", data, at)
        yield kind, at + 8, length
        at += 8 + length + length % 2


def _jpeg_ends(data: bytes) -> bool:
    """Follow the segments to the end mark of the picture itself: previews have their own."""
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        marker, at = found.group()[1], found.end()
        if marker == _JPEG_EOI:
            return True
        if at + 2 > len(data):
            return False
        at += int.from_bytes(data[at : at + 2], "big")
    return False


def _gif_images(data: bytes) -> tuple[int, bool]:
    """How many pictures there are, and whether the file ends as it should."""
    count, at = 0, 13 + _gif_colours(data, 10)
    while at < len(data):
        introducer = data[at]
        if introducer == 0x3B:
            return count, True
        if introducer == 0x2C:
            count += 1
            at = _past_blocks(data, at + 11 + _gif_colours(data, at + 9))
        elif introducer == 0x21:
            at = _past_blocks(data, at + 2)
        else:
            break
    return count, False


def _gif_colours(data: bytes, at: int) -> int:
    """Bytes of the colour table that the flags at this place announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _past_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
