"""Sampling of volumes, rewritten into sampling of pictures, which every runtime has.

The warp network samples volumes at points (GridSample of five dimensions). TensorRT samples only
pictures; ONNX Runtime's CUDA provider samples volumes only from opset 20 on; and one of the two
published files asks for it as ``GridSample3D``, a plugin of TensorRT 8. This takes either out.

The slices of a volume are laid out below each other as one tall picture, with a row of zeros above
and below each. A point between two slices is then the weighted sum of two samples of that picture:

    sum over k of w_k * GridSample(picture, (x, row of y in slice floor(z) + k))

which is the same as the trilinear sample with zeros outside, up to the rounding of coordinates: in
float32, where the tall picture's row has to carry slice and place. It must stay float32.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from inference.engines.errors import GraphUnsupported
from inference.engines.protocol import Array

CUSTOM = "GridSample3D"
STANDARD = "GridSample"
# Every node that is made has this in its name: a network in half precision leaves these out.
MARK = "/GridSampleVolume/"

Shapes = dict[str, tuple[int, ...]]


def mentions(path: Path) -> bool:
    """Whether the file has such nodes at all; large files need not be parsed to know.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(STANDARD.encode()) >= 0


def rewrite(model: onnx.ModelProto) -> int:
    """Replace every sampling of volumes in the graph; answers how many there were.

    Raises:
        GraphUnsupported: other than bilinear, zeros outside, align_corners off; or the lengths are
            not fixed.
    """
    standardise(model)
    samples = [node for node in model.graph.node if node.op_type == STANDARD]
    if not samples:
        return 0
    shapes = _shapes(model, {name for node in samples for name in node.input})
    volumes = [node for node in samples if len(shapes[node.input[1]]) == 5]
    for node in volumes:
        _check(node)
        made = _Sampling(model, node, shapes)
        at = list(model.graph.node).index(node)
        model.graph.node.remove(node)
        for offset, new in enumerate(made.nodes):
            model.graph.node.insert(at + offset, new)
    return len(volumes)


def standardise(model: onnx.ModelProto) -> int:
    """Replace the plugin's nodes by standard ones, which ONNX Runtime's CPU provider can run.

    Answers how many there were.

    Raises:
        GraphUnsupported: one has a mode that the plugin does not have.
    """
    custom = [node for node in model.graph.node if node.op_type == CUSTOM]
    for node in custom:
        _standardise(node)
    return len(custom)


def _standardise(node: onnx.NodeProto) -> None:
    """Its numbers have names there."""
    given = _attributes(node)
    named = {
        "mode": _named(node, given, "interpolation_mode", ("bilinear", "nearest")),
        "padding_mode": _named(node, given, "padding_mode", ("zeros", "border", "reflection")),
        "align_corners": int(given.get("align_corners", 0)),
    }
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(key, value) for key, value in named.items())
    node.op_type, node.domain = STANDARD, ""


def _named(
    node: onnx.NodeProto, given: dict[str, Any], attribute: str, names: tuple[str, ...]
) -> str:
    number = int(given.get(attribute, 0))
    if number not in range(len(names)):
        raise GraphUnsupported(
            node.name or node.output[0],
            f"{attribute} is {number}, known are 0 to {len(names) - 1}: {', '.join(names)}",
        )
    return names[number]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def _check(node: onnx.NodeProto) -> None:
    given = _attributes(node)
    wanted = {"mode": ("bilinear", "linear"), "padding_mode": ("zeros",), "align_corners": (0,)}
    defaults = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 0}
    for name, allowed in wanted.items():
        value = given.get(name, defaults[name])
        if value not in allowed:
            raise GraphUnsupported(
                node.name or node.output[0],
                f"{name} is {value}, only {allowed[0]} can be rewritten",
            )


def _shapes(model: onnx.ModelProto, names: set[str]) -> Shapes:
    """The lengths of these values: as inferred, else as seen in a run with zeros on the CPU."""
    found = dict(_inferred(model))
    missing = sorted(names - found.keys())
    if missing:
        found |= _seen(model, missing)
    return found


def _inferred(model: onnx.ModelProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and all(dim.HasField("dim_value") for dim in dims):
            yield value.name, tuple(dim.dim_value for dim in dims)
    for constant in graph.initializer:
        yield constant.name, tuple(constant.dims)


def _seen(model: onnx.ModelProto, names: list[str]) -> Shapes:
    """ONNX's inference gives up on volumes; ONNX Runtime's CPU provider can run them."""
    import onnxruntime

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        session = onnxruntime.InferenceSession(
            probe.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        feeds = {node.name: _zeros(node) for node in session.get_inputs()}
        values: list[Array] = session.run(names, feeds)
    except Exception as error:
        raise GraphUnsupported(names[0], f"its lengths are not known: {error}") from error
    return {name: value.shape for name, value in zip(names, values, strict=True)}


def _zeros(node: Any) -> Array:
    lengths = [n for n in node.shape if isinstance(n, int)]
    if len(lengths) != len(node.shape) or node.type != "tensor(float)":
        raise GraphUnsupported(node.name, f"is {node.type}{node.shape}, of no fixed lengths")
    return np.zeros(lengths, np.float32)


class _Sampling:
    """The nodes in place of one sampling of a volume."""

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto, shapes: Shapes) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._model = model
        self._prefix = f"{node.name or node.output[0]}{MARK}"
        volume, grid = node.input
        batch, channels, depth, height, width = shapes[volume]
        _batch, *places, _three = shapes[grid]
        flat = [batch, places[0], places[1] * places[2]]
        tall = height + 2
        picture = self._op("Pad", volume, _whole([0, 0, 0, 1, 0, 0, 0, 0, 1, 0]))
        picture = self._op("Reshape", picture, _whole([batch, channels, depth * tall, width]))
        x, y, z = self._ops("Split", 3, grid, _whole([1, 1, 1]), axis=-1)
        down = self._op("Clip", self._pixels(y, height), _real(-1), _real(height))
        deep = self._op("Clip", self._pixels(z, depth), _real(-2), _real(depth + 1))
        first = self._op("Floor", deep)
        towards = self._op("Sub", deep, first)
        away = self._op("Sub", _real(1), towards)
        second = self._op("Add", first, _real(1))
        parts = []
        for slice_, weight in ((first, away), (second, towards)):
            nearest = self._op("Clip", slice_, _real(0), _real(depth - 1))
            row = self._op("Add", self._op("Mul", nearest, _real(tall)), down)
            # the row's middle, from -1 to 1 over the whole picture; its first row is one of zeros
            up = self._op("Mul", self._op("Add", row, _real(1.5)), _real(2 / (depth * tall)))
            at = self._op("Concat", x, self._op("Sub", up, _real(1)), axis=-1)
            at = self._op("Reshape", at, _whole([*flat, 2]))
            sample = self._op(
                "GridSample", picture, at, mode="bilinear", padding_mode="zeros", align_corners=0
            )
            share = self._op("Mul", weight, self._inside(slice_, nearest))
            share = self._op("Reshape", share, _whole([batch, 1, *flat[1:]]))
            parts.append(self._op("Mul", sample, share))
        both = self._op("Add", *parts)
        self._op("Reshape", both, _whole([batch, channels, *places]), result=node.output[0])

    def _pixels(self, coordinate: str, length: int) -> str:
        """From -1 to 1 over the edges, to the index of a place."""
        scaled = self._op("Mul", coordinate, _real(length / 2))
        return self._op("Add", scaled, _real((length - 1) / 2))

    def _inside(self, slice_: str, nearest: str) -> str:
        """1 where the slice exists, else 0: whole numbers that differ do so by 1 or more."""
        off = self._op("Abs", self._op("Sub", slice_, nearest))
        return self._op("Sub", _real(1), self._op("Min", off, _real(1)))

    def _op(self, kind: str, *inputs: str | Array, result: str = "", **options: Any) -> str:
        return self._ops(kind, 1, *inputs, result=result, **options)[0]

    def _ops(
        self, kind: str, count: int, *inputs: str | Array, result: str = "", **options: Any
    ) -> list[str]:
        name = f"{self._prefix}{len(self.nodes)}"
        outputs = [result or f"{name}_{i}" for i in range(count)]
        given = [
            value if isinstance(value, str) else self._constant(f"{name}_in{i}", value)
            for i, value in enumerate(inputs)
        ]
        self.nodes.append(helper.make_node(kind, given, outputs, name, **options))
        return outputs

    def _constant(self, name: str, value: Array) -> str:
        self._model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def _real(value: float) -> Array:
    return np.array(value, np.float32)


def _whole(values: list[int]) -> Array:
    return np.array(values, np.int64)
