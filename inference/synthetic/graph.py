"""Building small ONNX graphs by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inference.checkpoint.networks import Spec
from inference.engines.protocol import Tensor

OPSET = 17  # of the published files
PRODUCER = "lipstream synthetic"
Name = str


class Graph:
    """A graph in the making; every method that adds a node answers the name of its value."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def constant(self, value: NDArray[Any] | float | list[int]) -> Name:
        """A value of the graph: floats become float32, lists of integers int64."""
        array = np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def op(
        self, kind: str, *inputs: Name | NDArray[Any] | float | list[int], **options: Any
    ) -> Name:
        """One node with one output; values that are no names become constants."""
        return self.ops(kind, 1, *inputs, **options)[0]

    def ops(
        self,
        kind: str,
        outputs: int,
        *inputs: Name | NDArray[Any] | float | list[int],
        **options: Any,
    ) -> list[Name]:
        """One node with several outputs."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        made = [f"v{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, names, made, made[0], **options))
        return made

    def output(self, tensor: Tensor, value: Name) -> None:
        """Declare ``value`` an output."""
        self._nodes.append(helper.make_node("Identity", [value], [tensor.name]))
        self._outputs.append(_info(tensor))

    def save(self, folder: Path) -> None:
        """Write ``<stem>.onnx``."""
        inputs = [_info(tensor) for tensor in self.spec.inputs]
        graph = helper.make_graph(
            self._nodes, self.spec.name, inputs, self._outputs, self._constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=8,  # that of opset 17
            producer_name=PRODUCER,
        )
        onnx.save(model, folder / f"{self.spec.stems[0]}.onnx")


def _info(tensor: Tensor) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
    assert kind in (TensorProto.FLOAT, TensorProto.INT64)
    shape = [f"{tensor.name}_{i}" if n is None else n for i, n in enumerate(tensor.shape)]
    return helper.make_tensor_value_info(tensor.name, kind, shape)
