"""Files as sources, through the real ffmpeg: in step in every round, whatever a file lacks."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from config import Settings
from inference.errors import DecoderMissing, FilmRejected
from inference.film import Film
from inference.source import check_source, make_source
from rawmedia import Frame, MediaFormat, Samples
from tests.clips import FFMPEG, MEDIA, beep_seconds, flash_seconds, make_clip, number_of

pytestmark = pytest.mark.ffmpeg


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of pictures, 2.4 s of sound."""
    folder = tmp_path_factory.mktemp("films")
    return make_clip(folder / "clip: -1 ä.mp4", 50, more_sound_units=10)


def played(path: Path, units: int, media: MediaFormat = MEDIA) -> tuple[list[Frame], Samples]:
    film = make_source(Settings(source=f"file:{path}"), media)
    frames, sound = [], []
    try:
        for _ in range(units):
            frame = np.full((media.height, media.width, 3), 77, np.uint8)
            samples = np.full((media.samples_per_unit, media.audio_channels), 99, np.int16)
            film.render(frame, samples)
            frames.append(frame)
            sound.append(samples)
    finally:
        film.close()
    return frames, np.concatenate(sound)


def test_every_round_begins_anew_with_picture_and_sound(clip: Path) -> None:
    frames, sound = played(clip, 200)
    numbers = [number_of(frame) for frame in frames]
    starts = [n for n, number in enumerate(numbers) if number == 0]
    assert starts[0] == 0
    assert len(starts) >= 3
    # AAC has whole frames only: a round may be one unit longer than its sound.
    assert {b - a for a, b in pairwise(starts)} <= {60, 61}
    for start in starts[:-1]:
        assert numbers[start : start + 50] == list(range(50)), "each picture once, in order"
        assert set(numbers[start + 50 : start + 60]) == {49}, "held while the sound goes on"
    flashes = flash_seconds([(n / 25, frame) for n, frame in enumerate(frames)])
    beeps = beep_seconds(sound[:, 0], 48_000)
    assert flashes == [(start + at) / 25 for start in starts for at in (12, 37) if start + at < 200]
    # The clip's sound goes on after its pictures, and has a beep of its own: 2.48 s would be next.
    assert len(beeps) == len(flashes)
    for flash, beep in zip(flashes, beeps, strict=True):
        assert abs(flash - beep) < 0.010


def test_another_rate_shape_and_two_channels(clip: Path) -> None:
    media = MediaFormat(400, 400, 30, 44_100, 2)
    frames, sound = played(clip, 60, media)
    assert frames[0][:80].max() < 40, "bars above and below"
    assert frames[0][320:].max() < 40
    inner = [np.ascontiguousarray(frame[87:312]) for frame in frames]
    numbers = [number_of(np.asarray(cv2.resize(i, (640, 360)), np.uint8)) for i in inner]
    # 30 units a second of a clip of 25: every sixth picture is shown twice
    assert [n for n in numbers if n is not None] == sorted(n for n in numbers if n is not None)
    assert len(set(numbers) - {None}) >= 48
    assert sound.shape == (60 * 1470, 2)
    assert np.array_equal(sound[:, 0], sound[:, 1])
    assert beep_seconds(sound[:, 0], 44_100) == pytest.approx([0.48, 1.48], abs=0.01)


def test_sound_only_is_a_still_slate(tmp_path: Path) -> None:
    frames, sound = played(make_clip(tmp_path / "only.m4a", 40, which="a"), 40)
    assert all(np.array_equal(frames[0], frame) for frame in frames)
    assert 10 < frames[0].mean() < 80
    assert beep_seconds(sound[:, 0], 48_000) == pytest.approx([0.48, 1.48], abs=0.01)


def test_pictures_only_are_silent(tmp_path: Path) -> None:
    frames, sound = played(make_clip(tmp_path / "only.mkv", 30, which="v"), 65)
    assert not sound.any()
    assert [number_of(frame) for frame in frames] == [*range(30), *range(30), *range(5)]


def test_a_file_that_is_cut_off_is_played_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.ts", 50)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames, _sound = played(cut, 60)
    numbers = [number_of(frame) for frame in frames]
    assert numbers.count(0) >= 2, "and begins again"
    assert 5 < max(n for n in numbers if n is not None) < 49


def test_no_children_are_left(clip: Path) -> None:
    before = _children()
    film = Film(clip, MEDIA, "")
    assert len(_children()) == len(before) + 2
    film.close()
    assert _children() == before


def _children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended meanwhile
            found.update(task.read_text().split())
    return found


def test_a_file_that_vanishes_is_an_error_not_a_loop(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "short.mkv", 10)
    film = Film(path, MEDIA, "")
    path.write_bytes(b"")
    try:
        with pytest.raises(FilmRejected, match="neither picture nor sound"):
            _render(film, 100)
    finally:
        film.close()


def _render(film: Film, units: int) -> None:
    frame, samples = np.empty((360, 640, 3), np.uint8), np.empty((1920, 1), np.int16)
    for _ in range(units):
        film.render(frame, samples)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "ffmpeg says"),
        (b"nothing that plays" * 100, "ffmpeg says"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n#EXT-X-ENDLIST\n", "ffmpeg says"),
        (b"ffconcat version 1.0\nfile 'http://127.0.0.1:9/secret.ts'\n", "ffmpeg says"),
    ],
)
def test_what_cannot_be_played_is_refused_before_a_stream_starts(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "bad.m3u8"
    path.write_bytes(content)
    for refuse in (check_source, make_source):
        with pytest.raises(FilmRejected, match=words) as caught:
            refuse(Settings(source=f"file:{path}"), MEDIA)
        assert "\n" not in str(caught.value)


def test_folders_pipes_and_nothing_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("", "no regular file"), ("pipe", "no regular file"), ("x", "No such")):
        with pytest.raises(FilmRejected, match=words):
            check_source(Settings(source=f"file:{tmp_path / name}"), MEDIA)


def test_a_decoder_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.ffmpeg.PROBE_SECONDS", 0.3)
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"x")
    with pytest.raises(FilmRejected, match=r"takes more than 0\.3 s"):
        check_source(Settings(source=f"file:{film}", ffmpeg=str(program)), MEDIA)


def test_a_missing_ffmpeg_is_told(clip: Path) -> None:
    with pytest.raises(DecoderMissing, match="/nonexistent"):
        check_source(Settings(source=f"file:{clip}", ffmpeg="/nonexistent"), MEDIA)
    check_source(Settings(source=f"file:{clip}", ffmpeg=FFMPEG), MEDIA)
