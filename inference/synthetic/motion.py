"""Networks of sound and motion.

They are arranged so that a mistake in feeding them shows: ``hubert`` gives the mean of its samples
as the first feature and ``lmdm`` hands the first number of a frame's condition through as the first
number of its motion. Samples that are constant within a video frame and rise from frame to frame
must therefore come out as motions whose first number rises in the same steps.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.checkpoint.networks import CONDITION, FACE_POINTS, MOTION, SPECS, Spec
from inference.engines.protocol import Tensor
from inference.synthetic import template
from inference.synthetic.graph import Graph, Name

Matrix = NDArray[Any]

FACE_IN_CROP = 0.8  # height of the face in the picture crop, whose coordinates run from -1 to 1
FACE_DOWN = 0.25  # how far below its middle
SCALE = 1.25
BIN_DEGREES, FIRST_DEGREES, BIN_SPREAD = 3.0, -97.5, 2.0
RATE_HZ, HOP, REACH = 16_000, 320, 400
BANDS_HZ = (250, 600, 1200, 2400, 4800)
LOUDNESS, FIRST_BAND, BANDS = 1, 2, len(BANDS_HZ)
SOUND = FIRST_BAND + BANDS  # features that say something; the rest are mixtures of them
FEATURES = 1024
POSE = slice(1, 199)
EXPRESSION = 202
LIPS, LIDS, EYES = (6, 12, 14, 17, 19, 20), (13, 16), (11, 15)


def save(folder: Path) -> None:
    """Write the four."""
    _motion_extractor(folder)
    _hubert(folder)
    _lmdm(folder)
    _stitch(folder)


def resting_key_points() -> Matrix:
    """(21, 3): of a face that looks ahead, before scale and shift."""
    points: Matrix = template.key_points() * FACE_IN_CROP / SCALE
    return points


def pose_logits(degrees: float) -> Matrix:
    """66 numbers whose softmax has the given mean; sections of 3 degrees from -97.5."""
    centre = (degrees - FIRST_DEGREES) / BIN_DEGREES
    logits: Matrix = -((np.arange(66) - centre) ** 2) / (2 * BIN_SPREAD**2)
    return logits


def _motion_extractor(folder: Path) -> None:
    """Pose and expression follow how light is spread over the picture."""
    graph = Graph(SPECS["motion_extractor"])
    grey = graph.op("ReduceMean", "image", axes=[1], keepdims=1)
    tiles = graph.op("AveragePool", grey, kernel_shape=[36, 28], strides=[36, 28])  # 7 x 9
    tiles = graph.op("Reshape", tiles, [1, 63])
    mean = graph.op("ReduceMean", tiles, axes=[1], keepdims=1)
    relief = graph.op("Sub", tiles, mean)
    rows, columns = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 9), indexing="ij")
    across, down = (
        graph.op("MatMul", relief, side.reshape(63, 1) / 63) for side in (columns, rows)
    )
    middle = -FIRST_DEGREES / BIN_DEGREES
    for name, lean, rest in (("pitch", down, 1.0), ("yaw", across, 0.0), ("roll", across, -0.5)):
        centre = graph.op("Add", graph.op("Mul", lean, 8.0), middle + rest)
        off = graph.op("Sub", np.arange(66.0).reshape(1, 66), centre)
        logits = graph.op("Mul", graph.op("Mul", off, off), -1 / (2 * BIN_SPREAD**2))
        graph.output(_output(graph.spec, name), logits)
    place = graph.op("Concat", across, down, np.zeros((1, 1)), axis=1)
    place = graph.op("Add", graph.op("Mul", place, 0.05), np.array([[0.0, FACE_DOWN, 0.0]]))
    graph.output(_output(graph.spec, "t"), place)
    graph.output(_output(graph.spec, "exp"), graph.op("Mul", relief, 0.01))
    size = graph.op("Add", graph.op("Mul", mean, 0.1), SCALE - 0.05)
    graph.output(_output(graph.spec, "scale"), size)
    points = graph.op("Add", graph.op("Mul", relief, 0.01), resting_key_points().reshape(1, 63))
    graph.output(_output(graph.spec, "kp"), points)
    graph.save(folder)


def _hubert(folder: Path) -> None:
    """Mean, loudness and five bands of each 20 ms, then mixtures of these."""
    graph = Graph(SPECS["hubert"])
    wave = graph.op("Unsqueeze", "input_values", [1])
    level = _windows(graph, wave, [np.ones(HOP) / HOP])
    loud = _windows(graph, graph.op("Abs", wave), [np.ones(HOP) / HOP])
    angle = 2 * np.pi * np.arange(HOP) / RATE_HZ * np.array(BANDS_HZ)[:, np.newaxis]
    parts = [_windows(graph, wave, list(wavelet(angle) * 2 / HOP)) for wavelet in (np.sin, np.cos)]
    squares = graph.op("Add", *(graph.op("Mul", part, part) for part in parts))
    bands = graph.op("Sqrt", squares)
    said = graph.op("Concat", level, loud, bands, axis=1)  # (1, 7, T)
    said = graph.op("Squeeze", graph.op("Transpose", said, perm=[0, 2, 1]), [0])
    mixed = graph.op("Tanh", graph.op("MatMul", said, _mixture(SOUND, FEATURES - SOUND)))
    features = graph.op("Concat", said, mixed, axis=1)
    graph.output(_output(graph.spec, "encoding_out"), features)
    graph.save(folder)


def _windows(graph: Graph, wave: Name, shapes: list[Matrix]) -> Name:
    """Every 320 samples weighed by each shape. The window is 400 long, as the real one's is."""
    weights = np.zeros((len(shapes), 1, REACH))
    weights[:, 0, :HOP] = shapes
    return graph.op("Conv", wave, weights, kernel_shape=[REACH], strides=[HOP])


def _lmdm(folder: Path) -> None:
    """Motion is a linear map of the condition, plus where the window started from."""
    graph = Graph(SPECS["lmdm"])
    used = [*range(SOUND), *range(FEATURES, CONDITION)]
    told = graph.op("Gather", "cond", used, axis=2)
    moved = graph.op("MatMul", told, _response())
    start = graph.op("Unsqueeze", "cond_frame", [1])
    keep = np.zeros(MOTION)
    keep[POSE], keep[199:202], keep[EXPRESSION:] = 0.5, 0.5, 1.0
    rest = 0.5 * _rest()
    kept = graph.op("Add", graph.op("Mul", start, keep), rest)
    shaken = np.zeros(MOTION)
    shaken[EXPRESSION:] = 0.0005  # what the noise leaves behind
    clean = graph.op("Add", moved, kept)
    clean = graph.op("Add", clean, graph.op("Mul", graph.op("Tanh", "x"), shaken))
    left = graph.op("Gather", _schedule(), "time_cond")
    signal, noise = graph.op("Sqrt", left), graph.op("Sqrt", graph.op("Sub", 1.0, left))
    guess = graph.op("Sub", "x", graph.op("Mul", clean, signal))
    graph.output(_output(graph.spec, "pred_noise"), graph.op("Div", guess, noise))
    graph.output(_output(graph.spec, "x_start"), clean)
    graph.save(folder)


def _response() -> Matrix:
    """What each number of the condition does to each number of the motion."""
    response = np.zeros((SOUND + CONDITION - FEATURES, MOTION))
    response[0, 0] = 1.0
    tilt = (np.arange(66) - 32.5) * 0.2
    for band, block in zip(range(FIRST_BAND, FIRST_BAND + 3), (1, 67, 133), strict=True):
        response[band, block : block + 66] = tilt
    response[FIRST_BAND + 3, 199:202] = (0.1, 0.05, 0.02)
    expression = response[:, EXPRESSION:].reshape(-1, FACE_POINTS, 3)
    for lip, (across, down) in _LIP_WAYS.items():
        expression[LOUDNESS, lip, 1] = down
        expression[FIRST_BAND + 4, lip, 0] = across
    emotions = expression[SOUND : SOUND + 8]
    for i in range(8):
        emotions[i, LIPS, 1] = 0.01 * np.cos(i + np.arange(len(LIPS)))
    lids, looks = expression[SOUND + 8 : SOUND + 10], expression[SOUND + 10 : SOUND + 16]
    lids[(0, 1), LIDS, 1] = -0.02
    for i in range(6):  # left and right of x, then y, then z
        looks[i, EYES[i % 2], i // 2] = 0.02
    response[SOUND + 16 :, EXPRESSION:] = 0.01 * np.eye(63)
    return response


# Where louder speech and its highest band take the points of the lips: right, down.
_LIP_WAYS = {
    6: (-0.2, 0.1),
    12: (0.2, 0.1),
    14: (0.0, -0.2),
    17: (-0.1, 1.2),
    19: (0.0, 1.5),
    20: (0.1, 1.2),
}


def _rest() -> Matrix:
    """Motion of a face that looks ahead."""
    motion = np.zeros(MOTION)
    motion[POSE] = np.tile(pose_logits(0.0), 3)
    motion[200] = FACE_DOWN
    return motion


def _schedule() -> Matrix:
    """What is left of the signal after each of 1000 steps: the cosine schedule of the sampler."""
    offset = 0.008
    steps = np.arange(1001) / 1000
    left = np.cos((steps + offset) / (1 + offset) * math.pi / 2) ** 2
    products: Matrix = np.cumprod(1 - np.clip(1 - left[1:] / left[:-1], 0, 0.999))
    return products


def _stitch(folder: Path) -> None:
    """The driven points, drawn a tenth of the way to where the source's are."""
    graph = Graph(SPECS["stitch_network"])
    away = graph.op("Sub", "kp_source", "kp_driving")
    middle = graph.op("ReduceMean", away, axes=[1], keepdims=1)
    drawn = graph.op("Mul", middle, np.array([0.1, 0.1, 0.0]))
    own = graph.op("Mul", graph.op("Tanh", away), 0.02)
    moved = graph.op("Add", graph.op("Add", "kp_driving", drawn), own)
    graph.output(_output(graph.spec, "out"), moved)
    graph.save(folder)


def _mixture(rows: int, columns: int) -> Matrix:
    """Numbers from -2 to 2 without pattern, the same on every machine."""
    return 2 * np.sin(np.arange(rows * columns, dtype=np.float64) ** 2).reshape(rows, columns)


def _output(spec: Spec, name: str) -> Tensor:
    return next(t for t in spec.outputs if isinstance(t, Tensor) and t.name == name)
