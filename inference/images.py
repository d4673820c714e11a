"""Photos from strangers: sizes are read from the header, before anything is decoded."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.errors import ImageRejected
from inference.files import regular_file

if TYPE_CHECKING:
    from rawmedia import Frame

KINDS = "PNG, JPEG, WebP, BMP or GIF"
MIN_SIDE = 64  # a face in less has no lips to move
# A file much larger than its largest allowed picture, uncompressed, is not a photo.
BYTES_PER_PIXEL = 8
SPARE_BYTES = 1 << 20
ROWS_AT_ONCE = 64
BACKDROP = 232.0  # what shows through transparent pixels: light grey, like a studio wall

JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_BARE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes of a picture say."""

    kind: str
    width: int
    height: int
    alpha: bool = False


def check_image(path: Path, max_pixels: int) -> None:
    """Read the header only.

    Raises:
        ImageRejected: not a picture we know, or too large.
    """
    _read(path, max_pixels)


def is_image(path: Path) -> bool:
    """Whether a file begins like a picture that we know; it may be damaged all the same.

    Raises:
        ImageRejected: it cannot be read.
    """
    with regular_file(path, ImageRejected) as fd:
        begin = os.pread(fd, 16, 0)
    if begin.startswith(b"RIFF") and begin[8:12] != b"WEBP":  # AVI and WAV begin so too
        return False
    return any(begin.startswith(signature) for signature, _parse in _PARSERS)


def load_image(path: Path, max_pixels: int) -> Frame:
    """Decode a picture to BGR, upright.

    Raises:
        ImageRejected: not a picture we know, too large, or damaged.
    """
    data, header = _read(path, max_pixels)
    return _decode(path, data, header)


def _read(path: Path, max_pixels: int) -> tuple[bytes, Header]:
    with regular_file(path, ImageRejected) as fd:
        size, limit = os.fstat(fd).st_size, max_pixels * BYTES_PER_PIXEL + SPARE_BYTES
        if size > limit:
            problem = f"the file has {size} bytes, the limit is {limit}"
            raise ImageRejected(path, problem, "give a smaller copy of the photo")
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read(limit)
    header = read_header(data)
    if header is None:
        raise ImageRejected(path, "is no picture that can be read", f"give a {KINDS} file")
    _check_size(path, header, max_pixels)
    if header.kind == "PNG" and not _chunks_fit(data):
        raise _damaged(path, header)
    return data, header


def _check_size(path: Path, header: Header, max_pixels: int) -> None:
    size = f"it is {header.width}x{header.height}"
    pixels = header.width * header.height
    if pixels > max_pixels:
        problem = f"{size} = {pixels} pixels, the limit is {max_pixels}"
        raise ImageRejected(path, problem, "give a smaller copy, or raise max_image_pixels")
    if min(header.width, header.height) < MIN_SIDE:
        problem = f"{size}, the shorter side must have {MIN_SIDE} pixels or more"
        raise ImageRejected(path, problem, "give a larger photo")


def read_header(data: bytes) -> Header | None:
    """Kind and size of a picture; None if it is none of ours or its header is cut off."""
    for signature, parse in _PARSERS:
        if data.startswith(signature):
            try:
                return parse(data)
            except (struct.error, IndexError):
                return None
    return None


def _parse_png(data: bytes) -> Header | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    transparent = data.find(b"tRNS", 0, max(data.find(b"IDAT"), 0)) >= 0
    return Header("PNG", width, height, alpha=data[25] in (4, 6) or transparent)


def _chunks_fit(data: bytes) -> bool:
    """OpenCV reserves what a chunk's length says, up to 4 GB, before it looks for the bytes."""
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if kind == b"IEND":
            return bool(at <= len(data))
    return False


def _damaged(path: Path, header: Header) -> ImageRejected:
    return ImageRejected(path, f"the {header.kind} data are damaged", "export the photo again")


def _parse_gif(data: bytes) -> Header:
    return Header("GIF", *struct.unpack_from("<HH", data, 6))


def _parse_bmp(data: bytes) -> Header:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the header of OS/2 1.x
        return Header("BMP", *struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    return Header("BMP", abs(width), abs(height))  # negative: stored top down


def _parse_webp(data: bytes) -> Header | None:
    if data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return Header("WebP", width, height, alpha=bool(data[20] & 0x10))
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WebP", width & 0x3FFF, height & 0x3FFF)
    return None


def _parse_jpeg(data: bytes) -> Header | None:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in JPEG_BARE_MARKERS:
            at += 2
        elif marker in JPEG_FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Header("JPEG", width, height)
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


_PARSERS = (
    (b"\x89PNG\r\n\x1a\n", _parse_png),
    (b"\xff\xd8\xff", _parse_jpeg),
    (b"RIFF", _parse_webp),
    (b"BM", _parse_bmp),
    (b"GIF8", _parse_gif),
)


def _decode(path: Path, data: bytes, header: Header) -> Frame:
    import cv2
    import numpy as np

    # only IMREAD_UNCHANGED keeps transparency; only the other turns a photo upright
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        decoded = None
    told = sorted((header.width, header.height))  # sorted: it may have been turned
    if decoded is None or sorted(decoded.shape[:2]) != told:
        raise _damaged(path, header)
    return _flattened(decoded) if header.alpha else np.asarray(decoded, np.uint8)


def _flattened(picture: object) -> Frame:
    """Transparent pixels over a plain backdrop: what they hide was never meant to be seen."""
    import cv2
    import numpy as np

    pixels = np.asarray(picture)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    if pixels.shape[2] != 4:
        return np.ascontiguousarray(pixels[..., :3], np.uint8)
    return _over_backdrop(pixels)


def _over_backdrop(pixels: Frame) -> Frame:
    """Some rows at a time: floats of a whole large photo would be 16 times its size."""
    import numpy as np

    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), ROWS_AT_ONCE):
        rows = pixels[top : top + ROWS_AT_ONCE]
        alpha = rows[..., 3:].astype(np.float32) / 255
        flat[top : top + ROWS_AT_ONCE] = np.rint(rows[..., :3] * alpha + BACKDROP * (1 - alpha))
    return flat
