"""What the faces of one process have in common: an engine, and with it the weights."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from config import Settings
from inference.ditto.casting import checkpoint_of, names_of, require_speed, runtime_for
from inference.ditto.hearing import Chunks
from inference.ditto.networks import Networks
from inference.engines.errors import EngineError
from inference.engines.lasting import LastingEngine
from inference.engines.protocol import Engine
from inference.engines.shared import SharedEngine

# The smallest of all networks.
_PROBE = "stitch_network"


class Ensemble:
    """One engine for all casts of a process; any thread may ask for it.

    Args:
        settings: of the service: checkpoint and runtime are the same for all its streams.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = threading.Lock()
        self._engine: SharedEngine | None = None
        self._probe = Path()

    def engine(self, settings: Settings) -> Engine:
        """The engine, opened at the first need; it is closed by the end of the process.

        Args:
            settings: of the stream that wants it.

        Raises:
            InferenceError: there is none, or none that is fast enough for this stream.
        """
        with self._opening:
            if self._engine is None:
                checkpoint = checkpoint_of(settings)
                self._probe = checkpoint.path(_PROBE)
                self._engine = SharedEngine(
                    lambda: LastingEngine(runtime_for(settings, checkpoint, live=True))
                )
        require_speed(settings, self._engine.name)
        return self._engine

    def prewarm(self) -> None:
        """Load every network and run it once, so that the first face finds them warm.

        Raises:
            InferenceError: there is no engine here, or a network is unusable.
        """
        engine, checkpoint = self.engine(self._settings), checkpoint_of(self._settings)
        networks = Networks(checkpoint.load_all(engine, names_of(checkpoint)), engine.upload)
        try:
            networks.warm_up(Chunks.parse(self._settings.chunks).window)
        finally:
            networks.release()

    def works(self) -> bool:
        """Whether the engine runs anything at all. Some errors of a GPU end only with a process."""
        if self._engine is None:
            return True
        points = np.zeros((1, 21, 3), np.float32)
        try:
            network = self._engine.load(self._probe)
            try:
                network.run({tensor.name: points for tensor in network.inputs})
            finally:
                network.release()
        except EngineError:
            return False
        return True
