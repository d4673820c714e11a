"""What it costs to hand pictures to ffmpeg: written or lent, through a small or a large pipe.

python -m benchmarks.feeding --help

Pictures of 720p go through a pipe to an ffmpeg that only reads them, as fast as it goes: written
(the alternative), or lent by reference to the memory they lie in, as lipstream does
(docs/decisions/0029). Then written to one that converts them to what encoders take, with several
of swscale's flags: lipstream leaves its default. CPU time of both processes, less that of ffmpeg's
start.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks import script
from benchmarks.pipeline_run import lend_all, write_all
from benchmarks.results import Found, Table, median, number, ratio_of
from config import Settings
from encoder.ffmpeg import find_ffmpeg
from encoder.pipes import UNPRIVILEGED_PIPE_BYTES, Extent
from rawmedia import MediaFormat

TITLE = "Handing pictures to ffmpeg"
MEDIA = MediaFormat(1280, 720, 25)
PICTURES_IN_MEMORY = 8
# What pipe(7) has without being asked.
_USUAL_PIPE_BYTES = 64 * 1024
# Of swscale, for BGR24 to yuv420p; the first is what ffmpeg takes by itself.
FLAGS = ("bicubic", "neighbor", "accurate_rnd")
_COPY = ("-c:v", "copy")

Send = Callable[[int, memoryview, Extent], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds."""

    python: float
    ffmpeg: float

    @property
    def both(self) -> float:
        """Of the two processes."""
        return self.python + self.ffmpeg


@dataclass(frozen=True, slots=True)
class Way:
    """How pictures get to ffmpeg, and what it does with them."""

    title: str
    send: Send
    pipe_bytes: int
    output: tuple[str, ...] = _COPY


def _write(fd: int, picture: memoryview, _extent: Extent) -> None:
    write_all(fd, picture)


def _lend(fd: int, picture: memoryview, extent: Extent) -> None:
    lend_all(fd, extent, len(picture))


WAYS = tuple(
    Way(f"{word}, pipe of {size // 1024} KiB", send, size)
    for size in (_USUAL_PIPE_BYTES, UNPRIVILEGED_PIPE_BYTES)
    for word, send in (("written", _write), ("lent", _lend))
)
CONVERSIONS = tuple(
    Way(
        flags,
        _write,
        UNPRIVILEGED_PIPE_BYTES,
        ("-vf", f"scale=flags={flags}:out_color_matrix=bt709:out_range=tv,format=yuv420p"),
    )
    for flags in FLAGS
)


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """All ways in each run, in the seed's order."""
    order = random.Random(arguments.seed)
    count = arguments.frames // (4 if arguments.quick else 1)
    ways = (*WAYS, *CONVERSIONS)
    costs: dict[str, list[Cost]] = {way.title: [] for way in ways}
    fd = os.memfd_create("pictures")
    size = MEDIA.frame_bytes * PICTURES_IN_MEMORY
    pictures = np.random.default_rng(arguments.seed).integers(0, 255, size, np.uint8)
    write_all(fd, pictures.data)
    for _ in range(arguments.runs):
        for way in order.sample(ways, len(ways)):
            start = _feed(way, fd, pictures.data, 1)
            whole = _feed(way, fd, pictures.data, 1 + count)
            costs[way.title].append(Cost(whole.python - start.python, whole.ffmpeg - start.ffmpeg))
    os.close(fd)
    _tell(found, costs, count)


def _feed(way: Way, file: int, pictures: memoryview, count: int) -> Cost:
    binary = find_ffmpeg(Settings().ffmpeg).path
    theirs, ours = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, way.pipe_bytes)
    argv = [binary, "-nostdin", "-loglevel", "error", "-f", "rawvideo", "-pixel_format", "bgr24"]
    argv += ["-video_size", f"{MEDIA.width}x{MEDIA.height}", "-framerate", str(MEDIA.fps)]
    argv += ["-i", f"pipe:{theirs}", *way.output, "-f", "null", "-"]
    child = subprocess.Popen(argv, pass_fds=(theirs,))
    os.close(theirs)
    began = time.process_time()
    for number_ in range(count):
        at = number_ % PICTURES_IN_MEMORY * MEDIA.frame_bytes
        way.send(ours, pictures[at : at + MEDIA.frame_bytes], Extent(file, at))
    python = time.process_time() - began
    os.close(ours)
    _pid, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"ffmpeg ended with {child.returncode}: {argv}")
    return Cost(python, used.ru_utime + used.ru_stime)


def _tell(found: Found, costs: dict[str, list[Cost]], count: int) -> None:
    reading = costs[WAYS[-2].title]  # written, through the same pipe as those to be converted
    found.tables = [
        _table("Read and thrown away, 720p", WAYS, costs, costs[WAYS[0].title], count),
        _table("Converted to yuv420p, 720p", CONVERSIONS, costs, reading, count),
    ]
    found.notes = [
        "The ratio is to the first row of the first table; of conversions, to pictures that are "
        "only read, through the same pipe.",
        "`bicubic` is swscale's default: the size stays as it is, only colours are converted.",
    ]
    lent, written = ([cost.both for cost in costs[way.title]] for way in (WAYS[-1], WAYS[-2]))
    found.ratio = ("CPU of both processes, lent / written", ratio_of(lent, written))
    found.data = {name: [[c.python, c.ffmpeg] for c in each] for name, each in costs.items()}


def _table(
    title: str, ways: tuple[Way, ...], costs: dict[str, list[Cost]], base: list[Cost], count: int
) -> Table:
    rows = []
    for way in ways:
        each = costs[way.title]
        cells = [
            f"{1000 * median([getattr(cost, name) for cost in each]) / count:.2f}"
            for name in ("python", "ffmpeg", "both")
        ]
        ratio = ratio_of([cost.both for cost in each], [cost.both for cost in base])
        rows.append([way.title, *cells, number(ratio)])
    return Table(title, ["", "Python", "ffmpeg", "both: CPU ms a picture", "ratio"], rows)


def main() -> int:
    parser = script.parser_of("feeding", __doc__, runs=3)
    parser.add_argument("--frames", type=int, default=300, help="of each way [%(default)s]")
    return script.run("feeding", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
