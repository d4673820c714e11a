"""Sampling of volumes by sampling of pictures: the same numbers, by two independent judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from inference.checkpoint.networks import SPECS, Spec
from inference.engines import grid_sample
from inference.engines.errors import GraphUnsupported
from inference.engines.half import to_half

Floats = NDArray[np.float32]
PLUGIN: dict[str, Any] = {"interpolation_mode": 0, "padding_mode": 0, "align_corners": 0}
STOCK: dict[str, Any] = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 0}


def model_of(
    volume: tuple[int, ...],
    grid: tuple[int, ...],
    kind: str = "GridSample",
    options: dict[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    node = helper.make_node(
        kind, ["volume", "grid"], ["sampled"], "sample", **(STOCK if options is None else options)
    )
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("volume", volume), ("grid", grid))
    ]
    shape = [*volume[:2], *grid[1:-1]]
    output = helper.make_tensor_value_info("sampled", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "g", inputs, [output])
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(model: onnx.ModelProto, **feeds: Floats) -> Floats:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    result: Floats = session.run(None, feeds)[0]
    return result


def by_formula(volume: Floats, grid: Floats) -> Floats:
    """Trilinear, zeros outside, the corners those of the outermost cells: point by point."""
    batch, channels, *lengths = volume.shape
    padded = np.pad(volume.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1), (1, 1)))
    flat = grid.reshape(batch, -1, 3).astype(np.float64)
    result = np.zeros((batch, channels, flat.shape[1]))
    for n in range(batch):
        for i, (x, y, z) in enumerate(flat[n]):
            places = [((c + 1) * m - 1) / 2 for c, m in zip((z, y, x), lengths, strict=True)]
            for corner in np.ndindex(2, 2, 2):
                share, at = 1.0, []
                for place, side, length in zip(places, corner, lengths, strict=True):
                    low = int(np.floor(place))
                    share *= (place - low) if side else 1 - (place - low)
                    at.append(min(max(low + side, -1), length) + 1)  # the padding is zero
                result[n, :, i] += share * padded[n, :, at[0], at[1], at[2]]
    return result.reshape(batch, channels, *grid.shape[1:-1]).astype(np.float32)


CASES = [
    ((1, 2, 3, 4, 5), (1, 2, 3, 4, 3)),
    ((2, 3, 1, 6, 2), (2, 4, 1, 5, 3)),
    ((1, 1, 5, 1, 1), (1, 1, 1, 64, 3)),
    ((1, 4, 16, 16, 16), (1, 6, 5, 4, 3)),
]


@pytest.mark.parametrize(("volume", "grid"), CASES)
@pytest.mark.parametrize("reach", [0.9, 1.6, 40.0])
def test_equals_both_judges(volume: tuple[int, ...], grid: tuple[int, ...], reach: float) -> None:
    """Inside, over the edges, and far outside."""
    rng = np.random.default_rng(3)
    feeds = {
        "volume": rng.standard_normal(volume, np.float32),
        "grid": rng.uniform(-reach, reach, grid).astype(np.float32),
    }
    model = model_of(volume, grid)
    native = run(model, **feeds)
    assert grid_sample.rewrite(model) == 1
    assert "sample" not in {node.name for node in model.graph.node}
    onnx.checker.check_model(model, full_check=True)
    ours = run(model, **feeds)
    assert np.abs(ours - by_formula(**feeds)).max() < 1e-4
    assert np.abs(ours - native).max() < 1e-4


def test_cell_middles_give_the_volume_itself() -> None:
    volume = np.random.default_rng(4).standard_normal((1, 2, 4, 6, 8), np.float32)
    axes = [(2 * np.arange(n) + 1) / n - 1 for n in (4, 6, 8)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    grid = np.stack([x, y, z], axis=-1)[np.newaxis].astype(np.float32)
    model = model_of(volume.shape, grid.shape)
    grid_sample.rewrite(model)
    assert np.abs(run(model, volume=volume, grid=grid) - volume).max() < 1e-5


def test_edges_fade_to_zero_over_half_a_cell() -> None:
    """Half-way between a border cell's middle and its neighbour outside there is half of it."""
    volume = np.ones((1, 1, 2, 2, 2), np.float32)
    model = model_of(volume.shape, (1, 1, 1, 3, 3))
    grid_sample.rewrite(model)
    grid = np.array([[-1, 0, 0], [0, -1, 0], [0, 0, -1]], np.float32).reshape(1, 1, 1, 3, 3)
    assert run(model, volume=volume, grid=grid).ravel() == pytest.approx([0.5] * 3)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e30])
def test_points_at_no_place_are_zero(bad: float) -> None:
    volume = np.ones((1, 1, 2, 2, 2), np.float32)
    model = model_of(volume.shape, (1, 1, 1, 1, 3))
    grid_sample.rewrite(model)
    for axis in (1, 2):
        grid = np.zeros((1, 1, 1, 1, 3), np.float32)
        grid[..., axis] = bad
        assert run(model, volume=volume, grid=grid).ravel() == [0.0]


def test_as_large_as_the_real_one() -> None:
    """32 channels of 16 x 64 x 64: the rounding of the tall picture's coordinates shows here."""
    rng = np.random.default_rng(5)
    volume = rng.standard_normal((1, 32, 16, 64, 64), np.float32)
    grid = rng.uniform(-1.1, 1.1, (1, 4, 64, 64, 3)).astype(np.float32)
    model = model_of(volume.shape, grid.shape)
    native = run(model, volume=volume, grid=grid)
    grid_sample.rewrite(model)
    off = np.abs(run(model, volume=volume, grid=grid) - native)
    assert off.max() < 1e-3
    assert off.mean() < 2e-5


def test_the_plugins_node_is_the_same() -> None:
    rng = np.random.default_rng(6)
    shapes = ((1, 2, 3, 4, 5), (1, 2, 3, 4, 3))
    feeds = {
        "volume": rng.standard_normal(shapes[0], np.float32),
        "grid": rng.uniform(-1.2, 1.2, shapes[1]).astype(np.float32),
    }
    native = run(model_of(*shapes), **feeds)
    custom = model_of(*shapes, kind="GridSample3D", options=PLUGIN)
    with pytest.raises(Exception, match="GridSample3D"):
        run(custom, **feeds)  # what ONNX Runtime says to it
    assert grid_sample.rewrite(custom) == 1
    assert np.abs(run(custom, **feeds) - native).max() < 1e-5
    only_named = model_of(*shapes, kind="GridSample3D", options=PLUGIN)
    assert grid_sample.standardise(only_named) == 1
    assert np.array_equal(run(only_named, **feeds), native)


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("GridSample3D", PLUGIN | {"interpolation_mode": 1}, "mode is nearest"),
        ("GridSample3D", PLUGIN | {"padding_mode": 2}, "padding_mode is reflection"),
        ("GridSample3D", PLUGIN | {"align_corners": 1}, "align_corners is 1"),
        (
            "GridSample3D",
            PLUGIN | {"interpolation_mode": 2},
            "interpolation_mode is 2, known are",
        ),
        ("GridSample3D", PLUGIN | {"padding_mode": -1}, "padding_mode is -1, known are 0 to 2"),
        ("GridSample", STOCK | {"padding_mode": "border"}, "padding_mode is border"),
    ],
)
def test_other_kinds_are_refused(kind: str, options: dict[str, Any], told: str) -> None:
    model = model_of((1, 1, 2, 2, 2), (1, 1, 1, 1, 3), kind, options)
    with pytest.raises(GraphUnsupported, match=told):
        grid_sample.rewrite(model)


def test_sampling_of_pictures_is_left_alone() -> None:
    model = model_of((1, 1, 4, 4), (1, 2, 2, 2))
    before = model.SerializeToString()
    assert grid_sample.rewrite(model) == 0
    assert model.SerializeToString() == before


def test_the_newer_names_of_opset_20() -> None:
    model = model_of((1, 1, 2, 2, 2), (1, 1, 1, 1, 3), options=STOCK | {"mode": "linear"}, opset=20)
    assert grid_sample.rewrite(model) == 1


@pytest.mark.parametrize("kind", ["GridSample", "GridSample3D"])
def test_one_after_the_other_as_in_the_warp_network(kind: str) -> None:
    """The second samples at points that the first one gave, of lengths known only in a run."""
    shapes = (1, 3, 4, 5, 6), (1, 4, 5, 6, 3)
    model = model_of(*shapes)
    turn = helper.make_node("Transpose", ["sampled"], ["turned"], perm=[0, 2, 3, 4, 1])
    lengths = np.array(shapes[1], np.float32)
    model.graph.initializer.append(numpy_helper.from_array(lengths, "lengths"))
    count = helper.make_node("Cast", ["lengths"], ["whole"], to=TensorProto.INT64)
    shape = helper.make_node("Reshape", ["turned", "whole"], ["points"])
    again = helper.make_node("GridSample", ["volume", "points"], ["twice"])
    model.graph.node.extend([turn, count, shape, again])
    model.graph.output[0].name = "twice"
    rng = np.random.default_rng(7)
    feeds = {
        "volume": rng.standard_normal(shapes[0], np.float32),
        "grid": rng.uniform(-1.2, 1.2, shapes[1]).astype(np.float32),
    }
    native = run(model, **feeds)
    assert "points" not in dict(grid_sample._inferred(model))
    if kind == "GridSample3D":
        for node in model.graph.node:
            if node.op_type == "GridSample":
                node.CopyFrom(helper.make_node(kind, node.input, node.output, **PLUGIN))
    assert grid_sample.rewrite(model) == 2
    assert np.abs(run(model, **feeds) - native).max() < 1e-4


def test_lengths_that_are_not_fixed_are_told() -> None:
    model = model_of((1, 1, 2, 2, 2), (1, 1, 1, 1, 3))
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_param = "n"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "n"
    with pytest.raises(GraphUnsupported, match="no fixed lengths"):
        grid_sample.rewrite(model)


def test_half_precision_leaves_the_sampling_exact(folder: Path) -> None:
    """Rounded coordinates would show as errors of a whole cell, not of a thousandth."""
    model = onnx.load(folder / "ditto_onnx" / "warp_network_ori.onnx")
    rng = np.random.default_rng(8)
    feeds = {
        t.name: rng.uniform(-0.4, 0.4, [n or 1 for n in t.shape]).astype(np.float32)
        for t in SPECS["warp_network"].inputs
    }
    exact = run(model, **feeds)
    rough = to_half(model)
    assert grid_sample.rewrite(rough) == 1
    kinds = {t.name: t.data_type for t in rough.graph.initializer}
    marked = [n for n in rough.graph.node if grid_sample.MARK in n.name]
    inside = [name for node in marked for name in node.input if name in kinds]
    assert TensorProto.FLOAT16 not in {kinds[name] for name in inside}
    assert TensorProto.FLOAT16 in kinds.values()
    assert {i.type.tensor_type.elem_type for i in rough.graph.input} == {TensorProto.FLOAT}
    off = np.abs(run(rough, **feeds) - exact)
    assert off.max() < 0.02
    assert off.mean() < 1e-3


def test_true_half_precision_is_lost_in_values_not_in_places() -> None:
    """ONNX's own evaluator computes in float16 where the graph says so; a runtime may not."""
    rng = np.random.default_rng(12)
    shapes = (1, 1, 16, 64, 4), (1, 1, 5, 6, 3)
    model = model_of(*shapes)
    model.graph.node[0].input[0] = "doubled"
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.float32), "two"))
    model.graph.node.insert(0, helper.make_node("Mul", ["volume", "two"], ["doubled"]))
    feeds = {
        "volume": rng.standard_normal(shapes[0], np.float32),
        "grid": rng.choice(np.arange(-64, 64, dtype=np.float32) / 64, shapes[1]),  # float16 has it
    }
    wanted = run(model, **feeds)
    rough = to_half(model)
    grid_sample.rewrite(rough)
    modes = [a for node in rough.graph.node for a in node.attribute if a.name == "mode"]
    assert [mode.s for mode in modes] == [b"bilinear"] * 2
    for mode in modes:
        mode.s = b"linear"  # its name from opset 20 on; the evaluator knows no other
    results: Any = ReferenceEvaluator(rough).run(None, feeds)
    found = results[0]
    assert 0 < np.abs(found - wanted).max() < 0.01  # a row off would be of the order of 1


def test_a_file_is_searched_without_being_parsed(folder: Path, tmp_path: Path) -> None:
    networks = folder / "ditto_onnx"
    found = {p.stem for p in networks.iterdir() if grid_sample.mentions(p)}
    assert found == {"warp_network_ori"}
    empty = tmp_path / "empty.onnx"
    empty.touch()
    assert not grid_sample.mentions(empty)


@pytest.mark.parametrize(
    "spec", [s for s in SPECS.values() if not s.fp32], ids=lambda spec: spec.name
)
def test_every_network_in_half_precision_is_near_the_exact_one(folder: Path, spec: Spec) -> None:
    path = folder / "ditto_onnx" / f"{spec.stems[0]}.onnx"
    rng = np.random.default_rng(11)
    feeds = {
        t.name: rng.uniform(0, 0.9, [n or 1 for n in t.shape]).astype(np.float32)
        for t in spec.inputs
    }
    model = to_half(onnx.load(path))
    grid_sample.rewrite(model)
    onnx.checker.check_model(model, full_check=True)
    exact = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rough = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for wanted, found in zip(exact.run(None, feeds), rough.run(None, feeds), strict=True):
        assert found.dtype == wanted.dtype
        assert np.abs(found - wanted).mean() <= 2e-2 * np.sqrt((wanted**2).mean())
