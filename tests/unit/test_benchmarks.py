"""What all benchmarks count and tell with: percentiles, ratios, aims, the page."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

import rawmedia
from benchmarks import __main__ as bench
from benchmarks import producer
from benchmarks.__main__ import DOCS, JOBS, Job, end, run, run_all
from benchmarks.page import page
from benchmarks.pipeline_run import to_null
from benchmarks.publishing import most_held
from benchmarks.quality import Point, supported_preset
from benchmarks.results import (
    BUDGET,
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
from rawmedia import Disconnected, Frame, MediaFormat, Samples
from tools import generated

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


def test_the_page_about_latency_has_the_budget_of_the_page_of_figures() -> None:
    """Which run it was, and its table: each line of them stands there, too."""
    budget = generated.read(DOCS / "latency.md", "budget")
    run, table = budget.rstrip().split("\n\n")
    told = (DOCS / "performance.md").read_text("utf-8")
    assert f"\n{run}\n" in told
    assert f"**{BUDGET}**\n\n{table}\n" in told, "run python -m benchmarks --page-only"
    assert "| **sum** |" in table


@pytest.mark.parametrize("failed", ["", "not done within 9 minutes"])
def test_a_budget_stays_until_there_is_another(tmp_path: Path, failed: str) -> None:
    latency = tmp_path / "latency.md"
    latency.write_text("<!-- begin budget -->\nbefore\n<!-- end budget -->\nwords\n")
    table = Table(BUDGET, ["", "low"], [["**sum**", "881"]])
    bench._write([replace(FOUND, tables=[table], plots=[], failed=failed)], tmp_path)
    shown = generated.read(latency, "budget")
    assert shown == "before\n" if failed else shown.endswith("| **sum** | 881 |\n")
    assert latency.read_text().endswith("words\n")


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


def test_scripts_that_the_budget_does_not_reach_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "BUDGET_MINUTES", 0.0)
    run_all([Job("testcard", 1, "A title")], tmp_path, quick=True)
    assert Found.read(tmp_path / "testcard.json").failed == "not done within 0 minutes"


def started(program: str, *words: str) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A Python program in a session of its own, and what is below it, once it says something."""
    argv = [sys.executable, "-c", program, *words]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline()
    return child, psutil.Process(child.pid).children(recursive=True)


def test_what_a_script_started_in_a_session_of_its_own_ends_with_it() -> None:
    """A service and a browser's driver are such: no signal to the script's group reaches them."""
    child, below = started(
        "import subprocess, time\n"
        "subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    assert len(below) == 1
    end(child)
    _gone, alive = psutil.wait_procs(below, timeout=5)
    assert not alive


def test_a_script_that_is_told_to_end_leaves_its_blocks(tmp_path: Path) -> None:
    left = tmp_path / "left"
    child, _below = started(
        "import sys, time\n"
        "from contextlib import ExitStack\n"
        "from pathlib import Path\n"
        "from benchmarks import script\n"
        "def measure(_arguments, _found):\n"
        "    with ExitStack() as stack:\n"
        "        stack.callback(Path(sys.argv.pop()).touch)\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "path, parser = sys.argv.pop(), script.parser_of('none', '', runs=1)\n"
        "measured = lambda a, f: (sys.argv.append(path), measure(a, f))\n"
        "script.run('none', 'None', parser, measured)",
        str(left),
    )
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 128 + signal.SIGTERM
    assert left.exists()


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_each_script_of_make_bench_says_how_it_is_called(job: Job) -> None:
    argv = [sys.executable, "-m", f"benchmarks.{job.name}", "--help"]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    assert all(flag in said for flag in ("--runs", "--seed", "--quick", "--json"))


@pytest.mark.parametrize("holds", [0, 1, 4, 5, 6, 9, 16, 20])
def test_a_core_is_filled_until_one_more_is_too_many(holds: int) -> None:
    tried = []

    def share_of(count: int) -> float:
        tried.append(count)
        return 1.0 if count <= holds else holds / count

    assert most_held(share_of, guess=5, most=16) == min(holds, 16)
    assert len(set(tried)) == len(tried), "none is tried twice"
    assert max(tried) <= 16


def test_a_source_does_not_make_up_for_the_time_in_which_nobody_took_a_unit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it fills the queue before the encoder, for good."""
    media = MediaFormat(640, 360, 25)
    now = [0.0]
    handed: list[float] = []

    class Slow:
        def __init__(self) -> None:
            self.media = media

        def wait(self) -> None:
            now[0] += 0.5 if len(handed) == 3 else 0.0  # the encoder starts
            if len(handed) == 8:
                raise Disconnected("the stream ended")

        @contextmanager
        def unit(self) -> Iterator[tuple[Frame, Samples]]:
            handed.append(now[0])
            samples = np.zeros((media.samples_per_unit, 1), np.int16)
            yield np.zeros((media.height, media.width, 3), np.uint8), samples

    def sleep(seconds: float) -> None:
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep, time=lambda: now[0])
    monkeypatch.setattr(producer, "time", clock)
    monkeypatch.setattr(rawmedia, "connect", lambda *_: nullcontext(Slow()))
    picture = np.zeros((media.height, media.width, 3), np.uint8)
    with pytest.raises(Disconnected):
        producer._send(Path(), media, [picture], 0.0, makes_up=False)
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(handed)]
    assert gaps == [0.04, 0.04, 0.54, 0.04, 0.04, 0.04, 0.04]


@pytest.mark.parametrize(
    ("asked", "waited", "makes_up", "wanted"),
    [
        pytest.param(10.0, 0.0, False, 10.04, id="in time"),
        pytest.param(10.03, 0.0, False, 10.04, id="late, but the next one is not"),
        pytest.param(10.1, 0.0, False, 10.12, id="two have passed meanwhile"),
        pytest.param(10.1, 0.0, True, 10.04, id="and are handed over after all"),
        pytest.param(10.0, 0.5, False, 10.54, id="the stream took none"),
        pytest.param(10.1, 0.5, True, 10.54, id="which no source makes up for"),
        pytest.param(9.99, 0.0, False, 10.04, id="a sleep may end early"),
    ],
)
def test_what_a_source_missed_is_lost_or_comes_later(
    asked: float, waited: float, makes_up: bool, wanted: float
) -> None:
    due = producer.next_due(10.0, asked, waited, 0.04, makes_up=makes_up)
    assert due == pytest.approx(wanted)


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
