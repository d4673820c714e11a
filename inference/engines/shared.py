"""One engine for many threads: it lives in a thread of its own, and runs what they ask in turn.

A runtime's context belongs to the thread that made it, and a GPU does one thing at a time anyway.
Networks are loaded, run and released from anywhere; the weights of a file are there once, the
buffers once for each user. Between two runs of one user come those of the others: nobody waits
longer than for one run of each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from inference.engines.protocol import Array, Engine, Held, Kept, Network

_Result = TypeVar("_Result")
# Has a call made in the engine's thread, and waits for what comes of it.
_Do = Callable[..., Any]


class SharedEngine:
    """An engine that any thread may use; see :class:`inference.engines.protocol.Engine`.

    What need not be asked in its own thread is asked in the caller's: each session asks nvidia-smi
    of memory four times, which is a program that is started, while the faces of others are drawn.

    Args:
        make: opens it, in the thread it will live in.

    Raises:
        RuntimeUnusable: as ``make`` does.
    """

    memory_from_anywhere = True

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        try:
            self._engine = self._do(make)
        except BaseException:
            self._thread.shutdown()
            raise
        self.name, self.device = self._engine.name, self._engine.device

    def load(self, path: Path) -> Network:
        """As told; the network may be used from any thread, too."""
        return _SharedNetwork(self._do(self._engine.load, path), self._do)

    def upload(self, value: Array) -> Kept:
        """As told; it may be fed and released from any thread, too."""
        return _SharedKept(self._do(self._engine.upload, value), self._do)

    def memory_bytes(self) -> int | None:
        """As told."""
        if self._engine.memory_from_anywhere:
            return self._engine.memory_bytes()
        held: int | None = self._do(self._engine.memory_bytes)
        return held

    def close(self) -> None:
        """As told."""
        self._do(self._engine.close)
        self._thread.shutdown()

    def _do(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        return self._thread.submit(work, *arguments).result()


class _SharedNetwork:
    def __init__(self, network: Network, do: _Do) -> None:
        self.name, self.inputs, self.outputs = network.name, network.inputs, network.outputs
        self._network = network
        self._do = do

    def run(
        self, feeds: Mapping[str, Array | Held], hold: Collection[str] = ()
    ) -> dict[str, Array | Held]:
        own = {name: v.held if isinstance(v, _SharedHeld) else v for name, v in feeds.items()}
        said: dict[str, Array | Held] = self._do(self._network.run, own, hold)
        return {
            name: value if isinstance(value, np.ndarray) else _SharedHeld(value, self._do)
            for name, value in said.items()
        }

    def release(self) -> None:
        self._do(self._network.release)


class _SharedHeld:
    def __init__(self, held: Held, do: _Do) -> None:
        self.held = held
        self._do = do

    @property
    def shape(self) -> tuple[int, ...]:
        return self.held.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.held.dtype

    def fetch(self) -> Array:
        copy: Array = self._do(self.held.fetch)
        return copy


class _SharedKept(_SharedHeld):
    def __init__(self, kept: Kept, do: _Do) -> None:
        super().__init__(kept, do)
        self._kept = kept

    def release(self) -> None:
        self._do(self._kept.release)
