"""Networks of pictures: the crop is cut into blocks of 2 x 2 pixels, moved, and put together again.

With the key points of the source as those of the drive the decoder gives the crop back, at half its
resolution: a frame takes a few milliseconds of any CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inference.checkpoint.networks import SPECS, Spec
from inference.engines.protocol import Tensor
from inference.synthetic.graph import Graph, Name

CELLS = 64  # places of the features, across and down
BLOCK = 2  # pixels to each place, across and down; they become the first slices of the depth
SHRINK = 2  # from the crop of 256
DEPTH = BLOCK**2
SPREAD = 0.22  # how far a key point takes its surroundings with it; the crop is 2 wide
REST = 0.15  # weight of what does not move
LIGHT = 0.6  # a point that comes nearer is lighter


def save(folder: Path) -> None:
    """Write the three."""
    _appearance_extractor(folder)
    _warp(folder)
    _decoder(folder)


def _appearance_extractor(folder: Path) -> None:
    """Colour becomes the channel, the place within the block becomes the depth."""
    graph = Graph(SPECS["appearance_extractor"])
    sides = [SHRINK, SHRINK]
    small = graph.op("AveragePool", "image", kernel_shape=sides, strides=sides)
    blocks = graph.op("Reshape", small, [1, 3, CELLS, BLOCK, CELLS, BLOCK])
    deep = graph.op("Transpose", blocks, perm=[0, 1, 3, 5, 2, 4])
    volume = graph.op("Reshape", deep, [1, 3, DEPTH, CELLS, CELLS])
    padded = graph.op("Pad", volume, [0, 0, 0, 0, 0, 0, 29, 16 - DEPTH, 0, 0])
    graph.output(_only(graph.spec), padded)
    graph.save(folder)


def _warp(folder: Path) -> None:
    """Each place looks where the key points near it came from."""
    graph = Graph(SPECS["warp_network"])
    weights = _weights(graph)
    moves = graph.op("Sub", "kp_source", "kp_driving")
    flow = graph.op("MatMul", weights, moves)  # (1, 4096, 3)
    across, down, nearer = graph.ops("Split", 3, flow, [1, 1, 1], axis=2)
    flat = graph.op("Concat", across, down, np.zeros((1, CELLS**2, 1)), axis=2)
    flat = graph.op("Reshape", flat, [1, 1, CELLS, CELLS, 3])
    grid = graph.op("Add", flat, _places())
    colours = graph.op("Slice", "feature_3d", [0, 0], [3, DEPTH], [1, 2])
    moved = graph.op(
        "GridSample", colours, grid, mode="bilinear", padding_mode="zeros", align_corners=0
    )
    blocks = graph.op("Reshape", moved, [1, 3 * DEPTH, CELLS, CELLS])
    light = graph.op("Reshape", graph.op("Mul", nearer, LIGHT), [1, 1, CELLS, CELLS])
    both = graph.op("Concat", blocks, light, axis=1)
    rest = 256 - 3 * DEPTH - 1
    graph.output(_only(graph.spec), graph.op("Pad", both, [0, 0, 0, 0, 0, rest, 0, 0]))
    graph.save(folder)


def _weights(graph: Graph) -> Name:
    """How much each driven key point has to say at each place: (1, 4096, 21)."""
    points = graph.op("Transpose", "kp_driving", perm=[0, 2, 1])
    x, y, _z = graph.ops("Split", 3, points, [1, 1, 1], axis=1)
    line = _ramp(CELLS)
    off_x = graph.op("Sub", np.tile(line, CELLS).reshape(1, -1, 1), x)
    off_y = graph.op("Sub", np.repeat(line, CELLS).reshape(1, -1, 1), y)
    squares = graph.op("Add", graph.op("Mul", off_x, off_x), graph.op("Mul", off_y, off_y))
    near = graph.op("Exp", graph.op("Mul", squares, -1 / (2 * SPREAD**2)))
    total = graph.op("ReduceSum", near, [2], keepdims=1)
    return graph.op("Div", near, graph.op("Add", total, REST))


def _places() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Where each place of the volume itself is: (1, 4, 64, 64, 3), x, y, z."""
    z, y, x = np.meshgrid(_ramp(DEPTH), _ramp(CELLS), _ramp(CELLS), indexing="ij")
    return np.stack([x, y, z], axis=-1)[np.newaxis]


def _ramp(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Middles of ``count`` sections from -1 to 1."""
    return (2 * np.arange(count) + 1) / count - 1


def _decoder(folder: Path) -> None:
    graph = Graph(SPECS["decoder"])
    colours = graph.op("Slice", "feature", [0], [3 * DEPTH], [1])
    light = graph.op("Slice", "feature", [3 * DEPTH], [3 * DEPTH + 1], [1])
    lit = graph.op("Mul", colours, graph.op("Add", light, 1.0))
    small = graph.op("DepthToSpace", lit, blocksize=BLOCK, mode="CRD")
    scales = np.array([1.0, 1.0, 2.0 * SHRINK, 2.0 * SHRINK])
    large = graph.op("Resize", small, "", scales, mode="linear")
    graph.output(_only(graph.spec), graph.op("Clip", large, 0.0, 1.0))
    graph.save(folder)


def _only(spec: Spec) -> Tensor:
    (tensor,) = spec.outputs
    assert isinstance(tensor, Tensor)
    return tensor
