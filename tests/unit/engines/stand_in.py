"""TensorRT and PyCUDA without a GPU: enough of both that our own bookkeeping can run.

What it shows: that inputs reach the addresses the network reads, that outputs come from those it
wrote, that recordings are made and dropped when they must be, and that everything is given back. It
shows nothing about TensorRT itself; the names of functions were held against its real bindings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Error(Exception):
    """As pycuda.driver.Error."""


class Device:
    """A GPU with memory of that many bytes."""

    def __init__(self, total: int = 1 << 30) -> None:
        self.total = total
        self.blocks: dict[int, bytearray] = {}
        self.pushed = 0
        self.copied_up = 0  # bytes that came from the host
        self.next = 1 << 20

    def allocate(self, count: int) -> Allocation:
        if sum(map(len, self.blocks.values())) + count > self.total:
            raise Error("cuMemAlloc failed: out of memory")
        address, self.next = self.next, self.next + count + 512
        self.blocks[address] = bytearray(count)
        return Allocation(self, address)

    def read(self, address: int, like: Array) -> None:
        like.reshape(-1)[:] = np.frombuffer(self.blocks[address], like.dtype, like.size)

    def copy_up(self, address: int, value: Array) -> None:
        self.copied_up += value.nbytes
        self.write(address, value)

    def write(self, address: int, value: Array) -> None:
        data = np.ascontiguousarray(value).tobytes()
        assert len(data) <= len(self.blocks[address]), "written over the end"
        self.blocks[address][: len(data)] = data


class Allocation:
    def __init__(self, device: Device, address: int) -> None:
        self.device, self.address = device, address

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        del self.device.blocks[self.address]


def cuda(device: Device) -> Any:
    """As the module pycuda.driver."""

    def push() -> None:
        device.pushed += 1

    def pop() -> None:
        device.pushed -= 1

    gpu = SimpleNamespace(
        compute_capability=lambda: (8, 9),
        name=lambda: "Stand-in",
        retain_primary_context=lambda: SimpleNamespace(push=push, pop=pop),
    )
    kind: Any = lambda _index: gpu  # noqa: E731 - with an attribute, as the class has
    kind.count = lambda: 1
    return SimpleNamespace(
        Error=Error,
        Device=kind,
        init=lambda: None,
        Stream=lambda: SimpleNamespace(handle=7, synchronize=lambda: None),
        mem_alloc=device.allocate,
        mem_get_info=lambda: (
            device.total - sum(map(len, device.blocks.values())),
            device.total,
        ),
        pagelocked_empty=lambda count, dtype: np.empty(count, dtype),
        memcpy_htod_async=lambda to, value, _stream: device.copy_up(int(to), value),
        memcpy_htod=lambda to, value: device.copy_up(int(to), value),
        memcpy_dtoh_async=lambda value, source, _stream: device.read(int(source), value),
        memcpy_dtoh=lambda value, source: device.read(int(source), value),
    )


@dataclass
class Plan:
    """A network: its tensors with -1 for free lengths, and what it computes."""

    inputs: dict[str, tuple[type, tuple[int, ...]]]
    outputs: dict[str, tuple[type, Callable[[dict[str, tuple[int, ...]]], tuple[int, ...]]]]
    compute: Callable[[dict[str, Array]], dict[str, Array]]
    largest: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Engine:
    """As tensorrt.ICudaEngine."""

    def __init__(self, plan: Plan, device: Device) -> None:
        self.plan, self.device = plan, device
        self._tensors: dict[str, Any] = {**plan.inputs, **plan.outputs}
        self.num_io_tensors = len(self._tensors)
        self.contexts: list[Context] = []
        self.recorded: Context | None = None

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name in self.plan.inputs else "out"

    def get_tensor_dtype(self, name: str) -> type:
        dtype: type = self._tensors[name][0]
        return dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.plan.inputs:
            return self.plan.inputs[name][1]
        free = {k: v[1] for k, v in self.plan.inputs.items()}
        shape = self.plan.outputs[name][1](free)
        return tuple(-1 if n <= 0 else n for n in shape)

    def get_tensor_profile_shape(self, name: str, _profile: int) -> list[tuple[int, ...]]:
        return [(0,), (0,), self.plan.largest[name]]

    def create_execution_context(self) -> Context:
        self.contexts.append(Context(self))
        return self.contexts[-1]


class Context:
    """As tensorrt.IExecutionContext."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes = {name: shape for name, (_kind, shape) in engine.plan.inputs.items()}
        self.addresses: dict[str, int] = {}
        self.runs = 0
        self.recording = False
        self.fails = False

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        most = self.engine.plan.largest.get(name, shape)
        self.shapes[name] = shape
        return all(n <= limit for n, limit in zip(shape, most, strict=True))

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.shapes:
            return self.shapes[name]
        return self.engine.plan.outputs[name][1](self.shapes)

    def execute_async_v3(self, _stream: int) -> bool:
        if self.recording:
            self.engine.recorded = self
        else:
            self.compute(self.addresses)
        return not self.fails

    def compute(self, addresses: dict[str, int]) -> None:
        self.runs += 1
        values: dict[str, Array] = {}
        for name, (kind, _shape) in self.engine.plan.inputs.items():
            values[name] = np.empty(self.shapes[name], kind)
            self.engine.device.read(addresses[name], values[name])
        for name, value in self.engine.plan.compute(values).items():
            self.engine.device.write(addresses[name], value)


class Graphs:
    """As inference.engines.cuda_graph."""

    class CudaFailed(Exception):
        pass

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self.engine = engine
        self.live = 0
        self.launches = 0
        self.refuses = False

    def begin(self, _stream: int) -> None:
        for context in self.engine().contexts:
            context.recording = True

    def end(self, _stream: int) -> Any:
        contexts = self.engine().contexts
        for context in contexts:
            context.recording = False
        if self.refuses:
            raise self.CudaFailed("cuStreamEndCapture answered 900")
        self.live += 1
        recorded = self.engine().recorded
        assert recorded is not None
        addresses = dict(recorded.addresses)

        def launch(_stream: int) -> None:
            self.launches += 1
            recorded.compute(addresses)

        def release() -> None:
            self.live -= 1

        return SimpleNamespace(launch=launch, release=release)


class Logger:
    """As tensorrt.ILogger."""

    ERROR, INTERNAL_ERROR, WARNING = 1, 0, 2

    def __init__(self) -> None:
        pass


def tensorrt(plans: dict[bytes, Plan], device: Device, version: str = "10.8.0") -> Any:
    """As the module tensorrt, with engines for the bytes that are known."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger
            self.engines: list[Engine] = []

        def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
            if data not in plans:
                self.logger.log(Logger.ERROR, "Serialization assertion failed: Version tag")
                return None
            self.engines.append(Engine(plans[data], device))
            return self.engines[-1]

    return SimpleNamespace(
        __version__=version,
        Runtime=Runtime,
        ILogger=Logger,
        TensorIOMode=SimpleNamespace(INPUT="in"),
        nptype=lambda kind: kind,
    )
