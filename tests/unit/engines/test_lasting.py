"""Weights that stay, and nothing else of who has gone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.checkpoint.folder import open_checkpoint
from inference.engines.errors import FeedRejected, NetworkFailed
from inference.engines.lasting import LastingEngine
from inference.engines.onnx_engine import OnnxEngine
from inference.engines.protocol import Network, array

POINTS = np.full((1, 21, 3), 0.25, np.float32)
FEEDS = {"kp_source": POINTS, "kp_driving": POINTS}


class Counting(OnnxEngine):
    """Keeps what it hands out."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.handed: list[Any] = []

    def load(self, path: Path) -> Network:
        self.handed.append(super().load(path))
        network: Network = self.handed[-1]
        return network

    @property
    def held(self) -> int:
        """Networks that were not released."""
        return len(self._networks)


@pytest.fixture
def stitch(folder: Path) -> Path:
    return open_checkpoint(folder).path("stitch_network")


def weights_loaded(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.message == "weights_loaded" for record in caplog.records)


def test_the_last_one_is_kept_for_who_comes_next(
    stitch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    below = Counting()
    engine = LastingEngine(below)
    first, second = engine.load(stitch), engine.load(stitch)
    assert below.held == 2, "buffers for each"
    said = array(first.run(FEEDS)["out"])
    first.release()
    assert below.held == 1
    second.release()
    assert below.held == 1, "of the last the weights stay"
    third = engine.load(stitch)
    assert len(below.handed) == 2, "nothing was loaded for the third"
    assert np.array_equal(array(third.run(FEEDS)["out"]), said)
    assert weights_loaded(caplog) == 1
    engine.close()
    assert below.held == 0


def test_released_twice_is_once_and_is_not_run_again(stitch: Path) -> None:
    below = Counting()
    engine = LastingEngine(below)
    gone = engine.load(stitch)
    gone.release()
    heir = engine.load(stitch)
    gone.release()
    with pytest.raises(FeedRejected, match="was released"):
        gone.run(FEEDS)
    other = engine.load(stitch)
    assert len(below.handed) == 2, "the heir still has its own"
    for network in (heir, other):
        network.release()
    assert below.held == 1
    engine.close()


def test_one_that_failed_is_not_handed_on(stitch: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    below = Counting()
    engine = LastingEngine(below)
    broken = engine.load(stitch)

    def fail(_feeds: Any, _hold: Any) -> Any:
        raise NetworkFailed("stitch_network", "no memory left")

    below.handed[0].run = fail
    with pytest.raises(NetworkFailed):
        broken.run(FEEDS)
    broken.release()
    assert below.held == 0
    engine.load(stitch).run(FEEDS)
    assert weights_loaded(caplog) == 2
    engine.close()
