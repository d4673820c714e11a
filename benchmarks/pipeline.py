"""What lipstream costs beyond the encoder itself.

python -m benchmarks.pipeline --help

Pictures from memory become complete LL-HLS; the alternative is the same ffmpeg command with its
outputs thrown away, fed by two threads that do nothing else. Once as fast as it goes, by the
encoder's own pieces in one process; and once in real time, by the encoder process of a running
service. Then the same encode fed with pictures that OpenCV has converted before. The alternative
writes its pictures, as any program does; once more it lends them to the pipe, as lipstream does.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from benchmarks import script
from benchmarks.frames import make_frames
from benchmarks.processes import ROOT, cpu_seconds, find, io_counts, python
from benchmarks.results import Aim, Found, Plot, Table, median, number, ratio_of
from rawmedia import MediaFormat
from tests.service import Service, temporary_media_root

TITLE = "Cost of the pipeline"
MEDIA = MediaFormat(1280, 720, 25)
KBIT = 700
PICTURES_IN_MEMORY = 100
KINDS = ("ours", "null", "null-lent", "i420", "nv12")
_SETTLE_SECONDS = 3.0
_SOURCE_SECONDS = 15.0
# Of the pictures counted; a busy machine holds one up now and then.
_MOST_REPEATED = 0.02
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Run:
    """One run of :mod:`benchmarks.pipeline_run`."""

    seconds: float
    python: float  # CPU seconds
    ffmpeg: float
    parts: int

    @property
    def cpu(self) -> float:
        """CPU seconds of all."""
        return self.python + self.ffmpeg


@dataclass(frozen=True, slots=True)
class Live:
    """The encoder process in real time; each for one second of the stream."""

    python: float
    ffmpeg: float
    written_bytes: float  # through system calls
    read_bytes: float
    write_calls: float

    @property
    def cpu(self) -> float:
        """CPU seconds of all."""
        return self.python + self.ffmpeg


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """All kinds in each run, in the seed's order."""
    order = random.Random(arguments.seed)
    count = arguments.frames // (4 if arguments.quick else 1)
    seconds = 5.0 if arguments.quick else arguments.seconds
    runs: dict[str, list[Run]] = {kind: [] for kind in KINDS}
    live: list[Live] = []
    paced: list[Run] = []
    with temporary_media_root() as name:
        folder = Path(name)
        frames = make_frames(MEDIA, PICTURES_IN_MEMORY, folder / "frames.raw")
        for _ in range(arguments.runs):
            for kind in order.sample(KINDS, len(KINDS)):
                runs[kind].append(_run(kind, frames, count, folder))
            live.append(_live(frames, seconds, folder / f"live{len(live)}"))
            paced.append(_run("null-paced", frames, round(seconds * MEDIA.fps), folder))
    if min(run.parts for run in runs["ours"]) < count // 5:
        raise SystemExit(f"too few parts of {count} pictures: {runs['ours']}")
    _tell(found, runs, live, paced, count, seconds)


def _run(kind: str, frames: Path, count: int, folder: Path) -> Run:
    out = folder / f"out-{time.monotonic_ns()}"
    size = f"{MEDIA.width}x{MEDIA.height}"
    argv = [sys.executable, "-m", "benchmarks.pipeline_run", kind, str(frames), str(count), size]
    argv += [str(MEDIA.fps), str(KBIT), str(out)]
    done = subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, cwd=ROOT
    )
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _live(frames: Path, seconds: float, media_root: Path) -> Live:
    flags: tuple[str, ...] = ("--source", "ingest", "--ladder", "single", "--encoder", "libx264")
    flags += ("--web-processes", "1", "--video-kbit", str(KBIT))
    with Service(media_root, flags) as service:
        size = f"{MEDIA.width}x{MEDIA.height}"
        socket = str(media_root / "run" / "demo.sock")
        feed = ("benchmarks.producer", str(frames), size, str(MEDIA.fps), socket)
        with python(*feed) as producer:
            try:
                _await_source(service)
                time.sleep(_SETTLE_SECONDS)
                return _count(service, seconds)
            finally:
                producer.kill()


def _await_source(service: Service) -> None:
    deadline = time.monotonic() + _SOURCE_SECONDS
    while _figures(service)["source"] != "connected":
        if time.monotonic() > deadline:
            raise SystemExit(f"no source after {_SOURCE_SECONDS:g} s: {_figures(service)}")
        time.sleep(0.1)


def _figures(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = requests.get(f"{service.url}/api/streams/demo", timeout=10).json()
    return told


def _count(service: Service, seconds: float) -> Live:
    repeated = _figures(service)["units_repeated"]
    encoder = service.find("-m encoder")
    (ffmpeg,) = find(encoder, "ffmpeg")
    before = cpu_seconds([encoder]), cpu_seconds([ffmpeg]), io_counts(encoder)
    time.sleep(seconds)
    after = cpu_seconds([encoder]), cpu_seconds([ffmpeg]), io_counts(encoder)
    more = _figures(service)["units_repeated"] - repeated
    if more > _MOST_REPEATED * seconds * MEDIA.fps:  # a picture that stands is encoded for less
        raise SystemExit(f"{more} pictures were repeated in {seconds:g} s: the source was late")
    calls = {name: (after[2][name] - before[2][name]) / seconds for name in before[2]}
    return Live(
        (after[0] - before[0]) / seconds,
        (after[1] - before[1]) / seconds,
        calls["wchar"],
        calls["rchar"],
        calls["syscw"],
    )


# --- what is told --------------------------------------------------------------------------------


def _tell(
    found: Found,
    runs: dict[str, list[Run]],
    live: list[Live],
    paced: list[Run],
    count: int,
    seconds: float,
) -> None:
    cpu = {kind: [run.cpu for run in each] for kind, each in runs.items()}
    null_cpu = [run.cpu / seconds for run in paced]
    unthrottled = ratio_of(cpu["ours"], cpu["null"])
    in_real_time = ratio_of([one.cpu for one in live], null_cpu)
    speeds = {kind: [count / run.seconds for run in each] for kind, each in runs.items()}
    throughput = ratio_of(speeds["ours"], speeds["null"])
    share = 100 * median([one.python for one in live])
    found.tables = [
        _unthrottled_table(runs, count),
        _live_table(live, paced, seconds),
        _bytes_table(live),
        _conversion_table(runs, count),
    ]
    found.aims = [
        Aim("CPU, LL-HLS / null, as fast as it goes", unthrottled, 1.10),
        Aim("CPU, LL-HLS / null, in real time", in_real_time, 1.10),
        Aim("throughput, LL-HLS / null", throughput, 0.95, is_floor=True),
        Aim("Python's share of a core, one stream of 720p25", share, 5, "%"),
    ]
    found.plots.append(_plot(runs, count))
    found.notes = [
        "*Python*: the encoder process, which takes pictures out of shared memory, hands them "
        "to ffmpeg, reads fragments, and publishes parts and playlists. ffmpeg's share "
        "differs because it writes MP4 fragments for each picture instead of nothing.",
        "*Copies*: the source draws into memory that the encoder process shares, and ffmpeg's pipe "
        "refers to its pages: nothing copies a picture before ffmpeg reads it, and what is written "
        "is the sound, and what is published. The null muxer's pictures are written, as any "
        "program does; *lent*: as lipstream's are.",
        "OpenCV knows only BT.601, while the stream is BT.709; it has no NV12 either, so its "
        "planes are laced by NumPy. These rows say what could be saved, not what can be had.",
    ]
    found.ratio = ("CPU seconds, LL-HLS / null", unthrottled)
    found.data = {
        "unthrottled": {k: [[r.seconds, r.python, r.ffmpeg] for r in v] for k, v in runs.items()},
        "live": [[one.python, one.ffmpeg] for one in live],
        "paced null": [[r.python / seconds, r.ffmpeg / seconds] for r in paced],
    }


def _ms(values: list[float], count: int) -> str:
    return f"{1000 * median(values) / count:.2f}"


def _unthrottled_table(runs: dict[str, list[Run]], count: int) -> Table:
    rows = []
    titles = {"ours": "complete LL-HLS", "null": "null muxer", "null-lent": "null muxer, lent"}
    for kind, title in titles.items():
        each = runs[kind]
        speed = median([count / run.seconds for run in each])
        cells = [_ms([getattr(run, name) for run in each], count) for name in ("python", "ffmpeg")]
        rows.append([title, f"{speed:.0f}", *cells, _ms([run.cpu for run in each], count)])
    headings = ["", "pictures a second", "Python", "ffmpeg", "both: CPU ms a picture"]
    return Table("As fast as it goes, 720p", headings, rows)


def _live_table(live: list[Live], paced: list[Run], seconds: float) -> Table:
    ours = [f"{100 * median([getattr(one, name) for one in live]):.1f}" for name in _SHARES]
    null = [
        f"{100 * median([getattr(run, name) / seconds for run in paced]):.1f}" for name in _SHARES
    ]
    rows = [["complete LL-HLS", *ours], ["null muxer", *null]]
    return Table("In real time, 720p25, % of a core", ["", "Python", "ffmpeg", "both"], rows)


_SHARES = ("python", "ffmpeg", "cpu")


def _bytes_table(live: list[Live]) -> Table:
    per_frame = MEDIA.fps * MEDIA.frame_bytes
    rows = [
        [
            "written, in pictures' sizes",
            number(median([x.written_bytes / per_frame for x in live])),
        ],
        ["read, in pictures' sizes", number(median([x.read_bytes / per_frame for x in live]))],
        ["write calls", number(median([x.write_calls / MEDIA.fps for x in live]))],
    ]
    headings = ["of the encoder process, for each picture", ""]
    return Table("Bytes through system calls", headings, rows)


def _conversion_table(runs: dict[str, list[Run]], count: int) -> Table:
    base = [run.cpu for run in runs["null"]]
    rows = []
    names = {
        "null": "BGR24, converted by ffmpeg",
        "i420": "yuv420p, by OpenCV",
        "nv12": "nv12, by OpenCV and NumPy",
    }
    for kind, title in names.items():
        each = runs[kind]
        cells = [_ms([getattr(run, name) for run in each], count) for name in _SHARES]
        rows.append([title, *cells, number(ratio_of([run.cpu for run in each], base))])
    headings = ["fed with", "Python", "ffmpeg", "both: CPU ms a picture", "ratio"]
    return Table("Conversion of pictures (null muxer)", headings, rows)


def _plot(runs: dict[str, list[Run]], count: int) -> Plot:
    ticks = {"ours": "LL-HLS", "null": "null", "i420": "null, yuv420p", "nv12": "null, nv12"}
    series = {
        name: [
            (float(place), 1000 * median([getattr(run, field) for run in runs[kind]]) / count)
            for place, kind in enumerate(ticks)
        ]
        for name, field in (("Python", "python"), ("ffmpeg", "ffmpeg"))
    }
    title = "CPU for each 720p picture"
    return Plot("pipeline", title, "", "ms", series, bars=True, ticks=list(ticks.values()))


def main() -> int:
    parser = script.parser_of("pipeline", __doc__, runs=3)
    add = parser.add_argument
    add("--frames", type=int, default=600, help="pictures, as fast as it goes [%(default)s]")
    add("--seconds", type=float, default=10.0, help="in real time, each run [%(default)s]")
    return script.run("pipeline", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
