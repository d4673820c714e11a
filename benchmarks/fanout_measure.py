"""One mode, once: viewers that wait for part after part, and what that cost."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fanout_asked import Mark, between, mark, per_thing
from benchmarks.fanout_fronts import Mode, Server, go_first, serving
from benchmarks.fanout_viewers import Crowd, Position
from benchmarks.processes import ROOT
from config import Settings
from encoder.playlist_reader import read_position

PART_MS = 200.0
# Not counted: the first parts, for which not all had asked yet, and the last.
WARM_UP_SECONDS, TAIL_SECONDS = 1.0, 0.4
JOIN_SECONDS, PESTS_SECONDS = 40.0, 40.0
_MEMORY_SECONDS = 0.25
CALM = "calm"


@dataclass(frozen=True, slots=True)
class Result:
    """One mode in one run, or the medians of several."""

    mode: str
    case: str  # calm, slow or storm
    viewers: int
    parts: float
    p50_ms: float
    p99_ms: float
    part_p99_ms: float  # the p99 of each part, and of those the median: what one stall cannot move
    missed: float
    asked_late: float  # part of the requests that came when their part was there already
    cpu_us: dict[str, float]  # for each answer, by program
    memory_mb: dict[str, float]  # the most while it was measured, by program
    origin_per_thing: float  # requests that reached the web processes, by distinct things asked for
    flask_per_thing: float
    threads: float
    refused: float  # answers that were not 200
    lost: float  # connections of viewers that ended by themselves
    pests: float  # of those who make trouble, how many were still there at the end


def medians(results: list[Result]) -> Result:
    """Field by field."""
    rows = [asdict(result) for result in results]
    return Result(**{name: _median([row[name] for row in rows]) for name in rows[0]})


def _median(values: list[Any]) -> Any:
    if isinstance(values[0], str):
        return values[0]
    if isinstance(values[0], dict):
        return {key: _median([value[key] for value in values]) for key in values[0]}
    return statistics.median(values)


# --- when a part was there -----------------------------------------------------------------------


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
def stamping(folder: Path) -> Iterator[Stamps]:
    """Note the renames into a folder."""
    argv = [sys.executable, "-m", "benchmarks.fanout_stamps", str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield Stamps(child)
        finally:
            child.kill()


# --- who makes trouble ---------------------------------------------------------------------------


@dataclass(slots=True)
class Pests:
    """A process of slow readers, or of clients that come and go."""

    child: subprocess.Popen[str] | None = None
    left: int = 0

    def end(self) -> None:
        """Stop it, and hear how many it still was."""
        if self.child is None:
            return
        self.child.terminate()
        said, _ = self.child.communicate(timeout=20)
        self.left = int(said.split()[-1]) if said.split() else 0
        self.child = None


async def _begin_pests(case: str, clients: int, server: Server, path: str) -> Pests:
    if case == CALM:
        return Pests()
    argv = [sys.executable, "-m", "benchmarks.fanout_pests", case, str(server.port), str(clients)]
    argv += [path, *([str(server.pair.authority)] if server.pair else [])]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    loop = asyncio.get_running_loop()
    said = loop.run_in_executor(None, child.stdout.readline)
    line = await asyncio.wait_for(said, PESTS_SECONDS)
    if line != "there\n":
        raise SystemExit(f"the {case} clients did not come: {line!r}")
    return Pests(child)


# --- one run -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Window:
    """What is counted from its beginning to its end."""

    server: Server
    begin_ns: int = field(default_factory=time.monotonic_ns)
    memory: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cpu, self._marks = self.server.cpu_ns(), self.marks()

    async def last(self, seconds: float) -> None:
        """Wait, and note the most memory."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, used in self.server.memory_bytes().items():
                self.memory[name] = max(self.memory.get(name, 0), used)
            await asyncio.sleep(min(_MEMORY_SECONDS, max(0.0, end - time.monotonic())))

    def cpu_ns(self) -> dict[str, int]:
        """Used since the beginning, by program."""
        return {name: used - self._cpu[name] for name, used in self.server.cpu_ns().items()}

    def marks(self) -> tuple[Mark, Mark]:
        """How far the requests are now, and the calls of Flask."""
        return mark(self.server.asked), mark(self.server.called)

    def until(self, marks: tuple[Mark, Mark]) -> tuple[Counter[str], Counter[str]]:
        """The requests and the calls of Flask since the beginning, by thing asked for."""
        asked, called = (between(*ends) for ends in zip(self._marks, marks, strict=True))
        return asked, called

    _cpu: dict[str, int] = field(init=False)
    _marks: tuple[Mark, Mark] = field(init=False)


@dataclass(frozen=True, slots=True)
class Bench:
    """What stays the same in all runs."""

    media_root: Path
    folder: Path
    stamps: Stamps
    settings: Settings
    seconds: float
    ask: str
    cpus: dict[int, str]  # by number of web processes; 0: behind a front
    is_first: bool  # before other work of the machine

    @property
    def rendition(self) -> Path:
        """Where the files are that viewers follow."""
        return self.media_root / "live" / "demo" / "v0"

    def measure(self, mode: Mode, viewers: int, case: str, clients: int) -> Result:
        """One mode, once, calm or with so many who make trouble."""
        cpus = self.cpus[0 if mode.fronts else mode.processes]
        threads = viewers + 32 if mode.worker == "gthread" else self.settings.web_threads
        settings = Settings(web_threads=min(threads, 1024))
        with serving(mode, settings, self.media_root, self.folder, cpus) as server:
            if self.is_first:
                go_first([pid for pids in server.groups().values() for pid in pids])
            return asyncio.run(self._watch(mode, server, viewers, case, clients))

    async def _watch(
        self, mode: Mode, server: Server, viewers: int, case: str, clients: int
    ) -> Result:
        position, prefix = self._newest()
        crowd = Crowd("127.0.0.1", server.port, self._path(prefix), parts=10, tls=server.tls)
        await asyncio.wait_for(crowd.join(viewers), JOIN_SECONDS)
        segment = f"/live/demo/v0/{prefix}{position.last_msn}.m4s"
        path = segment if case == "slow" else str(self.rendition / "media.m3u8")
        pests = await _begin_pests(case, clients, server, path)
        try:
            return await self._count(mode, server, crowd, prefix, case, pests)
        finally:
            pests.end()

    async def _count(
        self, mode: Mode, server: Server, crowd: Crowd, prefix: str, case: str, pests: Pests
    ) -> Result:
        position, _ = self._newest()
        crowd.follow(Position(position.last_msn + 1, position.parts))
        await asyncio.sleep(WARM_UP_SECONDS)
        window = _Window(server)
        await window.last(self.seconds)
        end_ns, cpu, marks = time.monotonic_ns(), window.cpu_ns(), window.marks()
        threads = server.threads()
        await asyncio.sleep(TAIL_SECONDS)
        lost = crowd.lost
        crowd.leave()
        await asyncio.sleep(0)
        pests.end()
        asked, called = window.until(marks)
        counted = self._published(prefix, window.begin_ns, end_ns)
        answered = sum(
            window.begin_ns <= a.first_byte_ns < end_ns for row in crowd.answers for a in row
        )
        return Result(
            mode=mode.name,
            case=case,
            viewers=len(crowd.answers),
            parts=len(counted),
            cpu_us={name: used / 1000 / max(1, answered) for name, used in cpu.items()},
            memory_mb={name: used / 1e6 for name, used in window.memory.items()},
            origin_per_thing=per_thing(asked),
            flask_per_thing=per_thing(called),
            threads=threads,
            lost=lost,
            pests=pests.left,
            **_figures(crowd, counted, prefix),
        )

    def _newest(self) -> tuple[Any, str]:
        position = read_position((self.rendition / "media.m3u8").read_text())
        prefix = re.match(r"[0-9a-f]+-", position.hint_uri)
        assert prefix
        return position, prefix[0]

    def _published(self, prefix: str, begin_ns: int, end_ns: int) -> dict[str, int]:
        return {
            name: at
            for name, at in self.stamps.times().items()
            if name.startswith(prefix)
            and re.search(r"-\d+\.\d+\.m4s$", name)
            and begin_ns <= at < end_ns
        }

    def _path(self, prefix: str) -> Callable[[Position], str]:
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
