"""An engine that keeps weights when nobody uses them: who comes next does not wait for them.

Of each file the network that is released last is kept, with its buffers, and handed to the next who
loads it. So weights are there once, from the first load to the engine's end, and nothing else of
those who have gone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from inference.engines.errors import FeedRejected, NetworkFailed
from inference.engines.protocol import Array, Engine, Held, Kept, Network
from logs import event

log = logging.getLogger(__name__)


class LastingEngine:
    """See :class:`inference.engines.protocol.Engine`; it belongs to the same thread as the other.

    Args:
        engine: what loads and runs; it is closed with this one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.device = engine.name, engine.device
        self.memory_from_anywhere = engine.memory_from_anywhere
        self._users: Counter[Path] = Counter()
        self._spare: dict[Path, Network] = {}

    def load(self, path: Path) -> Network:
        """As told."""
        network = self._spare.pop(path, None)
        if network is None:
            network = self._engine.load(path)
            if not self._users[path]:
                event(log, "weights_loaded", network=path.stem)
        self._users[path] += 1
        return _Lent(network, partial(self._take_back, path, network))

    def _take_back(self, path: Path, network: Network, *, is_healthy: bool) -> None:
        self._users[path] -= 1
        if is_healthy and not self._users[path]:
            self._spare[path] = network
        else:
            network.release()

    def upload(self, value: Array) -> Kept:
        """As told."""
        return self._engine.upload(value)

    def memory_bytes(self) -> int | None:
        """As told."""
        return self._engine.memory_bytes()

    def close(self) -> None:
        """As told."""
        self._spare.clear()
        self._engine.close()


class _Lent:
    """A network until it is released; what another has of it then is nobody else's business."""

    def __init__(self, network: Network, released: Callable[..., None]) -> None:
        self.name, self.inputs, self.outputs = network.name, network.inputs, network.outputs
        self._network: Network | None = network
        self._released = released
        self._is_healthy = True  # one that failed is not handed on: who knows what is in it

    def run(
        self, feeds: Mapping[str, Array | Held], hold: Collection[str] = ()
    ) -> dict[str, Array | Held]:
        if self._network is None:
            raise FeedRejected(self.name, "was released")
        try:
            return self._network.run(feeds, hold)
        except NetworkFailed:
            self._is_healthy = False
            raise

    def release(self) -> None:
        if self._network is not None:
            self._network = None
            self._released(is_healthy=self._is_healthy)
