"""What every runtime offers: networks with named inputs and outputs, of known type and shape.

An :class:`Engine` belongs to the thread that made it, and so do its networks. The weights of a file
are kept once however often it is loaded; each :class:`Network` has buffers of its own, so every
session loads its own networks and releases them at its end.

    warp, decoder = engine.load(warp_path), engine.load(decoder_path)
    features = warp.run({"feature_3d": f, "kp_source": s, "kp_driving": d}, hold=("out",))
    picture = decoder.run({"feature": features["out"]})["output"]   # never left the device
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.engines.errors import FeedRejected

Array = NDArray[Any]
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a network; None in ``shape`` is a dimension of any length."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape

    def __str__(self) -> str:
        lengths = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} {self.dtype}({lengths})"


class Held(Protocol):
    """A value that stayed where it was computed; good until its network runs again."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""
        ...

    def fetch(self) -> Array:
        """A copy in the memory of this process."""
        ...


class Kept(Held, Protocol):
    """A value that was brought to the device, to be fed again and again; good until released."""

    def release(self) -> None:
        """Give its memory back; twice is once."""
        ...


class Network(Protocol):
    """A loaded network with buffers of its own."""

    @property
    def name(self) -> str:
        """Which one it is, for messages."""
        ...

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What :meth:`run` takes."""
        ...

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What :meth:`run` gives, in the order of the file."""
        ...

    def run(
        self, feeds: Mapping[str, Array | Held], hold: Collection[str] = ()
    ) -> dict[str, Array | Held]:
        """Run it once.

        Args:
            feeds: every input by name; arrays are cast to the declared type.
            hold: outputs that stay on the device, to be fed to another network of this engine.
                They are good until this network runs again or is released.

        Returns:
            Every output by name; arrays of one's own, but :class:`Held` for those in ``hold``.

        Raises:
            FeedRejected: an input too many or too few, of another shape, or that would lose its
                value in the cast.
            NetworkFailed: the runtime gave up.
        """
        ...

    def release(self) -> None:
        """Give its memory back; the last network of a file gives back the weights too."""
        ...


class Engine(Protocol):
    """A runtime that was found to work."""

    @property
    def name(self) -> str:
        """``onnx-cpu``, ``onnx-cuda`` or ``tensorrt``."""
        ...

    @property
    def device(self) -> str:
        """What it computes on, in words."""
        ...

    def load(self, path: Path) -> Network:
        """One more set of buffers for the network of an ONNX file.

        Raises:
            NetworkUnusable: missing, corrupt, or not for this runtime.
        """
        ...

    def upload(self, value: Array) -> Kept:
        """Bring a value to the device once, for inputs of its type that do not change.

        Raises:
            RuntimeUnusable: there is no memory left for it.
        """
        ...

    @property
    def memory_from_anywhere(self) -> bool:
        """Whether :meth:`memory_bytes` may be called in any thread, whatever the engine does."""
        ...

    def memory_bytes(self) -> int | None:
        """Memory in use: of a GPU by all processes, else by this one; None: it cannot be told."""
        ...

    def close(self) -> None:
        """Give everything back: networks and uploaded values too."""
        ...


def array(value: Array | Held) -> Array:
    """The value itself, wherever it is."""
    return value if isinstance(value, np.ndarray) else value.fetch()


def check_names(network: str, inputs: tuple[Tensor, ...], given: Collection[str]) -> None:
    """Hold the names that were given against those declared.

    Raises:
        FeedRejected: one is missing, or there is none of that name.
    """
    declared = [tensor.name for tensor in inputs]
    if set(given) != set(declared):
        raise FeedRejected(
            network, f"was given {', '.join(sorted(given)) or 'nothing'}; wants {declared}"
        )


def check_shape(network: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Hold a shape against the declared one.

    Raises:
        FeedRejected: they do not agree.
    """
    if not fits(tensor.shape, shape):
        raise FeedRejected(network, f"{tensor} was given an array of shape {shape}")


def fits(declared: Shape, shape: Shape) -> bool:
    """Whether two shapes agree where both are known."""
    return len(declared) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(declared, shape, strict=True)
    )


def cast(network: str, tensor: Tensor, value: Array) -> Array:
    """``value`` as the network takes it: declared type, one block of memory.

    TensorRT 8 declared the time of the diffusion as INT32, TensorRT 10 and ONNX as INT64; whoever
    feeds it need not know.

    Raises:
        FeedRejected: another shape, or values that the type cannot hold.
    """
    check_shape(network, tensor, value.shape)
    if value.dtype == tensor.dtype:
        return np.ascontiguousarray(value)
    if not _holds(tensor.dtype, value):
        raise FeedRejected(network, f"{tensor} was given {value.dtype} that does not fit into it")
    return np.ascontiguousarray(value, tensor.dtype)


def _holds(dtype: np.dtype[Any], value: Array) -> bool:
    """A cast may round a float, never cut a fraction off nor run over."""
    if np.can_cast(value.dtype, dtype, "same_kind"):
        if dtype.kind not in "iu" or not value.size:
            return True
        limits = np.iinfo(dtype)
        return bool(value.min() >= limits.min and value.max() <= limits.max)
    return dtype.kind == "f" and value.dtype.kind in "iub"
