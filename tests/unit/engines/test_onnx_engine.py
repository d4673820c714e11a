"""Networks on ONNX Runtime's CPU provider: what is fed is checked, what is shared is given back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from inference.engines.errors import FeedRejected, NetworkUnusable, RuntimeUnusable
from inference.engines.onnx_engine import CPU, OnnxEngine, refusal
from inference.engines.protocol import Network, Tensor, array, cast, fits

FLOATS = Tensor("x", np.dtype(np.float32), (1, None, 3))
WHOLE = Tensor("t", np.dtype(np.int64), (1,))
SHORT = Tensor("t", np.dtype(np.int32), (1,))


def stitch(engine: OnnxEngine, folder: Path) -> Network:
    return engine.load(folder / "ditto_onnx" / "stitch_network.onnx")


def points(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).random((1, 21, 3), np.float32)


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        (FLOATS, np.ones((1, 5, 3), np.float64)),
        (FLOATS, np.ones((1, 5, 3), np.float16)),
        (FLOATS, np.ones((1, 2, 3), np.uint8)),
        (FLOATS, np.ones((3, 2, 1), np.float32).T),
        (WHOLE, np.array([999], np.int32)),
        (SHORT, np.array([999], np.int64)),
    ],
)
def test_casts_that_keep_the_value(tensor: Tensor, value: np.ndarray[Any, Any]) -> None:
    made = cast("net", tensor, value)
    assert made.dtype == tensor.dtype
    assert made.flags.c_contiguous
    assert np.array_equal(made, value)


@pytest.mark.parametrize(
    ("tensor", "value", "told"),
    [
        (WHOLE, np.array([0.5]), "float64 that does not fit"),
        (SHORT, np.array([1 << 40]), "int64 that does not fit"),
        (FLOATS, np.ones((1, 5, 3), complex), "complex128 that does not fit"),
        (FLOATS, np.ones((1, 3), np.float32), r"x float32\(1, \?, 3\) was given .* \(1, 3\)"),
        (FLOATS, np.ones((2, 5, 3), np.float32), r"shape \(2, 5, 3\)"),
    ],
)
def test_casts_that_would_not(tensor: Tensor, value: np.ndarray[Any, Any], told: str) -> None:
    with pytest.raises(FeedRejected, match=told):
        cast("net", tensor, value)


def test_shapes_that_agree() -> None:
    assert fits((1, None), (1, 7))
    assert fits((None, 3), (None, 3))
    assert not fits((1, None), (2, 7))
    assert not fits((1, None), (1, 7, 1))


@pytest.mark.parametrize("names", [("kp_source",), ("kp_source", "kp_driving", "more"), ()])
def test_names_of_inputs(engine: OnnxEngine, folder: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(FeedRejected, match="kp_driving"):
        stitch(engine, folder).run({name: points(0) for name in names})


def test_results_are_ones_own(engine: OnnxEngine, folder: Path) -> None:
    network = stitch(engine, folder)
    first = array(network.run({"kp_source": points(1), "kp_driving": points(2)})["out"])
    before = first.copy()
    network.run({"kp_source": points(3), "kp_driving": points(4)})
    assert np.array_equal(first, before)


def test_held_values(engine: OnnxEngine, folder: Path) -> None:
    network = stitch(engine, folder)
    feeds = {"kp_source": points(1), "kp_driving": points(2)}
    held = network.run(feeds, hold=("out",))["out"]
    assert not isinstance(held, np.ndarray)
    assert (held.shape, held.dtype) == ((1, 21, 3), np.dtype(np.float32))
    plain = network.run(feeds)["out"]
    assert np.array_equal(held.fetch(), array(plain))
    again = network.run({"kp_source": points(1), "kp_driving": held})["out"]
    assert np.array_equal(
        array(again), array(network.run(feeds | {"kp_driving": array(plain)})["out"])
    )
    with pytest.raises(FeedRejected, match=r"feature float32\(1, 256, 64, 64\)"):
        engine.load(folder / "ditto_onnx" / "decoder.onnx").run({"feature": held})


def test_weights_are_read_once_and_given_back_with_the_last_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = onnxruntime.InferenceSession

    def counting(*arguments: Any, **options: Any) -> Any:
        opened.append(str(arguments[0]))
        return real(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", counting)
    engine = OnnxEngine(threads=1)
    networks = [stitch(engine, folder) for _ in range(3)]
    assert len(opened) == 1
    for network in networks:
        network.release()
        network.release()  # twice is once
    with pytest.raises(FeedRejected, match="was released"):
        networks[0].run({"kp_source": points(1), "kp_driving": points(2)})
    stitch(engine, folder).release()
    assert len(opened) == 2


def test_closing_gives_back_networks_and_uploads(folder: Path) -> None:
    engine = OnnxEngine(threads=1)
    networks = [stitch(engine, folder) for _ in range(2)]
    kept = engine.upload(points(1))
    engine.close()
    assert (engine._sessions, engine._networks, engine._uploads) == ({}, {}, set())
    for network in networks:
        with pytest.raises(FeedRejected, match="was released"):
            network.run({"kp_source": points(1), "kp_driving": points(2)})
        network.release()  # twice is once
    kept.release()
    engine.close()


def test_an_uploaded_value_is_fed_until_it_is_released(engine: OnnxEngine, folder: Path) -> None:
    network = stitch(engine, folder)
    kept = engine.upload(points(1))
    assert (kept.shape, kept.dtype) == ((1, 21, 3), np.dtype(np.float32))
    assert np.array_equal(kept.fetch(), points(1))
    plain = array(network.run({"kp_source": points(1), "kp_driving": points(2)})["out"])
    for _ in range(2):
        again = network.run({"kp_source": kept, "kp_driving": points(2)})["out"]
        assert np.array_equal(array(again), plain)
    kept.release()
    kept.release()  # twice is once
    with pytest.raises(FeedRejected, match=r"kp_source .* was released"):
        network.run({"kp_source": kept, "kp_driving": points(2)})


def test_memory_of_a_session_comes_back_when_it_closes(tmp_path: Path) -> None:
    """Weights of 128 MB: there while a network uses them, and given back with the last one."""
    mib, path = 1 << 20, tmp_path / "large.onnx"
    weights = onnx.numpy_helper.from_array(np.ones((32 * mib // 4, 4), np.float32), "w")
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 4]), ("y", [32 * mib // 4, 4]))
    )
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "large", [x], [y], [weights])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    del weights, graph
    engine = OnnxEngine(threads=1)
    before = used(engine)
    networks = [engine.load(path) for _ in range(2)]
    both = used(engine)
    networks[0].release()
    one = used(engine)
    engine.close()
    after = used(engine)
    assert both - before > 100 * mib, "weights once"
    assert both - before < 400 * mib, "and not twice"
    assert both - one < 50 * mib, "somebody uses them"
    assert one - after > 100 * mib


def used(engine: OnnxEngine) -> int:
    found = engine.memory_bytes()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", "close other sessions, or take another --gpu"),
        ("BFCArena: Failed to allocate memory for requested buffer of size 9", "close other ses"),
        ("no kernel image is available for execution", "see what `lipstream engines` says"),
    ],
)
def test_only_a_wrong_file_is_to_be_fetched_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: str, remedy: str
) -> None:
    def failing(*_arguments: Any, **_options: Any) -> Any:
        raise RuntimeError(said)

    monkeypatch.setattr(onnxruntime, "InferenceSession", failing)
    with pytest.raises(NetworkUnusable) as caught:
        stitch(OnnxEngine(threads=1), folder)
    assert said in str(caught.value)
    assert caught.value.remedy.startswith(remedy)
    assert "fetch" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"GridSample", b"\x08\x07GridSample3D"])
def test_files_that_are_no_networks(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(NetworkUnusable) as caught:
        OnnxEngine().load(path)
    assert caught.value.path == path
    assert caught.value.remedy == "fetch the file again"
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NetworkUnusable, match="No such file"):
        OnnxEngine().load(tmp_path / "x.onnx")


def test_the_plugins_network_runs_on_the_cpu(folder: Path, tmp_path: Path) -> None:
    """warp_network.onnx, which ONNX Runtime refuses as it is."""
    path = folder / "ditto_onnx" / "warp_network_ori.onnx"
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "GridSample":
            options: dict[str, Any] = {
                "interpolation_mode": 0,
                "padding_mode": 0,
                "align_corners": 0,
            }
            plugin = onnx.helper.make_node("GridSample3D", node.input, node.output, **options)
            node.CopyFrom(plugin)
    custom = tmp_path / "warp_network.onnx"
    onnx.save(model, custom)
    rng = np.random.default_rng(9)
    engine = OnnxEngine(threads=1)
    network = engine.load(path)
    feeds = {t.name: rng.random([n or 1 for n in t.shape], np.float32) for t in network.inputs}
    wanted = array(network.run(feeds)["out"])
    assert np.array_equal(array(engine.load(custom).run(feeds)["out"]), wanted)


def test_the_cpu_is_never_refused() -> None:
    assert refusal("cpu") == ""


def test_cuda_is_refused_where_it_does_not_load(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Whatever ONNX Runtime says is available: only a session that uses it counts."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        assert "built without CUDA" in refusal("cuda")
    real = onnxruntime.InferenceSession

    def falling_back(model: Any, options: Any = None, *, providers: Any) -> Any:
        return real(model, options, providers=[CPU])  # as the real one does, without a word

    monkeypatch.setattr(onnxruntime, "InferenceSession", falling_back)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU]
    )
    assert "fell back to CPUExecutionProvider" in refusal("cuda")
    with pytest.raises(RuntimeUnusable, match="fell back"):
        OnnxEngine("cuda").load(folder / "ditto_onnx" / "stitch_network.onnx")


def test_networks_in_half_precision_are_prepared_for_cuda(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be given to CUDA, run here on the CPU: close to the exact one, and no volumes."""
    given: list[Any] = []
    real = onnxruntime.InferenceSession

    class Session:
        def __init__(self, model: Any, options: Any, *, providers: Any) -> None:
            given.append((model, providers))
            self._session = real(model, options, providers=[CPU])

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    path = folder / "ditto_onnx" / "warp_network_ori.onnx"
    exact = OnnxEngine(threads=1).load(path)
    rng = np.random.default_rng(10)
    feeds = {
        t.name: rng.uniform(-0.4, 0.4, [n or 1 for n in t.shape]).astype(np.float32)
        for t in exact.inputs
    }
    wanted = array(exact.run(feeds)["out"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    prepared = OnnxEngine("cuda", gpu=1).load(path)
    assert prepared.inputs == exact.inputs
    assert np.abs(array(prepared.run(feeds)["out"]) - wanted).max() < 0.02
    model, providers = given[-1]
    graph = onnx.load_from_string(model).graph
    ranks = {t.name: len(t.dims) for t in graph.initializer}
    assert any(t.data_type == onnx.TensorProto.FLOAT16 for t in graph.initializer)
    assert sum(node.op_type == "GridSample" for node in graph.node) == 2
    assert ranks
    assert providers[0] == (
        "CUDAExecutionProvider",
        {"device_id": 1, "arena_extend_strategy": "kSameAsRequested", "use_tf32": "0"},
    )
    OnnxEngine("cuda").load(folder / "ditto_onnx" / "motion_extractor.onnx")
    assert given[-1][0] == str(folder / "ditto_onnx" / "motion_extractor.onnx")  # exact, as it is


def test_a_network_that_changed_on_disk_keeps_running(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(folder / "ditto_onnx" / "stitch_network.onnx", tmp_path))
    engine = OnnxEngine(threads=1)
    network = engine.load(path)
    path.write_bytes(b"")
    assert network.run({"kp_source": points(1), "kp_driving": points(2)})["out"].shape == (1, 21, 3)
