"""What is ours of the TensorRT engine, on stand-ins; nothing here says that TensorRT works."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.ditto.painter import RUNS_UNTIL_WARM
from inference.engines import tensorrt_engine
from inference.engines.engine_files import AMPERE_PLUS, Checksums, recipe
from inference.engines.errors import (
    FeedRejected,
    NetworkFailed,
    NetworkUnusable,
    RuntimeUnusable,
)
from inference.engines.protocol import Network, Tensor, array
from inference.engines.tensorrt_engine import TensorRtEngine
from inference.engines.tensorrt_library import open_library, unsupported
from tests.unit.engines import stand_in

FLOAT = np.float32
SUM = stand_in.Plan(
    {"a": (FLOAT, (1, 4)), "b": (FLOAT, (1, 4))},
    {"c": (FLOAT, lambda _shapes: (1, 4))},
    lambda v: {"c": v["a"] - 2 * v["b"]},
)
FREE = stand_in.Plan(
    {"x": (FLOAT, (1, -1))},
    {"y": (FLOAT, lambda shapes: (shapes["x"][1] // 2, 3))},
    lambda v: {"y": np.repeat(v["x"][0, ::2], 3).reshape(-1, 3)},
    {"x": (1, 12)},
)
TIMED = stand_in.Plan(
    {"t": (np.int64, (1,))},
    {"u": (FLOAT, lambda _shapes: (1,))},
    lambda v: {"u": v["t"].astype(FLOAT) / 2},
)
PLANS = {b"sum": SUM, b"free": FREE, b"timed": TIMED}


class Bench:
    """An engine on stand-ins, with networks in a folder."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int) -> None:
        self.device = stand_in.Device(total)
        self.modules = {
            "tensorrt": stand_in.tensorrt(PLANS, self.device),
            "pycuda.driver": stand_in.cuda(self.device),
        }
        monkeypatch.setattr(
            tensorrt_engine,
            "open_library",
            lambda gpu: open_library(gpu, self.modules.__getitem__),
        )
        self.graphs = stand_in.Graphs(lambda: self.engine._runtime.engines[-1])
        monkeypatch.setattr(tensorrt_engine, "cuda_graph", self.graphs)
        self.folder = tmp_path / "engines"
        self.networks = tmp_path / "networks"
        self.engine: Any = TensorRtEngine(self.folder)
        self.empty = self.engine.memory_bytes() or 0

    def file(self, name: str, *, gpu: str = "Stand-in 8.9", engine: bytes | None = None) -> Path:
        """A network, and its engine."""
        self.networks.mkdir(exist_ok=True)
        path = self.networks / f"{name}.onnx"
        path.write_bytes(name.encode())
        self.folder.mkdir(exist_ok=True)
        checksum = Checksums(self.folder).of(path)
        built = self.folder / recipe(path, checksum, "10.8.0", gpu).file_name
        built.write_bytes(name.encode() if engine is None else engine)
        return path

    def load(self, name: str) -> Network:
        network: Network = self.engine.load(self.file(name))
        return network


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch, 1 << 20)
    yield made
    made.engine.close()
    assert made.device.pushed == 0


def row(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([values], FLOAT)


A, B = row(1, 2, 3, 4), row(10, 20, 30, 40)


def test_values_reach_the_network_and_come_back(bench: Bench) -> None:
    network = bench.load("sum")
    assert network.inputs == (
        Tensor("a", np.dtype(FLOAT), (1, 4)),
        Tensor("b", np.dtype(FLOAT), (1, 4)),
    )
    first = array(network.run({"b": B, "a": A})["c"])
    second = array(network.run({"a": B, "b": A})["c"])
    assert np.array_equal(first, A - 2 * B)  # a copy: the second run did not change it
    assert np.array_equal(second, B - 2 * A)


def test_the_second_run_is_recorded_and_later_ones_launch_that(bench: Bench) -> None:
    network = bench.load("sum")
    for i in range(5):
        got = array(network.run({"a": A + i, "b": B})["c"])
        assert np.array_equal(got, A + i - 2 * B)
    assert bench.graphs.launches == 3
    network.release()
    assert bench.graphs.live == 0


def test_what_cannot_be_recorded_runs_without(bench: Bench) -> None:
    bench.graphs.refuses = True
    network = bench.load("sum")
    for i in range(4):
        assert np.array_equal(array(network.run({"a": A + i, "b": B})["c"]), A + i - 2 * B)
    assert bench.graphs.launches == 0


def test_held_values_stay_on_the_device_and_feed_another_network(bench: Bench) -> None:
    first, second = bench.load("sum"), bench.load("sum")
    for i in range(4):
        held = first.run({"a": A + i, "b": B}, hold=("c",))["c"]
        assert not isinstance(held, np.ndarray)
        assert held.shape == (1, 4)
        assert np.array_equal(held.fetch(), A + i - 2 * B)
        got = array(second.run({"a": A, "b": held})["c"])
        assert np.array_equal(got, A - 2 * (A + i - 2 * B))
    other = array(second.run({"a": A, "b": B})["c"])  # from another buffer than was recorded
    assert np.array_equal(other, A - 2 * B)


def test_free_lengths(bench: Bench) -> None:
    network = bench.load("free")
    assert network.inputs[0].shape == (1, None)
    assert network.outputs[0].shape == (None, 3)
    for length in (12, 4, 8):
        wave = np.arange(length, dtype=FLOAT)[np.newaxis]
        got = array(network.run({"x": wave})["y"])
        assert np.array_equal(got, np.repeat(wave[0, ::2], 3).reshape(-1, 3))
    assert bench.graphs.launches == 0
    with pytest.raises(FeedRejected, match="more than it was built for"):
        network.run({"x": np.zeros((1, 14), FLOAT)})


@pytest.mark.parametrize(
    ("feeds", "told"),
    [
        ({"a": A}, "was given a; wants"),
        ({"a": A, "b": B, "d": A}, "was given a, b, d; wants"),
        ({"a": A, "b": B[:, :3]}, r"b float32\(1, 4\) was given an array of shape \(1, 3\)"),
        ({"a": A, "b": B.astype(complex)}, "complex128 that does not fit"),
    ],
)
def test_wrong_feeds(bench: Bench, feeds: dict[str, Any], told: str) -> None:
    with pytest.raises(FeedRejected, match=told):
        bench.load("sum").run(feeds)


def test_the_time_of_the_diffusion_is_cast(bench: Bench) -> None:
    network = bench.load("timed")
    for time in (np.array([998], np.int32), np.array([998], np.int64), np.array([998], np.uint16)):
        assert array(network.run({"t": time})["u"])[0] == 499
    with pytest.raises(FeedRejected, match="does not fit"):
        network.run({"t": np.array([1.5])})


def test_weights_are_read_once_and_everything_is_given_back(bench: Bench) -> None:
    path = bench.file("sum")
    networks = [bench.engine.load(path) for _ in range(3)]
    assert len(bench.engine._runtime.engines) == 1
    assert bench.engine.memory_bytes() == bench.empty + 3 * 3 * 16
    for network in networks:
        network.run({"a": A, "b": B})
        network.release()
        network.release()  # twice is once
    assert bench.engine.memory_bytes() == bench.empty
    assert bench.device.blocks == {}
    with pytest.raises(FeedRejected, match="released"):
        networks[0].run({"a": A, "b": B})
    bench.engine.load(path).release()
    assert len(bench.engine._runtime.engines) == 2  # the last one gave the weights back


def test_closing_gives_everything_back(bench: Bench) -> None:
    networks = [bench.load("free"), bench.load("sum")]
    kept = bench.engine.upload(A)
    for _ in range(3):
        networks[1].run({"a": A, "b": B})
    assert bench.graphs.live == 1
    bench.engine.close()
    assert bench.device.blocks == {}
    assert bench.graphs.live == 0
    assert bench.engine._engines == {}
    kept.release()  # twice is once
    networks[1].release()
    assert bench.device.pushed == 0
    bench.engine = TensorRtEngine(bench.folder)


def test_an_uploaded_value_is_copied_once_and_its_run_is_recorded(bench: Bench) -> None:
    network = bench.load("sum")
    kept = bench.engine.upload(A)
    assert bench.device.copied_up == A.nbytes
    for i in range(RUNS_UNTIL_WARM):
        got = array(network.run({"a": kept, "b": B + i})["c"])
        assert np.array_equal(got, A - 2 * (B + i))
    assert bench.device.copied_up == A.nbytes + RUNS_UNTIL_WARM * B.nbytes
    assert bench.graphs.launches == 1, "what a painter warms up with ends in a launch"
    assert np.array_equal(kept.fetch(), A)
    kept.release()
    with pytest.raises(FeedRejected, match=r"a float32.* was released"):
        network.run({"a": kept, "b": B})
    network.release()
    assert bench.device.blocks == {}


def test_no_memory_left_for_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, 40)
    bench.engine.upload(A)
    with pytest.raises(RuntimeUnusable, match=r"tensorrt cannot be used: CUDA: .*out of memory"):
        bench.engine.upload(np.zeros(99, FLOAT))
    assert len(bench.device.blocks) == 1
    bench.engine.close()


def test_no_memory_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, 40)
    with pytest.raises(NetworkUnusable, match=r"out of memory; close other sessions"):
        bench.load("sum")
    assert bench.device.blocks == {}
    assert bench.engine._engines == {}  # nor are its weights kept


def test_a_run_that_fails(bench: Bench) -> None:
    network = bench.load("sum")
    bench.engine._runtime.engines[-1].contexts[-1].fails = True
    bench.engine._logger.log(stand_in.Logger.ERROR, "kernel: illegal address")
    with pytest.raises(NetworkFailed, match="illegal address"):
        network.run({"a": A, "b": B})


def test_no_engine_for_this_file_gpu_or_version(bench: Bench) -> None:
    path = bench.file("sum", gpu="Another 9.0")
    with pytest.raises(NetworkUnusable) as caught:
        bench.engine.load(path)
    message = str(caught.value)
    assert "no engine for TensorRT 10.8.0 on Stand-in 8.9" in message
    assert "1 for another GPU, TensorRT or file" in message
    assert "lipstream build-engines" in message


def test_engines_for_ampere_and_newer_will_do(bench: Bench) -> None:
    network = bench.engine.load(bench.file("sum", gpu=AMPERE_PLUS))
    assert array(network.run({"a": A, "b": B})["c"]).shape == (1, 4)


def test_an_engine_of_another_build_or_damaged(bench: Bench) -> None:
    path = bench.file("sum", engine=b"of TensorRT 8")
    with pytest.raises(NetworkUnusable, match="Version tag; run: lipstream build-engines --fresh"):
        bench.engine.load(path)


def test_no_such_network(bench: Bench) -> None:
    with pytest.raises(NetworkUnusable, match="No such file"):
        bench.engine.load(bench.folder / "nothing.onnx")


@pytest.mark.parametrize("version", ["8.6.1", "9.3.0", "12.0.0.1", "dev"])
def test_other_versions_are_refused(version: str) -> None:
    assert f"version {version} is installed, 10 and 11 are supported" in unsupported(version)


@pytest.mark.parametrize("version", ["10.0.1", "10.16.1.11", "11.4.0.106"])
def test_these_versions_are_taken(version: str) -> None:
    assert unsupported(version) == ""


def test_why_it_cannot_be_used() -> None:
    device = stand_in.Device()
    good = {
        "tensorrt": stand_in.tensorrt({}, device),
        "pycuda.driver": stand_in.cuda(device),
    }

    def refused(gpu: int = 0, **change: Any) -> str:
        modules = good | {name.replace("__", "."): value for name, value in change.items()}

        def load(name: str) -> Any:
            if isinstance(modules[name], Exception):
                raise modules[name]
            return modules[name]

        with pytest.raises(RuntimeUnusable) as caught:
            open_library(gpu, load)
        return caught.value.reason

    assert "pip install 'lipstream[gpu]'" in refused(tensorrt=ModuleNotFoundError("tensorrt"))
    old = stand_in.tensorrt({}, device, "8.6.1")
    assert "8.6.1 is installed" in refused(tensorrt=old)
    assert "libcuda.so.1" in refused(pycuda__driver=ImportError("libcuda.so.1: cannot open"))
    assert "there is no GPU 3" in refused(gpu=3)
    broken = stand_in.cuda(device)

    def init() -> None:
        raise stand_in.Error("cuInit failed: no CUDA-capable device is detected")

    broken.init = init
    assert "no CUDA-capable device" in refused(pycuda__driver=broken)
    assert device.pushed == 0


@pytest.mark.parametrize("name", ["tensorrt", "pycuda"])
def test_neither_is_imported_before_it_is_asked_for(name: str) -> None:
    for module in ("tensorrt_engine", "tensorrt_build", "tensorrt_library", "cuda_graph"):
        loaded = import_module(f"inference.engines.{module}")
        assert name not in vars(loaded)
