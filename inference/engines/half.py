"""Half precision, written into the graph: TensorRT 11 takes it from nowhere else."""

from __future__ import annotations

import onnx
from onnxruntime.transformers.float16 import (
    DEFAULT_OP_BLOCK_LIST,
    convert_float_to_float16,
)
from onnxruntime.transformers.onnx_model import OnnxModel

from inference.engines import grid_sample


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in float16, its inputs and outputs still float32.

    Sampling stays float32, also when :func:`grid_sample.rewrite` comes after this: a row of its
    tall picture has more digits than float16 holds.
    """
    grid_sample.standardise(model)
    exact = [*DEFAULT_OP_BLOCK_LIST, grid_sample.STANDARD]
    converted: onnx.ModelProto = convert_float_to_float16(
        model, keep_io_types=True, op_block_list=exact
    )
    # it puts its casts at the end, and ONNX wants every node behind those it needs
    OnnxModel(converted).topological_sort(is_deterministic=True)
    return converted
