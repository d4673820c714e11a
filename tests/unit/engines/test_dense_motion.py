"""A graph of the published warp network's kind: its steps and shapes as they are known, small.

The features are thinned to 4 channels, repeated for 22 key points, sampled once for each, weighed
into one field by a softmax, and sampled again by that. Lengths are computed in the graph, as
exporters do, so they are not written anywhere near the nodes that sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from inference.checkpoint.networks import Spec
from inference.engines import grid_sample
from inference.engines.half import to_half
from inference.engines.protocol import Tensor
from inference.synthetic.graph import Graph, Name

POINTS, CHANNELS, DEPTH, SIDE = 22, 8, 4, 12
FLOAT = np.dtype(np.float32)
SPEC = Spec(
    "dense_motion",
    ("dense_motion",),
    (
        Tensor("feature_3d", FLOAT, (1, CHANNELS, DEPTH, SIDE, SIDE)),
        Tensor("moves", FLOAT, (1, POINTS, 3)),
    ),
    (Tensor("out", FLOAT, (1, CHANNELS * DEPTH, SIDE, SIDE)),),
)
SAMPLING = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 0}


def length(graph: Graph, value: Name, axis: int) -> Name:
    return graph.op("Gather", graph.op("Shape", value), [axis], axis=0)


def lengths(graph: Graph, *parts: Name | list[int]) -> Name:
    return graph.op("Concat", *parts, axis=0)


@pytest.fixture
def model(tmp_path: Any) -> onnx.ModelProto:
    rng = np.random.default_rng(13)
    graph = Graph(SPEC)
    weights = rng.standard_normal((4, CHANNELS, 1, 1, 1)) * 0.3
    thin = graph.op("Conv", "feature_3d", weights, kernel_shape=[1, 1, 1])
    sides = [length(graph, thin, axis) for axis in (2, 3, 4)]
    each = graph.op("Expand", thin, lengths(graph, [POINTS], [4], *sides))
    grid = graph.op("Add", places(), graph.op("Reshape", "moves", [POINTS, 1, 1, 1, 3]))
    grid = graph.op("Reshape", grid, lengths(graph, [-1], *sides, [3]))
    seen = graph.op("GridSample", each, grid, **SAMPLING)
    seen = graph.op("Reshape", seen, lengths(graph, [1], [POINTS], [4], *sides))
    mask = graph.op("Softmax", graph.op("ReduceMean", seen, axes=[2], keepdims=0), axis=1)
    spread = graph.op("Unsqueeze", mask, [5])
    field = graph.op("Reshape", grid, lengths(graph, [1], [POINTS], *sides, [3]))
    field = graph.op("ReduceSum", graph.op("Mul", field, spread), [1], keepdims=0)
    moved = graph.op("GridSample", "feature_3d", field, **SAMPLING)
    flat = graph.op("Reshape", moved, lengths(graph, [1], [CHANNELS * DEPTH], *sides[1:]))
    (out,) = SPEC.outputs
    assert isinstance(out, Tensor)
    graph.output(out, flat)
    graph.save(tmp_path)
    return onnx.load(tmp_path / "dense_motion.onnx")


def places() -> np.ndarray[Any, np.dtype[np.float64]]:
    z, y, x = np.meshgrid(
        *((2 * np.arange(n) + 1) / n - 1 for n in (DEPTH, SIDE, SIDE)), indexing="ij"
    )
    return np.stack([x, y, z], axis=-1)[np.newaxis]


def feeds() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(14)
    return {
        "feature_3d": rng.standard_normal((1, CHANNELS, DEPTH, SIDE, SIDE), np.float32),
        "moves": rng.uniform(-0.3, 0.3, (1, POINTS, 3)).astype(np.float32),
    }


def run(model: onnx.ModelProto) -> np.ndarray[Any, np.dtype[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    result: np.ndarray[Any, np.dtype[np.float32]] = session.run(None, feeds())[0]
    return result


def with_plugin(model: onnx.ModelProto) -> onnx.ModelProto:
    options: dict[str, Any] = {"interpolation_mode": 0, "padding_mode": 0, "align_corners": 0}
    for node in model.graph.node:
        if node.op_type == "GridSample":
            made = onnx.helper.make_node("GridSample3D", node.input, node.output, **options)
            node.CopyFrom(made)
    return model


@pytest.mark.parametrize("plugin", [False, True])
def test_both_samplings_are_rewritten(model: onnx.ModelProto, plugin: bool) -> None:
    wanted = run(model)
    if plugin:
        model = with_plugin(model)
    assert grid_sample.rewrite(model) == 2
    onnx.checker.check_model(model, full_check=True)
    assert np.abs(run(model) - wanted).max() < 1e-4


@pytest.mark.parametrize("plugin", [False, True])
def test_in_half_precision_too(model: onnx.ModelProto, plugin: bool) -> None:
    wanted = run(model)
    rough = to_half(with_plugin(model) if plugin else model)
    assert grid_sample.rewrite(rough) == 2
    onnx.checker.check_model(rough, full_check=True)
    assert np.abs(run(rough) - wanted).mean() < 0.02
