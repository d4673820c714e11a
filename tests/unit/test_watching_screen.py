"""A viewer's clock, what he saw, and how it is judged and told."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from client.errors import CannotKeep
from client.watch import progress
from client.watching.decoder import Decoded, Reading, argv
from client.watching.figures import (
    Figures,
    Limits,
    Spread,
    as_json,
    block,
    frames_per_second,
    verdicts,
)
from client.watching.follow import Block
from client.watching.pieces import Piece
from client.watching.player import Player, Wish
from client.watching.recorder import argv as recorder_argv
from client.watching.recorder import check_file, numbered
from client.watching.screen import Clock, Picture, Screen
from client.watching.track import demuxer_of, make_folder
from encoder.ffmpeg import Ffmpeg
from tests.unit.test_watching_follow import Script

PIECE = Piece(1, 0, "x", Fraction(1))
SEEN = Figures(
    url="http://h/x",
    rendition="1280x720",
    has_sound=True,
    seconds=10.0,
    first_frame_seconds=0.5,
    pictures_shown=238,
    pictures_decoded=250,
    fps=25.0,
    intervals_ms=Spread(237, 40.0, 40.0, 1.0, 38.0, 43.0),
    stalls=0,
    stalled_seconds=0.0,
    latency_seconds=Spread(238, 0.9, 0.9, 0.0, 0.9, 0.9),
    sound_seconds=9.5,
    total_bytes=1_000_000,
    requests=100,
    failures=0,
    reconnects=0,
    jumps=0,
    lost=0,
    gaps=0,
    discontinuities=0,
    decoder_errors=0,
    ended=False,
    last_error="",
)


def picture(seconds: float, at: float, stretch: int = 0, missing: float = 0.0) -> Picture:
    return Picture(stretch, seconds, 0.04, at, missing_seconds=missing)


# --- the clock ----------------------------------------------------------------------------------


def test_pictures_that_come_in_time_are_due_in_step() -> None:
    clock = Clock()
    # Decoded five at a time, as parts bring them.
    due = [clock.due(picture(n * 0.04, 100 + n // 5 * 0.2)) for n in range(15)]
    assert due == pytest.approx([100 + n * 0.04 for n in range(15)])
    assert (clock.stalls, clock.stalled_seconds) == (0, 0)


def test_a_late_picture_stalls_and_the_clock_waits_for_it() -> None:
    clock = Clock()
    clock.due(picture(0.0, 100.0))
    assert clock.due(picture(0.04, 100.54)) == pytest.approx(100.54)
    assert clock.due(picture(0.08, 100.54)) == pytest.approx(100.58)
    assert clock.stalls == 1
    assert clock.stalled_seconds == pytest.approx(0.5)


def test_a_little_late_is_no_stall() -> None:
    clock = Clock()
    clock.due(picture(0.0, 100.0))
    assert clock.due(picture(0.04, 100.1)) == pytest.approx(100.04)
    assert clock.stalls == 0


def test_16_the_next_stretch_follows_at_once() -> None:
    clock = Clock()
    clock.due(picture(0.0, 100.0))
    assert clock.due(picture(70.0, 100.0, stretch=1)) == pytest.approx(100.04)


def test_19_what_is_missing_takes_its_time() -> None:
    clock = Clock()
    clock.due(picture(0.0, 100.0))
    assert clock.due(picture(0.0, 102.0, stretch=1, missing=2.0)) == pytest.approx(102.04)
    assert clock.stalls == 0


def test_a_stall_that_lasts_to_the_end_counts() -> None:
    clock = Clock()
    clock.end(100.0)
    assert clock.stalls == 0  # nothing was shown that could stall
    clock.due(picture(0.0, 100.0))
    clock.end(100.1)
    assert clock.stalls == 0
    clock.end(103.04)
    assert clock.stalls == 1
    assert clock.stalled_seconds == pytest.approx(3.0)


def test_the_screen_shows_each_picture_when_it_is_due() -> None:
    screen = Screen()
    began = time.monotonic()
    for number in range(5):
        screen.put(replace(picture(number * 0.02, began), wall=time.time() - 1))
    screen.finish()
    screen.show(began + 0.05)
    assert not screen.is_over
    assert screen.seen.shown <= 3
    screen.show(began + 60)
    assert screen.is_over
    assert screen.seen.shown == 5
    assert screen.seen.last_at >= began + 0.08
    assert len(screen.seen.intervals) == 4
    assert all(latency >= 1 for latency in screen.seen.latencies)


def test_a_picture_without_a_date_has_no_latency() -> None:
    screen = Screen()
    screen.put(picture(0.0, time.monotonic()))
    screen.finish()
    screen.show(time.monotonic() + 60)
    assert screen.seen.shown == 1
    assert not screen.seen.latencies


def test_the_screen_tells_when_it_has_enough() -> None:
    screen = Screen()
    for _ in range(750):
        screen.put(picture(0.0, 0.0))
    assert not screen.is_full
    screen.put(picture(0.0, 0.0))
    assert screen.is_full


# --- figures ------------------------------------------------------------------------------------


def test_a_spread_is_what_statistics_say() -> None:
    assert Spread.of([]) is None
    found = Spread.of([1.0, 2.0, 6.0])
    assert found is not None
    assert (found.count, found.mean, found.median, found.least, found.most) == (3, 3, 2, 1, 6)
    assert found.deviation == pytest.approx(math.sqrt(14 / 3))


def test_a_frozen_picture_lowers_the_rate() -> None:
    assert frames_per_second(251, 100.0, 110.0) == pytest.approx(25.0)
    assert frames_per_second(251, 100.0, 120.0) == pytest.approx(12.5)
    assert frames_per_second(1, 100.0, 100.0) == 0.0


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, []),
        ({"fps": 22.5, "first_frame_seconds": 3.0}, []),
        ({"fps": 22.4}, ["fps"]),
        ({"first_frame_seconds": 3.1}, ["first frame"]),
        ({"intervals_ms": Spread(9, 60.1, 0, 0, 0, 0)}, ["mean frame interval"]),
        ({"intervals_ms": None}, ["mean frame interval"]),  # one picture is no film
    ],
)
def test_verdicts(change: dict[str, object], failed: list[str]) -> None:
    judged = verdicts(replace(SEEN, **change), Limits())  # type: ignore[arg-type]
    assert [verdict.name for verdict in judged if not verdict.passed] == failed
    told = as_json(SEEN, judged)
    assert told["passed"] is not bool(failed)
    json.loads(json.dumps(told, allow_nan=False))


def test_limits_can_be_chosen() -> None:
    strict = Limits(least_fps=26, longest_first_frame_seconds=0.4, longest_mean_interval_ms=39)
    assert not any(verdict.passed for verdict in verdicts(SEEN, strict))


def test_the_block_tells_all() -> None:
    text = block(SEEN, verdicts(SEEN, Limits()))
    for word in (
        "0.50 s",
        "25.00",
        "median 40.0",
        "deviation 1.0",
        "800 kbit/s",
        "1.00 MB",
        "pass",
    ):
        assert word in text
    assert "last error" not in text
    assert "FAIL" not in text
    poor = replace(SEEN, fps=3.0, latency_seconds=None, last_error="503", ended=True)
    text = block(poor, verdicts(poor, Limits()))
    for word in ("FAIL  fps 3.00, wanted >= 22.5", "not known", "503", "to its end"):
        assert word in text


def test_the_progress_line() -> None:
    ffmpeg = Ffmpeg("ffmpeg", "9.0", 9, 0, "")
    player = Player(Wish("http://h/x"), ffmpeg, Script([""]), lambda _player: None)
    assert "waiting" in progress(player, 1.0)
    player.screen.seen.add(1.0, 0.9)
    assert "1 pictures  0.90 s behind  0 stalls  0 kbit/s" in progress(player, 2.0)


# --- the decoder's lines ------------------------------------------------------------------------


def test_the_decoders_lines_are_read() -> None:
    reading = Reading()
    head = ("#software: x", "#tb 0: 1/90000", "#media_type 0: video", "#tb 1: 1/48000")
    for line in (*head, "#media_type 1: audio"):
        assert reading.take(line, 0.0) is None
    found = reading.take("0,      3600,       7200,     3600,  1382400, 0xf9e68e26", 5.0)
    assert found == Decoded(True, Fraction(2, 25), Fraction(1, 25), 5.0)
    found = reading.take("1, 0, 0, 1024, 2048, 0x0", 5.0)
    assert found == Decoded(False, Fraction(0), Fraction(1024, 48000), 5.0)


@pytest.mark.parametrize("line", ["", "0, NOPTS, NOPTS, 1, 2, 0x0", "7, 1, 1, 1, 1, 0x0", "0, 1"])
def test_other_lines_tell_of_no_frame(line: str) -> None:
    reading = Reading()
    reading.take("#tb 0: 1/25", 0.0)
    assert reading.take(line, 0.0) is None


def test_ffmpeg_opens_nothing_for_what_comes_from_a_network() -> None:
    for line in (argv("f", "mov", None), recorder_argv("f", [7, 8], Path("/x/out.mp4"), "flags")):
        for at, word in enumerate(line):
            if word == "-i":
                assert "pipe" in line[:at]
                assert line[at + 1].startswith("pipe:")
        assert line.count("-protocol_whitelist") == line.count("-i")


@pytest.mark.parametrize(
    ("init", "data", "name"),
    [(b"init", b"x", "mov"), (b"", b"G\x40", "mpegts"), (b"", b"ID3", "aac"), (b"", b"", "aac")],
)
def test_containers(init: bytes, data: bytes, name: str) -> None:
    assert demuxer_of(Block(PIECE, init, data)) == name


# --- places -------------------------------------------------------------------------------------


def test_places_for_a_recording(tmp_path: Path) -> None:
    check_file(tmp_path / "out.mp4")
    (tmp_path / "out.mp4").touch()
    bad = {"out.mp4": "already", "out.txt": "must end in", "none/out.mp4": "its folder"}
    for name, told in bad.items():
        with pytest.raises(CannotKeep, match=told):
            check_file(tmp_path / name)


def test_further_files_take_free_names(tmp_path: Path) -> None:
    assert numbered(tmp_path / "out.mp4").name == "out-2.mp4"
    (tmp_path / "out-2.mp4").touch()
    assert numbered(tmp_path / "out.mp4").name == "out-3.mp4"


def test_a_folder_for_pictures(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")  # empty: still good
    with pytest.raises(CannotKeep, match="not empty"):
        make_folder(tmp_path)
    with pytest.raises(CannotKeep, match=r"Not a directory|File exists"):
        make_folder(Path(sys.executable))
