"""ONNX Runtime: on an NVIDIA GPU where its CUDA provider truly loads, else on the CPU."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from inference.engines.errors import FeedRejected, NetworkFailed, NetworkUnusable
from inference.engines.protocol import Array, Held, Network, Tensor, cast, check_names, check_shape

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class OnnxHeld:
    """A value of ONNX Runtime that stayed on its device."""

    def __init__(self, value: Any) -> None:
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths."""
        return tuple(self.value.shape())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""
        return np.dtype(_DTYPES[self.value.data_type()])

    def fetch(self) -> Array:
        """A copy in the memory of this process."""
        copy: Array = np.array(self.value.numpy())
        return copy


class OnnxNetwork:
    """One use of a session; sessions may be shared, they keep nothing between runs."""

    def __init__(self, name: str, session: Any, device: str) -> None:
        self.name = name
        self.inputs = tuple(_tensor(node, name) for node in session.get_inputs())
        self.outputs = tuple(_tensor(node, name) for node in session.get_outputs())
        self._session = session
        self._device = device

    def run(
        self, feeds: Mapping[str, Array | Held], hold: Collection[str] = ()
    ) -> dict[str, Array | Held]:
        """See :class:`inference.engines.protocol.Network`."""
        if self._session is None:
            raise FeedRejected(self.name, "was released")
        check_names(self.name, self.inputs, feeds)
        binding = self._session.io_binding()
        for tensor in self.inputs:
            self._bind(binding, tensor, feeds[tensor.name])
        for tensor in self.outputs:
            binding.bind_output(tensor.name, self._device if tensor.name in hold else "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            # ONNX Runtime has no class of its own for all of its errors
            raise NetworkFailed(self.name, str(error)) from error
        values = zip(self.outputs, binding.get_outputs(), strict=True)
        return {
            tensor.name: OnnxHeld(value) if tensor.name in hold else value.numpy()
            for tensor, value in values
        }

    def _bind(self, binding: Any, tensor: Tensor, value: Array | Held) -> None:
        if isinstance(value, OnnxHeld):
            check_shape(self.name, tensor, value.shape)
            binding.bind_ortvalue_input(tensor.name, value.value)
        else:
            given = value if isinstance(value, np.ndarray) else value.fetch()
            binding.bind_cpu_input(tensor.name, cast(self.name, tensor, given))

    def release(self) -> None:
        """See :class:`inference.engines.protocol.Network`."""
        self._session = None


class OnnxEngine:
    """ONNX Runtime on the CPU."""

    name = "onnx-cpu"
    device = "cpu"

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads
        self._sessions: dict[Path, Any] = {}

    def load(self, path: Path) -> Network:
        """See :class:`inference.engines.protocol.Engine`."""
        if path not in self._sessions:
            self._sessions[path] = self._open(path)
        return OnnxNetwork(path.stem, self._sessions[path], self.device)

    def _open(self, path: Path) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = (
            3  # errors come as exceptions; warnings name only optimisations
        )
        try:
            return onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise NetworkUnusable(path, str(error), "fetch the file again") from error

    def memory_bytes(self) -> int | None:
        """See :class:`inference.engines.protocol.Engine`."""
        return None

    def close(self) -> None:
        """See :class:`inference.engines.protocol.Engine`."""
        self._sessions.clear()


def _tensor(node: Any, network: str) -> Tensor:
    if node.type not in _DTYPES:
        raise NetworkUnusable(Path(network), f"{node.name} is {node.type}", "fetch it again")
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape)
    return Tensor(node.name, np.dtype(_DTYPES[node.type]), shape)
