from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from cv2.typing import MatLike
from hypothesis import given
from hypothesis import strategies as st

from inference import images
from inference.errors import ImageRejected
from inference.images import check_image, load_image, read_header
from rawmedia import Frame

LIMIT = 1_000_000


def picture(width: int = 120, height: int = 90) -> Frame:
    """Red on the left, blue on the right: both turning and mirroring would show."""
    pixels = np.full((height, width, 3), (200, 60, 40), np.uint8)
    pixels[:, : width // 2] = (30, 40, 210)
    return pixels


def encoded(kind: str, pixels: MatLike) -> bytes:
    return cv2.imencode(kind, pixels)[1].tobytes()


def saved(tmp_path: Path, data: bytes, name: str = "photo") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b""))
    )


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp", ".bmp", ".gif"])
@pytest.mark.parametrize("size", [(120, 90), (65, 333)])
def test_every_kind_is_measured_without_decoding(kind: str, size: tuple[int, int]) -> None:
    header = read_header(encoded(kind, picture(*size)))
    assert header is not None
    assert (header.width, header.height) == size


@pytest.mark.parametrize("quality", [80, 101])  # 101: lossless, another header
def test_both_webp_headers(quality: int) -> None:
    data = cv2.imencode(".webp", picture(), [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    header = read_header(data)
    assert header is not None
    assert (header.width, header.height) == (120, 90)


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp", ".bmp", ".gif"])
def test_every_kind_is_decoded_to_bgr(tmp_path: Path, kind: str) -> None:
    pixels = load_image(saved(tmp_path, encoded(kind, picture())), LIMIT)
    assert pixels.shape == (90, 120, 3)
    assert pixels.dtype == np.uint8
    assert pixels[45, 20, 2] > 180 > 90 > pixels[45, 20, 0]


def test_a_bomb_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        pytest.fail("a picture beyond the limit was decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    monkeypatch.setattr(images, "_decode", decode)
    with pytest.raises(ImageRejected, match=r"60000x60000 = 3600000000 pixels.*limit is 1000000"):
        load_image(saved(tmp_path, png_bomb(60_000, 60_000)), LIMIT)


def test_a_chunk_that_claims_gigabytes_never_reaches_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(encoded(".png", picture()))
    data[33:37] = struct.pack(">I", 0xA6000000)  # the length of the first chunk after the header
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageRejected, match="PNG data are damaged"):
        load_image(saved(tmp_path, bytes(data)), LIMIT)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(ImageRejected, match="17179869184 bytes, the limit is"):
        check_image(path, LIMIT)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no picture"),
        (b"GIF8", "is no picture"),
        (b"\x89PNG\r\n\x1a\n", "is no picture"),
        (b"\xff\xd8\xff\xe0\x00\x10", "is no picture"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X", "is no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no picture"),
        (png_bomb(400, 300), "damaged"),
        (png_bomb(8, 300), "shorter side must have 64"),
        (png_bomb(0, 300), "shorter side"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ImageRejected, match=words) as caught:
        load_image(saved(tmp_path, data), LIMIT)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@given(st.binary(max_size=300), st.sampled_from([s for s, _ in images._PARSERS]))
def test_no_header_breaks_the_parser(data: bytes, signature: bytes) -> None:
    header = read_header(signature + data)
    assert header is None or header.width >= 0


@pytest.mark.parametrize("kind", [".png", ".webp", ".gif"])
@pytest.mark.parametrize("keep", [0.1, 0.3])
def test_a_file_cut_off_is_refused_or_shown(tmp_path: Path, kind: str, keep: float) -> None:
    """Decoders differ in what they save; none may break anything else."""
    data = encoded(kind, np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8))
    path = saved(tmp_path, data[: int(len(data) * keep)])
    with suppress(ImageRejected):
        assert load_image(path, LIMIT).shape == (200, 200, 3)


def test_transparency_shows_a_plain_backdrop(tmp_path: Path) -> None:
    pixels = np.dstack((picture(), np.full((90, 120), 255, np.uint8)))
    pixels[:45, :, 3] = 0
    for kind in (".png", ".webp"):
        shown = load_image(saved(tmp_path, encoded(kind, pixels)), LIMIT)
        assert shown.shape == (90, 120, 3)
        assert (np.abs(shown[10].astype(int) - 232) <= 2).all(), "hidden colours show"
        assert shown[80, 10, 2] > 150 > shown[80, 10, 0]


def test_grey_and_16_bit_pictures(tmp_path: Path) -> None:
    grey = picture()[..., 1]
    assert load_image(saved(tmp_path, encoded(".png", grey)), LIMIT).shape == (90, 120, 3)
    deep = np.dstack((picture(), np.full((90, 120), 255, np.uint8))).astype(np.uint16) * 257
    shown = load_image(saved(tmp_path, encoded(".png", deep)), LIMIT)
    assert shown.dtype == np.uint8
    assert shown[5, 5, 2] == 210


def test_a_photo_turned_by_its_exif_tag_stands_upright(tmp_path: Path) -> None:
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # orientation 6: turn right
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + tag + b"\0\0\0\0"
    data = encoded(".jpg", picture())
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    shown = load_image(saved(tmp_path, turned), LIMIT)
    assert shown.shape == (120, 90, 3)
    assert shown[10, 45, 2] > shown[10, 45, 0], "the left side of the file is the top"


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "missing.png", "No such file"),
        (tmp_path, "no regular file"),
        (tmp_path / "pipe", "no regular file"),  # must not wait for a writer
        (Path("a\0b"), "null"),
    ):
        with pytest.raises(ImageRejected, match=words):
            check_image(path, LIMIT)


def test_a_name_cannot_forge_a_line(tmp_path: Path) -> None:
    with pytest.raises(ImageRejected) as caught:
        check_image(tmp_path / "a\nlipstream: all is well\x1b[2J", LIMIT)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
