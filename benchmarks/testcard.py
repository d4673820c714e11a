"""Milliseconds that the test card needs for a picture on one core, and to read one back.

python -m benchmarks.testcard --help

The alternative is a copy of a picture that is there already: what any source has to do at least.
"""

from __future__ import annotations

import argparse
import sys
import time

import cv2
import numpy as np

from benchmarks import script
from benchmarks.results import Aim, Found, Table, median, number, percentile
from inference.testcard import TestCard
from inference.timecode import read_code
from rawmedia import Frame, MediaFormat

TITLE = "The test card"
LIMIT_MS = 4.0


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Picture after picture: drawn, read, copied."""
    cv2.setNumThreads(1)
    width, height = (int(word) for word in arguments.size.split("x"))
    count = arguments.frames // (5 if arguments.quick else 1)
    media = MediaFormat(width, height, 25)
    times: dict[str, list[float]] = {"draw": [], "read": [], "copy": []}
    noise = np.random.default_rng(arguments.seed).integers(0, 255, (height, width, 3), np.uint8)
    for _ in range(arguments.runs):
        _run(TestCard(media), media, noise, count, times)
    rows = [
        [name, f"{median(each):.2f}", f"{percentile(each, 95):.2f}"] for name, each in times.items()
    ]
    title = f"A picture of {arguments.size}, ms of one core"
    found.tables.append(Table(title, ["", "median", "95 % under"], rows))
    for name in ("draw", "read"):
        found.aims.append(Aim(f"test card: {name} a picture", median(times[name]), LIMIT_MS, "ms"))
    found.ratio = ("draw / copy", median(times["draw"]) / median(times["copy"]))
    found.data = {name: float(number(median(each))) for name, each in times.items()}


def _run(
    card: TestCard, media: MediaFormat, noise: Frame, count: int, times: dict[str, list[float]]
) -> None:
    frame = np.empty((media.height, media.width, 3), np.uint8)
    samples = np.empty((media.samples_per_unit, 1), np.int16)
    for _ in range(count):
        began = time.thread_time()
        np.copyto(frame, noise)
        copied = time.thread_time()
        card.render(frame, samples)
        drawn = time.thread_time()
        if read_code(frame) is None:
            raise SystemExit("a picture whose time code cannot be read")
        read = time.thread_time()
        times["copy"].append((copied - began) * 1e3)
        times["draw"].append((drawn - copied) * 1e3)
        times["read"].append((read - drawn) * 1e3)


def main() -> int:
    parser = script.parser_of("testcard", __doc__, runs=1)
    parser.add_argument("--frames", type=int, default=500, help="of each run [%(default)s]")
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT [%(default)s]")
    return script.run("testcard", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
