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
    Kept,
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


class OnnxKept(OnnxHeld):
    """A value that was brought to the device."""

    def __init__(self, value: Any, released: Callable[[OnnxKept], None]) -> None:
        super().__init__(value)
        self._released = released

    def release(self) -> None:
        """See :class:`inference.engines.protocol.Kept`."""
        if self.value is not None:
            self.value = None
            self._released(self)


class OnnxNetwork:
    """One user of a session. Sessions keep nothing between runs, so all users share one."""

    def __init__(
        self,
        path: Path,
        session: Any,
        device: tuple[Kind, int],
        released: Callable[[OnnxNetwork], None],
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
            if value.value is None:
                raise FeedRejected(self.name, f"{tensor} was given a value that was released")
            check_shape(self.name, tensor, value.shape)
            binding.bind_ortvalue_input(tensor.name, value.value)
        else:
            given = value if isinstance(value, np.ndarray) else value.fetch()
            binding.bind_cpu_input(tensor.name, cast(self.name, tensor, given))

    def release(self) -> None:
        """See :class:`inference.engines.protocol.Network`."""
        if self._session is not None:
            self._session = None
            self._released(self)


class OnnxEngine:
    """ONNX Runtime on one kind of device."""

    memory_from_anywhere = True  # it is nvidia-smi, or the kernel, who tells

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
        self._networks: dict[OnnxNetwork, Path] = {}  # that were not released
        self._uploads: set[OnnxKept] = set()

    def load(self, path: Path) -> Network:
        """See :class:`inference.engines.protocol.Engine`."""
        if path not in self._sessions:
            self._sessions[path] = self._open(path)
        device = (self._kind, self._gpu)
        network = OnnxNetwork(path, self._sessions[path], device, self._left)
        self._networks[network] = path
        return network

    def _left(self, network: OnnxNetwork) -> None:
        path = self._networks.pop(network)
        if path not in self._networks.values():
            self._sessions.pop(path, None)

    def upload(self, value: Array) -> Kept:
        """See :class:`inference.engines.protocol.Engine`."""
        whole = np.ascontiguousarray(value)
        try:
            there = onnxruntime.OrtValue.ortvalue_from_numpy(whole, self._kind, self._gpu)
        except Exception as error:
            # ONNX Runtime's errors have no class in common
            raise RuntimeUnusable(self.name, str(error)) from error
        kept = OnnxKept(there, self._uploads.discard)
        self._uploads.add(kept)
        return kept

    def _open(self, path: Path) -> Any:
        on_gpu = self._kind == "cuda"
        model = prepared(path, half=on_gpu and in_half(path.stem), volumes=not on_gpu)
        try:
            session = onnxruntime.InferenceSession(
                model or str(path), self._options(), providers=self._providers()
            )
        except Exception as error:
            raise NetworkUnusable(path, str(error), _remedy(error)) from error
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
        from inference.engines.gpu import memory_in_use, resident_bytes

        return memory_in_use(self._gpu) if self._kind == "cuda" else resident_bytes()

    def close(self) -> None:
        """See :class:`inference.engines.protocol.Engine`."""
        for network in list(self._networks):
            network.release()
        for kept in list(self._uploads):
            kept.release()


def _remedy(error: Exception) -> str:
    """What to do about a network that did not load: only a wrong file is to be fetched again."""
    said = str(error).lower()
    if any(words in said for words in _NO_MEMORY):
        return "close other sessions, or take another --gpu"
    if type(error).__name__ in _WRONG_FILE or "load model from" in said:
        return FETCH_AGAIN
    return "see what `lipstream engines` says of this runtime"


# As CUDA, cuDNN and ONNX Runtime's own allocators say it.
_NO_MEMORY = ("out of memory", "failed to allocate", "alloc_failed", "bad_alloc")
# The classes of ONNX Runtime for a file that is no network, or not one that it knows.
_WRONG_FILE = ("InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NoSuchFile", "NotImplemented")


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
