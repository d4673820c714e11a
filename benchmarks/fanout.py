"""How fast do a thousand held viewers get a part? lipstream beside a bare ASGI application.

python -m benchmarks.fanout --help

One real encoder makes a small stream of 0.2 s parts. In turn, and several times, each server
serves it to viewers that all wait for the next part. A wake-up is the time from the part's rename
into tmpfs, taken by a process of its own, to the first byte of the answer at the viewer. Missed: a
part that a viewer did not get, or only after the next one was there. Absolute figures belong to
the machine; the ratio, printed last, is what to look at. The bare application is no server: it
serves nothing else, checks nothing and forgets nothing (benchmarks/fanout_bare.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fanout_fronts import MODES, Mode, Server, serving
from benchmarks.fanout_server import read_counts
from benchmarks.fanout_viewers import Crowd, Position
from config import Settings
from encoder.playlist import read_position
from tests.service import Service, temporary_media_root

SMALL = ("--width", "320", "--height", "180", "--video-kbit", "150", "--web-processes", "1")
PART_MS = 200.0
# Not counted: the first parts, for which not all had asked yet, and the last.
WARM_UP_SECONDS, TAIL_SECONDS = 1.0, 0.4
RATIOS = (("coalescer", "bare"), ("coalescer-2", "bare-2"))
AIM = 1.5


@dataclass(frozen=True, slots=True)
class Result:
    """One mode in one run, or the medians of several."""

    mode: str
    viewers: int
    parts: float
    p50_ms: float
    p99_ms: float
    part_p99_ms: float  # the p99 of each part, and of those the median: what one stall cannot move
    missed: float
    asked_late: float  # part of the requests that came when their part was there already
    cpu_us: float  # of all its processes, for each answer
    origin_per_part: float  # requests that reached the web processes
    flask_per_part: float
    threads: float
    refused: float  # answers that were not 200


class Stamps:
    """Times of renames into one folder, from a process that does nothing else."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self._times: dict[str, int] = {}

    def times(self) -> dict[str, int]:
        """All so far: file name to nanoseconds."""
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdout.fileno(), False)
        while line := self._child.stdout.readline():
            name, time_ns = line.split()
            self._times.setdefault(name, int(time_ns))  # a playlist is renamed again and again
        return self._times


@contextmanager
def stamping(folder: Path, *, realtime: bool) -> Iterator[Stamps]:
    """Note the renames into a folder."""
    argv = [sys.executable, "-m", "benchmarks.fanout_stamps", str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        if realtime:
            os.sched_setscheduler(child.pid, os.SCHED_RR, os.sched_param(2))
        child.stdout.readline()
        try:
            yield Stamps(child)
        finally:
            child.kill()


@dataclass(frozen=True, slots=True)
class Bench:
    """What stays the same in all runs."""

    media_root: Path
    folder: Path
    stamps: Stamps
    settings: Settings
    seconds: float
    ask: str
    cpus: dict[int, str]  # by number of web processes

    @property
    def rendition(self) -> Path:
        return self.media_root / "live" / "demo" / "v0"

    def measure(self, mode: Mode, viewers: int) -> Result:
        """One mode, once."""
        cpus = self.cpus[0 if mode.front else mode.processes]
        threads = viewers + 32 if mode.worker == "gthread" else self.settings.web_threads
        settings = Settings(web_threads=min(threads, 1024))
        with serving(mode, settings, self.media_root, self.folder, cpus) as server:
            return asyncio.run(self._watch(mode, server, viewers))

    async def _watch(self, mode: Mode, server: Server, viewers: int) -> Result:
        position = read_position((self.rendition / "media.m3u8").read_text())
        prefix = re.match(r"[0-9a-f]+-", position.hint_uri)
        assert prefix
        crowd = Crowd("127.0.0.1", server.port, self._path(prefix[0]), parts=10)
        await asyncio.wait_for(crowd.join(viewers), 15)
        position = read_position((self.rendition / "media.m3u8").read_text())
        crowd.follow(Position(position.last_msn + 1, position.parts))
        await asyncio.sleep(WARM_UP_SECONDS)
        begin, cpu, counts = time.monotonic_ns(), server.cpu_ns(), read_counts(server.counts)
        await asyncio.sleep(self.seconds)
        end, cpu = time.monotonic_ns(), server.cpu_ns() - cpu
        requests, calls = (b - a for a, b in zip(counts, read_counts(server.counts), strict=True))
        threads = server.threads()
        await asyncio.sleep(TAIL_SECONDS)
        crowd.leave()
        await asyncio.sleep(0)
        times = {
            name: at
            for name, at in self.stamps.times().items()
            if name.startswith(prefix[0]) and re.search(r"-\d+\.\d+\.m4s$", name)
        }
        counted = {name: at for name, at in times.items() if begin <= at < end}
        figures = _figures(crowd, counted, prefix[0])
        answered = sum(begin <= a.first_byte_ns < end for row in crowd.answers for a in row)
        return Result(
            mode=mode.name,
            viewers=viewers,
            parts=len(counted),
            cpu_us=cpu / 1000 / max(1, answered),
            origin_per_part=requests / len(counted),
            flask_per_part=calls / len(counted),
            threads=threads,
            **figures,
        )

    def _path(self, prefix: str):  # type: ignore[no-untyped-def]
        if self.ask == "part":
            return lambda at: f"/live/demo/v0/{prefix}{at.msn}.{at.part}.m4s"
        return lambda at: f"/live/demo/v0/media.m3u8?_HLS_msn={at.msn}&_HLS_part={at.part}"


def _figures(crowd: Crowd, published: dict[str, int], prefix: str) -> dict[str, float]:
    wakes, late, in_time, refused = [], 0, 0, 0
    bodies: dict[Position, set[int]] = {}
    by_part: dict[Position, list[float]] = {}
    for row in crowd.answers:
        for answer in row:
            at = answer.asked
            time_ns = published.get(f"{prefix}{at.msn}.{at.part}.m4s")
            refused += answer.status != 200
            if time_ns is None or answer.status != 200:
                continue
            wake_ms = (answer.first_byte_ns - time_ns) / 1e6
            wakes.append(wake_ms)
            by_part.setdefault(at, []).append(wake_ms)
            late += answer.asked_ns > time_ns
            in_time += wake_ms < PART_MS
            bodies.setdefault(at, set()).add(answer.body_hash)
    differing = sum(len(hashes) != 1 for hashes in bodies.values())
    if differing and all("m4s" in crowd.path(at) for at in bodies):
        raise SystemExit(f"{differing} parts were not the same for all viewers")
    if len(wakes) < 2:
        wakes = [float("inf")] * 2
    parts = [_p99(row) for row in by_part.values() if len(row) > 1]
    return {
        "p50_ms": statistics.median(wakes),
        "p99_ms": _p99(wakes),
        "part_p99_ms": statistics.median(parts or [float("inf")]),
        "missed": len(published) * len(crowd.answers) - in_time,
        "asked_late": late / len(wakes),
        "refused": refused,
    }


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def medians(results: list[Result]) -> Result:
    """Field by field."""
    rows = [asdict(result) for result in results]
    kept = {"mode": rows[0]["mode"], "viewers": rows[0]["viewers"]}
    return Result(
        **kept, **{k: statistics.median(r[k] for r in rows) for k in rows[0] if k not in kept}
    )


# Heading, field of Result, format.
_COLUMNS = (
    ("mode", "mode", "<12"),
    ("viewers", "viewers", ">8"),
    ("p50 ms", "p50_ms", ">8.1f"),
    ("p99 ms", "p99_ms", ">8.1f"),
    ("a part's", "part_p99_ms", ">9.1f"),
    ("missed", "missed", ">8.0f"),
    ("late", "asked_late", ">7.1%"),
    ("CPU us", "cpu_us", ">8.1f"),
    ("origin/part", "origin_per_part", ">12.1f"),
    ("Flask/part", "flask_per_part", ">11.2f"),
    ("threads", "threads", ">8.0f"),
    ("refused", "refused", ">8.0f"),
)


def show(results: list[Result]) -> None:
    """The table."""
    print()
    print("".join(f"{heading:{form.split('.')[0]}}" for heading, _, form in _COLUMNS))
    for result in results:
        print("".join(f"{getattr(result, name):{form}}" for _, name, form in _COLUMNS))


def ratios(runs: dict[str, list[Result]]) -> dict[str, float]:
    """p99 of ours over that of the bare application, run by run; then the median."""
    found = {}
    for ours, bare in RATIOS:
        pairs = list(zip(runs.get(ours, ()), runs.get(bare, ()), strict=False))
        if pairs:
            found[f"p99 {ours} / {bare}"] = statistics.median(a.p99_ms / b.p99_ms for a, b in pairs)
            found[f"p99 of the median part, {ours} / {bare}"] = statistics.median(
                a.part_p99_ms / b.part_p99_ms for a, b in pairs
            )
    return found


def main() -> int:
    arguments = _parser().parse_args()
    modes = [MODES[name] for name in arguments.modes.split(",")]
    for mode in modes:
        if why := mode.missing():
            print(f"SKIPPED {mode.name}: {why}")
    modes = [mode for mode in modes if not mode.missing()]
    runs = _run(arguments, modes)
    summary = [medians(results) for results in runs.values()]
    print(f"\nmedians of {arguments.runs} runs, {arguments.ask} held, seed {arguments.seed}")
    show(summary)
    found = ratios(runs)
    if arguments.json:
        everything = {name: [asdict(r) for r in results] for name, results in runs.items()}
        facts = {"runs": everything, "medians": [asdict(r) for r in summary], "ratios": found}
        arguments.json.write_text(json.dumps(facts | {"arguments": _shown(arguments)}, indent=2))
    print()
    for name, ratio in found.items():
        print(f"{name}: {ratio:.2f} (aim: at most {AIM})")
    return 0


def _run(arguments: argparse.Namespace, modes: list[Mode]) -> dict[str, list[Result]]:
    order = random.Random(arguments.seed)
    runs: dict[str, list[Result]] = {mode.name: [] for mode in modes}
    cpus = _divide_cpus(pin=arguments.pin)
    with temporary_media_root() as name, Service(Path(name) / "media", SMALL) as service:
        folder, media = Path(name), Path(name) / "media"
        time.sleep(2)  # past the first segment, which is encoded in one go
        if arguments.realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            # Else it may be kept waiting between a part and the playlist that names the next.
            os.sched_setscheduler(service.find("-m encoder"), os.SCHED_RR, os.sched_param(1))
        with stamping(media / "live" / "demo" / "v0", realtime=arguments.realtime) as stamps:
            bench = Bench(media, folder, stamps, Settings(), arguments.seconds, arguments.ask, cpus)
            for number in range(1, arguments.runs + 1):
                for mode in order.sample(modes, len(modes)):
                    viewers = arguments.viewers * mode.processes
                    result = bench.measure(mode, viewers)
                    runs[mode.name].append(result)
                    print(f"run {number}:", end="")
                    show([result])
                    sys.stdout.flush()
    return runs


def _divide_cpus(*, pin: bool) -> dict[int, str]:
    """The last CPU for one web process; the viewers and the encoder get the others."""
    cpus = sorted(os.sched_getaffinity(0))
    everything = ",".join(map(str, cpus))
    if not pin or len(cpus) < 2:
        return {0: everything, 1: everything, 2: everything}
    os.sched_setaffinity(0, cpus[:-1])
    return {0: everything, 1: str(cpus[-1]), 2: everything}


def _shown(arguments: argparse.Namespace) -> dict[str, object]:
    return {name: str(value) for name, value in vars(arguments).items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fanout",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--modes", default=",".join(MODES), help="default: %(default)s")
    parser.add_argument(
        "--viewers", type=int, default=1000, help="for each web process [%(default)s]"
    )
    parser.add_argument("--runs", type=int, default=3, help="of each mode [%(default)s]")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="measured, in each run [%(default)s]"
    )
    parser.add_argument(
        "--ask",
        choices=("part", "playlist"),
        default="part",
        help="what is held: the hinted part, or the playlist reload that announces it [part]",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order [%(default)s]")
    parser.add_argument(
        "--pin",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="one web process on a CPU of its own [yes]",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="servers and viewers go before all else: for a machine with other work; needs root",
    )
    parser.add_argument("--json", type=Path, help="write all results to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
