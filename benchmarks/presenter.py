"""Milliseconds that the presenter needs for a 720p frame on one core: character and portrait.

    python -m benchmarks.presenter --image portrait.jpg

Prints, per face, the median and the worst twentieth of all frames over several runs, in time on the
clock and in processor time (the same on an idle machine), and how long it took to get ready.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from config import Settings
from inference.source import make_source
from rawmedia import MediaFormat

LIMIT_MS = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default="", help="portrait; else skimage's astronaut, if there")
    parser.add_argument("--frames", type=int, default=300, help="frames of one run")
    parser.add_argument("--runs", type=int, default=3, help="runs of which medians are taken")
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT")
    given = parser.parse_args()
    width, height = (int(number) for number in given.size.split("x"))
    cv2.setNumThreads(1)
    print(
        f"{given.size}, {given.runs} runs of {given.frames} frames, one core; limit {LIMIT_MS} ms"
    )
    for name, image in (("character", ""), ("portrait", given.image or _astronaut())):
        if name == "character" or image:
            _report(name, image, MediaFormat(width, height, 25), given.frames, given.runs)


def _astronaut() -> str:
    """A public-domain portrait, where the test dependencies are installed."""
    try:
        from skimage import data
    except ImportError:
        print("portrait: skipped, give --image")
        return ""
    folder = Path(data.__file__).parent
    return str(folder / "astronaut.png")


def _report(name: str, image: str, media: MediaFormat, frames: int, runs: int) -> None:
    settings = Settings(image=image, width=media.width, height=media.height)
    started = time.perf_counter()
    source = make_source(settings, media)
    ready = time.perf_counter() - started
    frame = np.empty((media.height, media.width, 3), np.uint8)
    samples = np.empty((media.samples_per_unit, media.audio_channels), np.int16)
    wall, work = [], []
    for _ in range(runs):
        for _ in range(frames):
            clock, used = time.perf_counter(), time.thread_time()
            source.render(frame, samples)
            work.append((time.thread_time() - used) * 1e3)
            wall.append((time.perf_counter() - clock) * 1e3)
    for kind, values in (("clock", wall), ("processor", work)):
        median, slow = statistics.median(values), float(np.percentile(values, 95))
        verdict = "ok" if median <= LIMIT_MS else "TOO SLOW"
        print(f"{name:10} {kind:10} median {median:5.2f} ms, 95 % under {slow:5.2f} ms  {verdict}")
    print(f"{name:10} ready in {ready:.2f} s")


if __name__ == "__main__":
    main()
