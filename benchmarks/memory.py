"""What a stream, a web process and a thousand held viewers hold in memory.

python -m benchmarks.memory --help

Proportional set sizes (PSS): what processes share is divided among them. The alternative for the
encoder process is Python that has imported nothing. Held viewers each wait on a connection of
their own for the next part; what they add to the web process is what counts. `benchmarks/soak.py`
watches for growth over hours; here it is looked for over the seconds of this run only.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks import script
from benchmarks.fanout_viewers import Crowd, Position
from benchmarks.processes import family, find, memory_bytes
from benchmarks.results import Aim, Found, Plot, Table, median, number
from encoder.playlist_reader import read_position
from tests.service import Service, temporary_media_root

TITLE = "Memory"
_MEGA = 1e6
_PARTS = 10
_SETTLE_SECONDS = 6.0
_HOLD_SECONDS = 5.0
# Parts of the run at whose ends growth is looked for, and what is still noise.
_LOOK_SECONDS = 1.0
_GROWTH_MB = 3.0


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """A fresh service for each run."""
    viewers = 200 if arguments.quick else arguments.viewers
    seconds = 5.0 if arguments.quick else arguments.seconds
    rows: dict[str, list[float]] = {}
    lines: list[dict[str, list[tuple[float, float]]]] = []
    for _ in range(arguments.runs):
        with temporary_media_root() as name:
            figures, line = _run(Path(name) / "media", viewers, seconds)
        lines.append(line)
        for what, value in figures.items():
            rows.setdefault(what, []).append(value)
    _tell(found, rows, lines, viewers)


def _run(
    root: Path, viewers: int, seconds: float
) -> tuple[dict[str, float], dict[str, list[tuple[float, float]]]]:
    figures = {"Python that has imported nothing": _nothing()}
    with Service(root, ("--web-processes", "1", "--ladder", "single")) as service:
        small: Any = {"id": "small", "width": 640, "height": 360, "source": {"type": "testcard"}}
        requests.post(f"{service.url}/api/streams", json=small, timeout=20).raise_for_status()
        time.sleep(_SETTLE_SECONDS)
        figures |= _by_process(service)
        web = _web_worker(service)
        line = _watch(service, web, seconds)
        before = memory_bytes(web) / _MEGA
        port = int(service.url.rpartition(":")[2])
        held = asyncio.run(_hold(port, root / "live" / "demo" / "v0", viewers, web))
        figures[f"{viewers} held viewers: web process more"] = held - before
        figures["for 1000 held viewers"] = (held - before) * 1000 / viewers
    return figures, line


def _nothing() -> float:
    words = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        held = memory_bytes(child.pid) / _MEGA
        child.kill()
    return held


def _by_process(service: Service) -> dict[str, float]:
    """The encoder processes are told apart by what they are to ffmpeg: 720p holds more."""
    top = service.processes()[0]
    encoders = find(top, "-m encoder")
    ffmpegs = sorted(memory_bytes(find(pid, "ffmpeg")[0]) / _MEGA for pid in encoders)
    small, large = ffmpegs[0], ffmpegs[-1]
    return {
        "supervisor": memory_bytes(top) / _MEGA,
        "web process": memory_bytes(_web_worker(service)) / _MEGA,
        "encoder process": median([memory_bytes(pid) / _MEGA for pid in encoders]),
        "ffmpeg, 720p": large,
        "ffmpeg, 360p": small,
        "source process": median([memory_bytes(p) / _MEGA for p in find(top, "-m inference")]),
    }


def _web_worker(service: Service) -> int:
    return family(find(service.processes()[0], "server.web")[0])[-1]


def _watch(service: Service, web: int, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Memory over time."""
    encoder = find(service.processes()[0], "-m encoder")[0]
    watched = {"web process": web, "encoder process": encoder}
    line: dict[str, list[tuple[float, float]]] = {name: [] for name in watched}
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for name, pid in watched.items():
            at = time.monotonic() - began
            line[name].append((at, memory_bytes(pid) / _MEGA))
        time.sleep(_LOOK_SECONDS)
    return line


async def _hold(port: int, rendition: Path, viewers: int, web: int) -> float:
    """The most that the web process holds while they wait for part after part."""
    position = read_position((rendition / "media.m3u8").read_text())
    prefix = re.match(r"[0-9a-f]+-", position.hint_uri)
    assert prefix
    base = f"/live/demo/v0/{prefix[0]}"
    crowd = Crowd("127.0.0.1", port, lambda at: f"{base}{at.msn}.{at.part}.m4s", _PARTS)
    await crowd.join(viewers)
    position = read_position((rendition / "media.m3u8").read_text())
    crowd.follow(Position(position.last_msn + 1, position.parts))
    most, ends = 0.0, time.monotonic() + _HOLD_SECONDS
    while time.monotonic() < ends:
        await asyncio.sleep(_LOOK_SECONDS / 4)
        most = max(most, memory_bytes(web) / _MEGA)
    answered = sum(answer.status == 200 for row in crowd.answers for answer in row)
    crowd.leave()
    if answered < viewers:
        raise SystemExit(f"{viewers} viewers got {answered} parts: nothing was held")
    return most


def _tell(
    found: Found,
    rows: dict[str, list[float]],
    lines: list[dict[str, list[tuple[float, float]]]],
    viewers: int,
) -> None:
    table = [[what, f"{median(each):.0f}"] for what, each in rows.items()]
    found.tables.append(Table("PSS", ["", "MB"], table))
    for name in lines[0]:
        grown = median([_growth(line[name]) for line in lines])
        found.aims.append(
            Aim(
                f"{name}: growth while it runs ({lines[0][name][-1][0]:.0f} s)",
                grown,
                _GROWTH_MB,
                "MB",
            )
        )
    found.plots.append(Plot("memory", "Memory while it runs", "seconds", "PSS, MB", lines[0]))
    found.notes = [
        f"{number(_GROWTH_MB)} MB are the noise of so short a look. Viewers hold a connection "
        "each and share one answer; a connection's buffers are most of what they cost.",
    ]
    encoder, python = rows["encoder process"], rows["Python that has imported nothing"]
    found.ratio = ("encoder process / Python alone", median(encoder) / median(python))
    found.data = {"MB": rows, "viewers": viewers}


def _growth(points: list[tuple[float, float]]) -> float:
    """From the first third to the last."""
    third = max(1, len(points) // 3)
    values = [value for _at, value in points]
    return median(values[-third:]) - median(values[:third])


def main() -> int:
    parser = script.parser_of("memory", __doc__, runs=2)
    add = parser.add_argument
    add("--viewers", type=int, default=1000, help="held at once [%(default)s]")
    add("--seconds", type=float, default=20.0, help="in which growth is looked for [%(default)s]")
    return script.run("memory", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
