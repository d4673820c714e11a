"""ONNX Runtime: on an NVIDIA GPU where its CUDA provider truly loads, and on the CPU anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime

from inference.engines.errors import (
    FeedRejected,
    NetworkFailed,
    NetworkUnusable,
    RuntimeUnusable,
)
from inference.engines.precision import in_half
from inference.engines.prepare import FETCH_AGAIN, prepared
from inference.engines.protocol import (
    Array,
    Held,
    Network,
    Tensor,
    cast,
    check_names,
    check_shape,
)

Kind = Literal["cpu", "cuda"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_QUIET = 3  # errors come as exceptions; warnings only name optimisations
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
    """One user of a session. Sessions keep nothing between runs, so all users share one."""

    def __init__(
        self, path: Path, session: Any, device: tuple[Kind, int], released: Callable[[], None]
    ) -> None:
        self.name = path.stem
        self.inputs = tuple(_tensor(node, path) for node in session.get_inputs())
        self.outputs = tuple(_tensor(node, path) for node in session.get_outputs())
        self._session = session
        self._device = device
        self._released = released

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
            binding.bind_output(tensor.name, *(self._device if tensor.name in hold else ("cpu", 0)))
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            # ONNX Runtime's errors have no class in common
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
        if self._session is not None:
            self._session = None
            self._released()


class OnnxEngine:
    """ONNX Runtime on one kind of device."""

    def __init__(self, kind: Kind = "cpu", *, threads: int = 0, gpu: int = 0) -> None:
        """Nothing is loaded yet.

        Args:
            kind: the CPU, or CUDA with the networks in half precision that bear it.
            threads: of the CPU, for one run; 0: as many as there are cores.
            gpu: which one.
        """
        self.name = f"onnx-{kind}"
        self.device = "CPU" if kind == "cpu" else f"CUDA device {gpu}"
        self._kind: Kind = kind
        self._threads = threads
        self._gpu = gpu
        self._sessions: dict[Path, Any] = {}
        self._users: dict[Path, int] = {}

    def load(self, path: Path) -> Network:
        """See :class:`inference.engines.protocol.Engine`."""
        if path not in self._sessions:
            self._sessions[path] = self._open(path)
        device = (self._kind, self._gpu)
        network = OnnxNetwork(path, self._sessions[path], device, lambda: self._left(path))
        self._users[path] = self._users.get(path, 0) + 1
        return network

    def _left(self, path: Path) -> None:
        self._users[path] -= 1
        if not self._users[path]:
            self._sessions.pop(path, None)

    def _open(self, path: Path) -> Any:
        on_gpu = self._kind == "cuda"
        model = prepared(path, half=on_gpu and in_half(path.stem), volumes=not on_gpu)
        try:
            session = onnxruntime.InferenceSession(
                model or str(path), self._options(), providers=self._providers()
            )
        except Exception as error:
            raise NetworkUnusable(path, str(error), FETCH_AGAIN) from error
        used = session.get_providers()
        if on_gpu and used[0] != CUDA:
            # it goes on without a word: seen with a CUDA or cuDNN of another major version
            raise RuntimeUnusable(self.name, f"ONNX Runtime fell back to {used[0]}")
        return session

    def _options(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = _QUIET
        # threads that wait by turning in circles take the processor from encoder and web
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _providers(self) -> list[Any]:
        if self._kind == "cpu":
            return [CPU]
        options = {
            "device_id": self._gpu,
            # the default strategy takes twice what it needs, and sessions share the GPU
            "arena_extend_strategy": "kSameAsRequested",
            # else float32 is multiplied with ten bits, and the networks in it are those that mind
            "use_tf32": "0",
        }
        return [(CUDA, options), CPU]

    def memory_bytes(self) -> int | None:
        """See :class:`inference.engines.protocol.Engine`."""
        from inference.engines.gpu import memory_in_use

        return memory_in_use(self._gpu) if self._kind == "cuda" else None

    def close(self) -> None:
        """See :class:`inference.engines.protocol.Engine`."""
        self._sessions.clear()


def refusal(kind: Kind) -> str:
    """Why ONNX Runtime cannot be used on that kind of device, found by using it; "" if it can."""
    if kind == "cuda":
        available = onnxruntime.get_available_providers()
        if CUDA not in available:
            return (
                f"onnxruntime {onnxruntime.__version__} is built without CUDA; put "
                "onnxruntime-gpu in its place: pip uninstall onnxruntime, pip install "
                "onnxruntime-gpu"
            )
        with contextlib.suppress(Exception):
            onnxruntime.preload_dlls()  # CUDA from wheels is on no search path
    engine = OnnxEngine(kind)
    try:
        session = onnxruntime.InferenceSession(
            _nothing(), engine._options(), providers=engine._providers()
        )
        used = session.get_providers()[0]
        if used != (CUDA if kind == "cuda" else CPU):
            return f"its CUDA provider does not load and it fell back to {used}: {_LIBRARIES}"
        session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception as error:  # noqa: BLE001 - whatever comes, it cannot be used
        return f"{error!s:.300}"
    return ""


_LIBRARIES = "no NVIDIA driver, or CUDA and cuDNN of another major version than it was built for"


def _nothing() -> bytes:
    """A network that hands its input through."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "nothing", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return model


def _tensor(node: Any, path: Path) -> Tensor:
    if node.type not in _DTYPES:
        raise NetworkUnusable(path, f"{node.name} is {node.type}", FETCH_AGAIN)
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape)
    return Tensor(node.name, np.dtype(_DTYPES[node.type]), shape)
