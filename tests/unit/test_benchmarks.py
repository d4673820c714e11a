"""What all benchmarks count and tell with: percentiles, ratios, aims, the page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import Job, run
from benchmarks.page import page
from benchmarks.pipeline_run import to_null
from benchmarks.quality import Point, supported_preset
from benchmarks.results import (
    Aim,
    Found,
    Plot,
    Table,
    median,
    number,
    percentile,
    ratio_of,
    text,
)
from benchmarks.script import command

FOUND = Found(
    "glass",
    "Glass to glass",
    tables=[Table("Delays", ["", "s"], [["ours", "0.8"]])],
    aims=[Aim("delay", 0.8, 0.9, "s"), Aim("speed", 0.9, 0.95, is_floor=True)],
    plots=[Plot("glass", "Delays", "s", "%", {"ours": [(0.8, 50.0)]})],
    notes=["A note."],
    ratio=("ours / theirs", 0.11),
    command="python -m benchmarks.glass",
    runs=3,
    machine={
        "processor": "2 x P",
        "system": "Linux",
        "Python": "3.11",
        "at": "now",
        "load before": "0.1",
        "load afterwards": "0.2",
    },
)


@pytest.mark.parametrize(
    ("percent", "wanted"), [(0, 1.0), (25, 2.0), (50, 3.0), (90, 4.6), (100, 5.0)]
)
def test_percentiles_lie_between_the_nearest_values(percent: float, wanted: float) -> None:
    assert percentile([5, 1, 4, 2, 3], percent) == pytest.approx(wanted)


def test_nothing_measured_is_no_figure() -> None:
    assert math.isnan(percentile([], 50))
    assert math.isnan(median([]))
    assert number(median([])) == "-"


def test_a_ratio_is_of_runs_that_followed_each_other() -> None:
    # The machine was twice as slow in the second run, for both.
    assert ratio_of([11, 22, 11], [10, 20, 10]) == pytest.approx(1.1)
    assert ratio_of([11, 5], [10, 0]) == pytest.approx(1.1), "a run that took no time says nothing"


@pytest.mark.parametrize(
    ("aim", "verdict"),
    [
        (Aim("a", 0.8, 1.0), "met, by 20%"),
        (Aim("a", 1.2, 1.0), "missed, by 20%"),
        (Aim("a", 1.2, 1.0, is_floor=True), "met, by 20%"),
        (Aim("a", 0.9, 1.0, is_floor=True), "missed, by 10%"),
        (Aim("a", 0, 0), "met"),
        (Aim("a", 3, 0), "missed by 3"),
        (Aim("a", -1.5, 0, is_floor=True), "missed by 1.5"),
        (Aim("a", float("nan"), 1.0), "missed: no figure"),
        (Aim("a", float("nan"), 1.0, is_floor=True), "missed: no figure"),
    ],
)
def test_an_aim_says_by_how_much(aim: Aim, verdict: str) -> None:
    assert aim.verdict == verdict


def test_results_survive_their_file(tmp_path: Path) -> None:
    path, other = tmp_path / "glass.json", tmp_path / "again.json"
    FOUND.write(path)
    again = Found.read(path)
    again.write(other)
    assert other.read_text() == path.read_text()
    assert (again.aims, again.ratio) == (FOUND.aims, FOUND.ratio)


def test_the_ratio_is_printed_last() -> None:
    assert text(FOUND).splitlines()[-1] == "ratio: ours / theirs: 0.11"


def test_the_page_tells_aims_tables_and_plots() -> None:
    made = page([FOUND], "## Log\n\nTried.")
    assert "1 of 2 aims are met." in made
    assert "| delay | 0.8 s | ≤ 0.9 s | met, by 11% |" in made
    assert "| speed | 0.9 | ≥ 0.95 | **missed, by 5%** |" in made
    assert "| ours | 0.8 |" in made
    assert "![Delays](images/glass.svg)" in made
    assert made.rstrip().endswith("Tried.")


def test_a_script_that_failed_is_named() -> None:
    failed = Found("memory", "Memory", failed="not done within 3 minutes")
    made = page([FOUND, failed])
    assert "**`memory` failed: not done within 3 minutes**" in made
    assert "1 of 2 aims are met." in made


@pytest.mark.parametrize(
    ("name", "minutes", "why"),
    [("no_such_script", 1, "exit status 1"), ("fanout_stamps", 0, "not done within 0 minutes")],
)
def test_a_script_that_fails_or_hangs_leaves_a_file_that_says_so(
    tmp_path: Path, name: str, minutes: float, why: str
) -> None:
    run(Job(name, minutes, "A title"), tmp_path, quick=False)
    found = Found.read(tmp_path / f"{name}.json")
    assert (found.failed, found.title) == (why, "A title")


def test_the_command_is_told_without_its_file() -> None:
    assert command("glass", ["--json", "x.json", "--quick"]) == "python -m benchmarks.glass --quick"


def test_the_alternative_encodes_the_same_and_writes_nothing() -> None:
    scaled = "[0:v]scale=out_color_matrix=bt709:out_range=tv[s0];[s0]format=yuv420p[s1]"
    argv = ["ffmpeg", "-pixel_format", "bgr24", "-i", "pipe:3", "-filter_complex", scaled]
    argv += ["-f", "mp4", "-movflags", "+cmaf", "-preset", "veryfast", "pipe:7"]
    made = to_null(argv)
    assert made[-5:] == ["-f", "null", "-preset", "veryfast", "-"]
    assert made[3:5] == ["-i", "pipe:3"]
    assert scaled in made
    planar = to_null(argv, "yuv420p")
    assert "yuv420p" in planar
    assert not any("scale=" in word for word in planar)


def test_the_default_preset_is_the_fastest_that_is_near_the_slowest() -> None:
    slow = Point("a", "fast", 700, 690, 90.0, 0.99, 0.3)
    points = [
        replace(slow, coder="ultrafast", vmaf=80.0),
        replace(slow, coder="veryfast", vmaf=88.0),
        slow,
    ]
    assert supported_preset(points) == "veryfast"
    noisy = [replace(point, clip="b") for point in points]
    noisy[1] = replace(noisy[1], vmaf=70.0)
    assert supported_preset(points + noisy) == "fast", "near on every clip"
