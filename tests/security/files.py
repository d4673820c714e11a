"""Pictures and sounds, whole and broken, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import soundfile
from cv2.typing import MatLike
from numpy.typing import NDArray

PICTURE_KINDS = (".png", ".jpg", ".webp", ".bmp", ".gif")
SOUND_KINDS = (
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
)
RATE_HZ = 16_000


def pixels(width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """A soft pattern, the same each time."""
    seed = np.random.default_rng(7).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(seed, (width, height)), np.uint8)


def picture(kind: str = ".png", source: MatLike | None = None) -> bytes:
    found = pixels() if source is None else source
    return cv2.imencode(kind, found)[1].tobytes()


def animation(kind: str) -> bytes:
    moving = cv2.Animation()
    moving.frames = [np.full((100, 100, 3), 60 * n, np.uint8) for n in range(3)]
    moving.durations = [100, 100, 100]
    return np.asarray(cv2.imencodeanimation(kind, moving)[1]).tobytes()


def sound(
    kind: str = "WAV", subtype: str = "PCM_16", seconds: float = 2.0, rate_hz: int = RATE_HZ
) -> bytes:
    tone = np.sin(np.arange(int(seconds * rate_hz)) / 20) * 0.3
    return packed(tone.astype(np.float32), kind, subtype, rate_hz)


def packed(samples: NDArray[np.float32], kind: str, subtype: str, rate_hz: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def flac_that_lies(seconds: float, told_seconds: float) -> bytes:
    """A FLAC file whose header tells another length than it has."""
    data = bytearray(packed(np.zeros(int(seconds * 1000), np.float32), "FLAC", "PCM_16", 1000))
    told = struct.unpack(">Q", data[18:26])[0] >> 36 << 36 | int(told_seconds * 1000)
    data[18:26] = struct.pack(">Q", told)  # 36 bits: number of samples
    return bytes(data)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, kind: int, rows: bytes) -> bytes:
    """A picture of given rows, true or not.

    Args:
        width: in pixels.
        height: in pixels.
        kind: 2 RGB, 6 RGB with transparency.
        rows: a filter byte and the pixels, row by row.
    """
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_bomb(width: int, height: int) -> bytes:
    """A picture that would be gigabytes."""
    return png(width, height, 2, bytes(1 << 20))
