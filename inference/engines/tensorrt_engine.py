"""TensorRT: engines that were built for this GPU, on buffers that are made once.

This module has not run on a GPU yet: docs/engines.md says what was checked of it, and how.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inference.engines import cuda_graph, engine_files
from inference.engines.engine_files import Checksums, recipe
from inference.engines.errors import (
    FeedRejected,
    NetworkFailed,
    NetworkUnusable,
    RuntimeUnusable,
)
from inference.engines.protocol import (
    Array,
    Held,
    Kept,
    Network,
    Shape,
    Tensor,
    cast,
    check_names,
    check_shape,
)
from inference.engines.tensorrt_library import Library, open_library
from logs import event

log = logging.getLogger(__name__)

BUILD = "run: lipstream build-engines"


class DeviceHeld:
    """A value on the device, in memory that somebody else frees."""

    def __init__(
        self, library: Library, memory: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._library = library
        self._memory = memory
        self.shape = shape
        self.dtype = dtype

    @property
    def address(self) -> int | None:
        """On the device; None: it was released."""
        return None if self._memory is None else int(self._memory)

    def fetch(self) -> Array:
        """A copy in the memory of this process."""
        value = np.empty(self.shape, self.dtype)
        self._library.cuda.memcpy_dtoh(value, self._memory)
        return value


class DeviceKept(DeviceHeld):
    """A value that was brought to the device, in memory of its own."""

    def __init__(
        self, library: Library, value: Array, released: Callable[[DeviceKept], None]
    ) -> None:
        memory = library.cuda.mem_alloc(max(1, value.nbytes))
        super().__init__(library, memory, value.shape, value.dtype)
        self._released = released
        try:
            library.cuda.memcpy_htod(memory, value)
        except BaseException:
            memory.free()
            raise

    def release(self) -> None:
        """See :class:`inference.engines.protocol.Kept`."""
        if self._memory is not None:
            self._memory.free()
            self._memory = None
            self._released(self)


class _Buffer:
    """Memory for one input or output at its largest, on the device and pinned on the host."""

    def __init__(self, library: Library, tensor: Tensor, largest: tuple[int, ...]) -> None:
        self.tensor = tensor
        # pinned: copies from other memory are not asynchronous
        self.host: Array = library.cuda.pagelocked_empty(int(np.prod(largest)), tensor.dtype)
        self.device = library.cuda.mem_alloc(max(1, self.host.nbytes))

    def view(self, shape: tuple[int, ...]) -> Array:
        """The front of the host's memory in that shape."""
        front: Array = self.host[: int(np.prod(shape))]
        return front.reshape(shape)

    def held(self, library: Library, shape: tuple[int, ...]) -> DeviceHeld:
        """What is in it."""
        return DeviceHeld(library, self.device, shape, self.tensor.dtype)

    def release(self) -> None:
        self.device.free()
        self.host = np.empty(0, self.tensor.dtype)


class TensorRtNetwork:
    """An execution context with buffers and a stream of its own.

    :meth:`run` returns when the GPU is done, so that values which are held can be fed to any other
    network at once. Where all lengths are fixed, the second run is recorded as a CUDA graph, and
    later ones launch that; it is recorded anew if a held input comes from another buffer.
    """

    def __init__(
        self,
        path: Path,
        library: Library,
        engine: Any,
        logger: Any,
        released: Callable[[TensorRtNetwork], None],
    ) -> None:
        self.name = path.stem
        self._library = library
        self._logger = logger
        self._released = released
        self._context = engine.create_execution_context()
        if self._context is None:
            raise NetworkUnusable(path, _last(logger, "no context"), "close other sessions")
        self._stream = library.cuda.Stream()
        self.inputs, self.outputs = describe(library.trt, engine)
        self._fixed = all(None not in t.shape for t in (*self.inputs, *self.outputs))
        self._buffers: dict[str, _Buffer] = {}
        try:
            self._allocate(engine)
        except library.cuda.Error as error:
            self._free()
            raise NetworkUnusable(path, f"CUDA: {error}", "close other sessions") from error
        self._addresses: dict[str, int] = {}
        self._graph: cuda_graph.Graph | None = None
        self._ran = False

    def _allocate(self, engine: Any) -> None:
        for tensor in self.inputs:
            largest = tensor.shape
            if None in largest:
                largest = tuple(engine.get_tensor_profile_shape(tensor.name, 0)[2])
                self._context.set_input_shape(tensor.name, _known(largest))
            self._buffers[tensor.name] = _Buffer(self._library, tensor, _known(largest))
        for tensor in self.outputs:
            self._buffers[tensor.name] = _Buffer(self._library, tensor, self._shape(tensor))

    def run(
        self, feeds: Mapping[str, Array | Held], hold: Collection[str] = ()
    ) -> dict[str, Array | Held]:
        """See :class:`inference.engines.protocol.Network`."""
        if self._context is None:
            raise FeedRejected(self.name, "was released")
        check_names(self.name, self.inputs, feeds)
        try:
            addresses = {t.name: self._feed(t, feeds[t.name]) for t in self.inputs}
            addresses |= {t.name: int(self._buffers[t.name].device) for t in self.outputs}
            self._bind(addresses)
            self._execute()
            shapes = {t.name: self._shape(t) for t in self.outputs}
            for name in shapes.keys() - set(hold):
                buffer = self._buffers[name]
                self._library.cuda.memcpy_dtoh_async(
                    buffer.view(shapes[name]), buffer.device, self._stream
                )
            self._stream.synchronize()
        except (self._library.cuda.Error, cuda_graph.CudaFailed) as error:
            raise NetworkFailed(self.name, f"CUDA: {error}") from error
        return {
            name: self._buffers[name].held(self._library, shape)
            if name in hold
            else self._buffers[name].view(shape).copy()
            for name, shape in shapes.items()
        }

    def _feed(self, tensor: Tensor, value: Array | Held) -> int:
        """Where the network finds it."""
        if isinstance(value, DeviceHeld) and value.dtype == tensor.dtype:
            check_shape(self.name, tensor, value.shape)
            if value.address is None:
                raise FeedRejected(self.name, f"{tensor} was given a value that was released")
            shape, address = value.shape, value.address
        else:
            given = value if isinstance(value, np.ndarray) else value.fetch()
            given = cast(self.name, tensor, given)
            buffer = self._buffers[tensor.name]
            if given.size > buffer.host.size:
                raise FeedRejected(
                    self.name, f"{tensor} was given {given.shape}: more than it was built for"
                )
            shape, address = given.shape, int(buffer.device)
            view = buffer.view(shape)
            np.copyto(view, given)
            self._library.cuda.memcpy_htod_async(buffer.device, view, self._stream)
        if None in tensor.shape and not self._context.set_input_shape(tensor.name, shape):
            raise FeedRejected(self.name, f"{tensor} was given {shape}: not what it was built for")
        return address

    def _bind(self, addresses: dict[str, int]) -> None:
        if addresses == self._addresses:
            return
        self._drop_graph()
        for name, address in addresses.items():
            self._context.set_tensor_address(name, address)
        self._addresses = addresses
        self._ran = False

    def _execute(self) -> None:
        if self._graph is not None:
            self._graph.launch(self._stream.handle)
            return
        if self._fixed and self._ran:  # TensorRT asks for one run before a recording
            self._record()
        self._enqueue()  # what was recorded was not run
        self._ran = True

    def _record(self) -> None:
        self._stream.synchronize()
        cuda_graph.begin(self._stream.handle)
        recorded = self._context.execute_async_v3(self._stream.handle)
        try:
            graph = cuda_graph.end(self._stream.handle)
        except cuda_graph.CudaFailed as error:
            event(log, "cuda_graph_refused", level=logging.WARNING, network=self.name, reason=error)
            self._fixed = False
            return
        if recorded:
            self._graph = graph

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise NetworkFailed(self.name, _last(self._logger, "no reason given"))

    def _shape(self, tensor: Tensor) -> tuple[int, ...]:
        return _known(tuple(self._context.get_tensor_shape(tensor.name)))

    def release(self) -> None:
        """See :class:`inference.engines.protocol.Network`."""
        if self._context is None:
            return
        self._drop_graph()
        self._free()
        self._released(self)

    def _free(self) -> None:
        for buffer in self._buffers.values():
            buffer.release()
        self._buffers = {}
        self._context = None

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._graph.release()
            self._graph = None


class TensorRtEngine:
    """TensorRT on one GPU. Belongs to the thread that made it."""

    name = "tensorrt"
    memory_from_anywhere = False  # CUDA tells it to the thread that has the context

    def __init__(self, folder: Path | None = None, *, gpu: int = 0) -> None:
        """Take the GPU's context.

        Args:
            folder: of the built engines; None: the user's cache.
            gpu: which one.

        Raises:
            RuntimeUnusable: TensorRT, PyCUDA or CUDA do not work here.
        """
        self._library = open_library(gpu)
        self.device = self._library.gpu
        self._folder = folder or engine_files.default_folder()
        self._checksums = Checksums(self._folder)
        self._logger = self._library.logger()
        self._runtime = self._library.trt.Runtime(self._logger)
        self._engines: dict[Path, Any] = {}
        self._networks: dict[TensorRtNetwork, Path] = {}  # that were not released
        self._uploads: set[DeviceKept] = set()

    def load(self, path: Path) -> Network:
        """See :class:`inference.engines.protocol.Engine`; ``path`` is the ONNX file's."""
        if path not in self._engines:
            self._engines[path] = self._read(path)
        try:
            network = TensorRtNetwork(
                path, self._library, self._engines[path], self._logger, self._left
            )
        except NetworkUnusable:
            if path not in self._networks.values():
                self._engines.pop(path)  # weights that nobody uses
            raise
        self._networks[network] = path
        return network

    def _left(self, network: TensorRtNetwork) -> None:
        path = self._networks.pop(network)
        if path not in self._networks.values():
            self._engines.pop(path, None)

    def upload(self, value: Array) -> Kept:
        """See :class:`inference.engines.protocol.Engine`."""
        try:
            kept = DeviceKept(self._library, np.ascontiguousarray(value), self._uploads.discard)
        except self._library.cuda.Error as error:
            raise RuntimeUnusable(self.name, f"CUDA: {error}") from error
        self._uploads.add(kept)
        return kept

    def _read(self, path: Path) -> Any:
        built = find_built(path, self._folder, self._checksums, self._library)
        engine = self._runtime.deserialize_cuda_engine(built.read_bytes())
        if engine is None:
            raise NetworkUnusable(built, _last(self._logger, "cannot be read"), f"{BUILD} --fresh")
        return engine

    def memory_bytes(self) -> int | None:
        """See :class:`inference.engines.protocol.Engine`."""
        free, total = self._library.cuda.mem_get_info()
        return int(total - free)

    def close(self) -> None:
        """See :class:`inference.engines.protocol.Engine`."""
        for network in list(self._networks):
            network.release()
        for kept in list(self._uploads):
            kept.release()
        self._runtime = None
        self._library.close()


def find_built(path: Path, folder: Path, checksums: Checksums, library: Library) -> Path:
    """The engine of an ONNX file: built for this GPU, else for Ampere and newer.

    Raises:
        NetworkUnusable: the file is missing, or there is no engine for it here.
    """
    try:
        checksum = checksums.of(path)
    except OSError as error:
        raise NetworkUnusable(path, error.strerror or str(error), "check the path") from error
    for gpu in (library.gpu, engine_files.AMPERE_PLUS):
        built = folder / recipe(path, checksum, library.version, gpu).file_name
        if built.is_file():
            return built
    others = sorted(p.name for p in folder.glob(f"{path.stem}_*.engine"))
    seen = f" ({len(others)} for another GPU, TensorRT or file)" if others else ""
    reason = f"has no engine for TensorRT {library.version} on {library.gpu}{seen}"
    raise NetworkUnusable(path, reason, BUILD)


def describe(trt: Any, engine: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inputs and outputs of an engine."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        lengths = tuple(engine.get_tensor_shape(name))
        shape: Shape = tuple(None if n < 0 else n for n in lengths)
        tensor = Tensor(name, np.dtype(trt.nptype(engine.get_tensor_dtype(name))), shape)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(tensor)
    return tuple(inputs), tuple(outputs)


def _known(shape: Shape) -> tuple[int, ...]:
    lengths = tuple(n for n in shape if n is not None)
    assert len(lengths) == len(shape)
    return lengths


def _last(logger: Any, otherwise: str) -> str:
    return logger.errors[-1] if logger.errors else otherwise
