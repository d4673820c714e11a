"""Milliseconds that the test card needs for a picture on one core, and to read one back.

python benchmarks/testcard.py
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np

from inference.testcard import TestCard
from inference.timecode import read_code
from rawmedia import MediaFormat

LIMIT_MS = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT")
    given = parser.parse_args()
    width, height = (int(number) for number in given.size.split("x"))
    cv2.setNumThreads(1)
    media = MediaFormat(width, height, 25)
    card = TestCard(media)
    frame = np.empty((height, width, 3), np.uint8)
    samples = np.empty((media.samples_per_unit, 1), np.int16)
    drawn, read = [], []
    for _ in range(given.frames):
        used = time.thread_time()
        card.render(frame, samples)
        done = time.thread_time()
        assert read_code(frame) is not None
        drawn.append((done - used) * 1e3)
        read.append((time.thread_time() - done) * 1e3)
    print(f"{given.size}, {given.frames} pictures, processor time of one core; limit {LIMIT_MS} ms")
    for name, values in (("draw", drawn), ("read", read)):
        median, slow = statistics.median(values), float(np.percentile(values, 95))
        verdict = "ok" if median <= LIMIT_MS else "TOO SLOW"
        print(f"{name}  median {median:5.2f} ms, 95 % under {slow:5.2f} ms  {verdict}")


if __name__ == "__main__":
    main()
