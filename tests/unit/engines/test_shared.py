"""An engine that many threads use: everything of it happens in one thread, in turn."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.checkpoint.folder import open_checkpoint
from inference.engines.errors import FeedRejected, NetworkUnusable, RuntimeUnusable
from inference.engines.lasting import LastingEngine
from inference.engines.onnx_engine import OnnxEngine, OnnxHeld
from inference.engines.protocol import array
from inference.engines.shared import SharedEngine

WAIT_SECONDS = 20.0


class Watched(OnnxEngine):
    """Notes which threads come to it."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.seen = {threading.get_ident()}
        self.loaded: list[str] = []

    def load(self, path: Path) -> Any:
        self.seen.add(threading.get_ident())
        self.loaded.append(path.stem)
        network: Any = super().load(path)
        run, release = network.run, network.release

        def watched_run(*arguments: Any) -> Any:
            self.seen.add(threading.get_ident())
            return run(*arguments)

        def watched_release() -> None:
            self.seen.add(threading.get_ident())
            release()

        network.run, network.release = watched_run, watched_release
        return network

    def close(self) -> None:
        self.seen.add(threading.get_ident())
        super().close()


def path_of(folder: Path, name: str) -> Path:
    return open_checkpoint(folder).path(name)


def test_everything_happens_in_one_thread_that_is_nobody_elses(folder: Path) -> None:
    made: list[Watched] = []

    def make() -> Watched:
        made.append(Watched())
        return made[0]

    engine = SharedEngine(make)
    assert (engine.name, engine.device) == ("onnx-cpu", "CPU")

    def use(number: int) -> Any:
        network = engine.load(path_of(folder, "stitch_network"))
        points = np.full((1, 21, 3), number, np.float32)
        said = [network.run({"kp_source": points, "kp_driving": points}) for _ in range(5)]
        network.release()
        return said[-1]

    with ThreadPoolExecutor(4) as users:
        said = list(users.map(use, range(8)))
    alone = OnnxEngine(threads=1).load(path_of(folder, "stitch_network"))
    for number, found in enumerate(said):
        points = np.full((1, 21, 3), number, np.float32)
        wanted = alone.run({"kp_source": points, "kp_driving": points})
        for name, value in wanted.items():
            assert np.array_equal(array(found[name]), array(value))
    engine.close()
    assert len(made[0].seen) == 1
    assert threading.get_ident() not in made[0].seen


def test_what_is_held_goes_from_one_network_to_another(folder: Path) -> None:
    engine = SharedEngine(lambda: OnnxEngine(threads=1))
    warp, decoder = (engine.load(path_of(folder, name)) for name in ("warp_network", "decoder"))
    rng = np.random.default_rng(1)
    feeds = {
        tensor.name: rng.random([n or 1 for n in tensor.shape], np.float32)
        for tensor in warp.inputs
    }
    held = warp.run(feeds, hold=("out",))["out"]
    assert not isinstance(held, np.ndarray | OnnxHeld)
    fetched = held.fetch()
    assert (fetched.shape, fetched.dtype) == (held.shape, held.dtype)
    seen = decoder.run({"feature": held})["output"]
    assert np.array_equal(array(seen), array(decoder.run({"feature": fetched})["output"]))
    kept = engine.upload(fetched)
    assert np.array_equal(array(seen), array(decoder.run({"feature": kept})["output"]))
    kept.release()
    engine.close()


def test_errors_come_to_who_asked_and_the_engine_goes_on(folder: Path) -> None:
    engine = SharedEngine(lambda: OnnxEngine(threads=1))
    network = engine.load(path_of(folder, "stitch_network"))
    with pytest.raises(FeedRejected):
        network.run({})
    with pytest.raises(NetworkUnusable):
        engine.load(folder / "none.onnx")
    points = np.zeros((1, 21, 3), np.float32)
    assert network.run({"kp_source": points, "kp_driving": points})
    engine.close()


def test_who_asks_for_memory_holds_up_nobody_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nvidia-smi takes its time, and others draw meanwhile."""
    asked, answered = threading.Event(), threading.Event()

    def slow(gpu: int) -> int:
        asked.set()
        assert answered.wait(WAIT_SECONDS), "it held up the engine"
        return 1000 + gpu

    monkeypatch.setattr("inference.engines.gpu.memory_in_use", slow)

    below = OnnxEngine(threads=1, gpu=3)
    engine = SharedEngine(lambda: LastingEngine(below))
    network = engine.load(path_of(folder, "stitch_network"))
    below._kind = "cuda"  # for what it loads, a CPU; for its memory, a GPU
    points = np.zeros((1, 21, 3), np.float32)
    with ThreadPoolExecutor(1) as other:
        told = other.submit(engine.memory_bytes)
        assert asked.wait(WAIT_SECONDS)
        network.run({"kp_source": points, "kp_driving": points})
        answered.set()
        assert told.result() == 1003
    engine.close()


def test_memory_that_only_the_engines_thread_can_tell_is_asked_there() -> None:
    class Bound(OnnxEngine):
        memory_from_anywhere = False

        def memory_bytes(self) -> int:
            return threading.get_ident()

    engine = SharedEngine(lambda: LastingEngine(Bound(threads=1)))
    assert engine.memory_bytes() == engine._do(threading.get_ident)
    engine.close()


def test_an_engine_that_does_not_open_leaves_no_thread() -> None:
    def refuse() -> OnnxEngine:
        raise RuntimeUnusable("onnx-cpu", "no")

    before = set(threading.enumerate())  # of which some may just end
    with pytest.raises(RuntimeUnusable):
        SharedEngine(refuse)
    assert set(threading.enumerate()) <= before
