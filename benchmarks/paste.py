"""What it costs to lay a drawn face into its picture: processor time of one core.

python -m benchmarks.paste --help

The face covers what it does in a portrait that fills the picture's height. The alternative is the
definition as OpenCV does it: mask and face warped to the whole picture in floats, then mixed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks import script
from benchmarks.results import Aim, Found, Table, median, number, percentile, ratio_of
from inference.ditto.layout import Floats
from inference.ditto.paste import FACE_SIDE, Place, feather, paste, place_of, to_face
from rawmedia import Frame

TITLE = "Laying the face into its picture"
SIZES = ((640, 360), (768, 432), (1280, 720), (1920, 1080))
AIM_SIZE, AIM_MS = (1280, 720), 5.0
FACE_SHARE = 0.8  # of the picture's height


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Both ways in turn, so that they see the same machine."""
    cv2.setNumThreads(1)  # as in a worker
    rng = np.random.default_rng(arguments.seed)
    output = rng.random((1, 3, FACE_SIDE, FACE_SIDE), np.float32)
    face, rows = to_face(output), []
    converted = [_milliseconds(lambda: to_face(output)) for _ in range(arguments.runs)]
    for width, height in SIZES:
        matrix, still = _matrix(width, height), rng.integers(0, 256, (height, width, 3), np.uint8)
        ours, theirs = _times(still, face, matrix, arguments.runs)
        share = ratio_of(ours, theirs)
        rows.append(
            (
                f"{width}x{height}",
                f"{round(FACE_SHARE * height)} px",
                *(number(value) for value in (median(ours), percentile(ours, 95))),
                *(number(value) for value in (median(theirs), share)),
            )
        )
        found.data[f"{width}x{height}"] = {"ours": ours, "theirs": theirs}
        if (width, height) == AIM_SIZE:
            found.aims.append(Aim("copy and paste at 1280x720", median(ours), AIM_MS, "ms"))
            found.ratio = ("copy and paste at 1280x720, by OpenCV in whole floats", share)
    heads = ("picture", "face", "ms", "95 %", "whole floats, ms", "ratio")
    found.tables.append(Table("Copy of the still picture, and the face laid into it", heads, rows))
    found.notes.append(f"The decoder's picture to BGR bytes: {number(median(converted))} ms.")


def _matrix(width: int, height: int) -> Floats:
    """From the face's crop to the middle of a picture."""
    side = round(FACE_SHARE * height)
    scale = side / FACE_SIDE
    rows = ((scale, 0, (width - side) / 2), (0, scale, (height - side) / 2), (0, 0, 1))
    return np.array(rows, np.float32)


def _times(still: Frame, face: Frame, matrix: Floats, runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each run: ours, and the alternative's."""
    place = place_of(matrix, (still.shape[1], still.shape[0]))
    frame, mask = still.copy(), feather()
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(_milliseconds(lambda: _pasted(frame, still, face, place)))
        theirs.append(_milliseconds(lambda: _plainly(still, face, mask, matrix)))
    return ours, theirs


def _pasted(frame: Frame, still: Frame, face: Frame, place: Place | None) -> None:
    np.copyto(frame, still)
    paste(frame, face, place)


def _plainly(still: Frame, face: Frame, mask: Floats, matrix: Floats) -> Frame:
    size, into = (still.shape[1], still.shape[0]), matrix[:2].astype(np.float64)
    share = cv2.warpAffine(mask, into, size)[..., None]
    flat = cv2.warpAffine(face.astype(np.float32), into, size)
    return np.clip(share * flat + (1 - share) * still, 0, 255).astype(np.uint8)


def _milliseconds(work: Callable[[], object]) -> float:
    """Of the processor: what else runs on the machine is not counted."""
    began = time.thread_time()
    work()
    return 1000 * (time.thread_time() - began)


if __name__ == "__main__":
    parser = script.parser_of("paste", __doc__, runs=100)
    raise SystemExit(script.run("paste", TITLE, parser, measure))
