"""Every network on the GPU against ONNX Runtime's CPU provider in float32."""

from __future__ import annotations

import numpy as np
import pytest

from inference.checkpoint.folder import Checkpoint
from inference.checkpoint.networks import SPECS, Spec
from inference.engines.onnx_engine import OnnxEngine
from inference.engines.protocol import Array, Engine, Network, Tensor, array

# Of the root mean square on the CPU: float32 sums in another order, float16 has eleven bits.
MEAN_OFF = {"fp32": 1e-3, "fp16": 2e-2}
NETWORKS = [spec for spec in SPECS.values() if not spec.research_only]


def feeds(spec: Spec) -> dict[str, Array]:
    """Numbers in the range that the network is made for."""
    rng = np.random.default_rng(1)
    made: dict[str, Array] = {}
    for tensor in spec.inputs:
        shape = [(6480 if spec.name == "hubert" else 1) if n is None else n for n in tensor.shape]
        if tensor.dtype.kind == "i":
            made[tensor.name] = np.array([499])
        elif tensor.name in ("x", "cond_frame", "cond", "input_values", "feature", "feature_3d"):
            made[tensor.name] = rng.standard_normal(shape, np.float32) * np.float32(0.3)
        elif tensor.name in ("kp_source", "kp_driving"):
            made[tensor.name] = rng.uniform(-0.5, 0.5, shape).astype(np.float32)
        else:
            made[tensor.name] = rng.random(shape, np.float32)
    return made


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_parity(engine: Engine, judge: OnnxEngine, checkpoint: Checkpoint, spec: Spec) -> None:
    given = feeds(spec)
    network = checkpoint.load(spec.name, engine)
    wanted = checkpoint.load(spec.name, judge).run(given)
    for _ in range(3):  # the first run, the recorded one, a launch of the recording
        found = network.run(given)
        for output in spec.outputs:
            if isinstance(output, Tensor):
                close(array(found[output.name]), array(wanted[output.name]), spec, output.name)
    network.release()


def close(found: Array, wanted: Array, spec: Spec, name: str) -> None:
    assert found.shape == wanted.shape, name
    assert np.isfinite(found).all(), name
    allowed = MEAN_OFF["fp32" if spec.fp32 else "fp16"] * max(
        float(np.sqrt((wanted**2).mean())), 1e-4
    )
    off = float(np.abs(found.astype(np.float64) - wanted).mean())
    assert off <= allowed, f"{name}: off by {off:.3g} in the mean, {allowed:.3g} allowed"


def test_what_stays_on_the_device_is_the_same(engine: Engine, checkpoint: Checkpoint) -> None:
    warp, decoder = (checkpoint.load(name, engine) for name in ("warp_network", "decoder"))
    given = feeds(SPECS["warp_network"])
    for shift in (0.0, 0.05, 0.1, 0.15):
        moved = given | {"kp_driving": given["kp_driving"] + np.float32(shift)}
        held = decoder.run({"feature": warp.run(moved, hold=("out",))["out"]})["output"]
        fetched = decoder.run({"feature": array(warp.run(moved)["out"])})["output"]
        assert np.abs(array(held) - array(fetched)).max() < 1e-3


def test_an_uploaded_value_is_the_same(engine: Engine, checkpoint: Checkpoint) -> None:
    """The features of a photo are on the device already; each run finds them there."""
    warp = checkpoint.load("warp_network", engine)
    given = feeds(SPECS["warp_network"])
    kept = engine.upload(given["feature_3d"])
    assert np.array_equal(kept.fetch(), given["feature_3d"])
    for shift in (0.0, 0.05, 0.1, 0.15):
        moved = given | {"kp_driving": given["kp_driving"] + np.float32(shift)}
        there = array(warp.run({**moved, "feature_3d": kept})["out"])
        assert np.abs(there - array(warp.run(moved)["out"])).max() < 1e-3
    kept.release()
    warp.release()


def test_sessions_share_weights_and_do_not_disturb_each_other(
    engine: Engine, checkpoint: Checkpoint
) -> None:
    given = feeds(SPECS["stitch_network"])
    other = {name: -value for name, value in given.items()}
    first, second = (checkpoint.load("stitch_network", engine) for _ in range(2))
    alone = [array(net.run(f)["out"]) for net, f in ((first, given), (second, other))]
    for _ in range(3):
        assert np.array_equal(array(first.run(given)["out"]), alone[0])
        assert np.array_equal(array(second.run(other)["out"]), alone[1])


def test_memory_is_given_back(engine: Engine, checkpoint: Checkpoint) -> None:
    """The second session of many leaves as little as the first: nothing adds up."""
    names = ("warp_network", "decoder")
    keeper = [checkpoint.load(name, engine) for name in names]  # weights stay
    use(keeper)
    before = engine.memory_bytes()
    assert before is not None
    for _ in range(5):
        session = [checkpoint.load(name, engine) for name in names]
        use(session)
        for network in session:
            network.release()
    after = engine.memory_bytes()
    assert after is not None
    assert after - before < 64 << 20


def use(networks: list[Network]) -> None:
    for network in networks:
        network.run(feeds(SPECS[network.name]))
