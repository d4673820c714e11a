"""Torn bytes at everything that reads bytes from strangers; `tools/fuzz.py` does it for minutes."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.wholeness import name_of, picture_is_cut_off, picture_moves, sound_is_cut_off
from tests.security import files
from tools import fuzz

# Decoders of C code tell what they think of each on stderr: a few are enough here.
COUNTS = {"image": 100, "sound": 100}
SEEDS = {name: target.seeds() for name, target in fuzz.TARGETS.items()}


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_good_bytes_are_read(name: str) -> None:
    for data in SEEDS[name]:
        fuzz.TARGETS[name].attempt(data)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_torn_bytes_are_read_or_refused(name: str) -> None:
    @settings(
        max_examples=COUNTS.get(name, 300),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=80) | st.integers(0).map(lambda n: _torn(name, n)))
    def attempt(data: bytes) -> None:
        fuzz.TARGETS[name].attempt(data)

    attempt()


def _torn(name: str, number: int) -> bytes:
    return fuzz.torn(random.Random(number), SEEDS[name])


@given(st.binary(max_size=200), st.sampled_from(files.PICTURE_KINDS))
def test_what_is_behind_a_whole_picture_does_not_make_it_cut_off(tail: bytes, kind: str) -> None:
    name = {".png": "PNG", ".jpg": "JPEG", ".webp": "WebP", ".bmp": "BMP", ".gif": "GIF"}[kind]
    whole = files.picture(kind, files.pixels(64, 64))
    assert not picture_is_cut_off(name, whole + tail)
    assert not picture_moves(name, whole + tail)
    assert not name_of(whole)


@settings(max_examples=60)
@given(st.sampled_from([".jpg", ".gif", ".webp"]), st.data())
def test_a_missing_end_is_seen(kind: str, data: st.DataObject) -> None:
    """Also where the decoder of an older OpenCV would fill it with grey."""
    name = {".jpg": "JPEG", ".gif": "GIF", ".webp": "WebP"}[kind]
    whole = files.picture(kind, files.pixels(64, 64))
    end = data.draw(st.integers(30, len(whole) - 2))
    assert picture_is_cut_off(name, whole[:end])


def test_a_preview_is_not_the_end_of_its_photo() -> None:
    photo = files.picture(".jpg", files.pixels(64, 64))
    app1 = b"Exif\0\0" + photo  # a preview in front, whole in itself
    whole = photo[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + photo[2:]
    assert not picture_is_cut_off("JPEG", whole)
    assert picture_is_cut_off("JPEG", whole[: len(app1) + 200])


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "OGG"])
def test_a_missing_end_of_a_sound_is_seen(kind: str) -> None:
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    whole = files.sound(kind, subtype, seconds=0.5)
    assert not sound_is_cut_off(whole)
    for end in range(len(whole) // 2, len(whole) - 2, 97):
        assert sound_is_cut_off(whole[:end])
