"""The networks without weights: shapes of the real ones, and mistakes in feeding them show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.checkpoint.folder import NETWORKS_FOLDER
from inference.checkpoint.networks import SPECS, WINDOW, Spec
from inference.engines.onnx_engine import OnnxEngine
from inference.engines.protocol import Array, Network, Tensor, array, fits
from inference.synthetic import checkpoint
from inference.synthetic.motion import resting_key_points


def network(engine: OnnxEngine, folder: Path, name: str) -> Network:
    return engine.load(folder / NETWORKS_FOLDER / f"{SPECS[name].stems[0]}.onnx")


def feeds(spec: Spec, seed: int = 0) -> dict[str, Array]:
    """Numbers without meaning, of the right shapes."""
    rng = np.random.default_rng(seed)
    free = 6480 if spec.name == "hubert" else 1
    shapes = {t.name: [free if n is None else n for n in t.shape] for t in spec.inputs}
    return {
        t.name: rng.random(shapes[t.name]).astype(np.float32)
        if t.dtype.kind == "f"
        else np.array([499])
        for t in spec.inputs
    }


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_shapes_are_those_of_the_published_networks(
    engine: OnnxEngine, folder: Path, spec: Spec
) -> None:
    found = network(engine, folder, spec.name)
    assert found.inputs == spec.inputs
    results = found.run(feeds(spec))
    assert list(results) == [t.name if isinstance(t, Tensor) else t for t in spec.outputs]
    for tensor in spec.outputs:
        if isinstance(tensor, Tensor):
            value = array(results[tensor.name])
            assert fits(tensor.shape, value.shape), tensor
            assert value.dtype == tensor.dtype
            assert np.isfinite(value).all()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_input_changes_something(engine: OnnxEngine, folder: Path, spec: Spec) -> None:
    found = network(engine, folder, spec.name)
    given = feeds(spec)
    before = found.run(given)
    for name, value in given.items():
        other = value * 0.5 if value.dtype.kind == "f" else value + 300
        after = found.run(given | {name: other})
        assert any(not np.array_equal(array(before[k]), array(after[k])) for k in before), name


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    checkpoint.write(tmp_path)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*.*"))
    assert len(files) == len(SPECS) + 2
    for file in files:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


def test_a_ramp_of_samples_comes_out_as_a_ramp_of_motions(engine: OnnxEngine, folder: Path) -> None:
    """The row that belongs to each video frame is told from its neighbours."""
    hubert, lmdm = (network(engine, folder, name) for name in ("hubert", "lmdm"))
    steps = np.arange(10) / 100  # of a window: three frames before, five of its own, two after
    samples = np.append(np.repeat(steps, 640), np.full(80, 0.1)).astype(np.float32)
    rows = array(hubert.run({"input_values": samples[np.newaxis]})["encoding_out"])[-14:-4]
    features = rows.reshape(5, 2, 1024).mean(axis=1)
    assert features[:, 0] == pytest.approx(steps[3:8], abs=1e-6)
    condition = np.zeros((1, WINDOW, 1103), np.float32)
    condition[0, :5, :1024] = features
    given = feeds(SPECS["lmdm"]) | {"cond": condition}
    motion = array(lmdm.run(given)["x_start"])
    assert motion[0, :5, 0] == pytest.approx(steps[3:8], abs=1e-6)


def test_a_face_at_rest_comes_back_as_it_was(engine: OnnxEngine, folder: Path) -> None:
    """Each colour where it was: red rises to the right, green downwards, blue is a disc."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)
    x, y = np.meshgrid(ramp, ramp)
    disc = np.exp(-((x - 0.3) ** 2 + (y - 0.6) ** 2) * 8)
    small = np.stack([x, y, disc])[np.newaxis].astype(np.float32)
    points = resting_key_points()[np.newaxis].astype(np.float32)
    picture = drawn(engine, folder, small, points, points)
    again = picture.reshape(1, 3, 256, 2, 256, 2).mean(axis=(3, 5))
    assert np.abs(again - small).max() < 0.01


def test_source_and_drive_are_told_apart(engine: OnnxEngine, folder: Path) -> None:
    """What was at a source point is found at the driven one, a shift of whole blocks away."""
    small = np.zeros((1, 3, 256, 256), np.float32)
    small[:, :, 120:136, 120:136] = 1.0  # a square in the middle
    source = np.zeros((1, 21, 3), np.float32)
    driven = source + np.array([0.25, 0.0, 0.0], np.float32)
    there = drawn(engine, folder, small, source, driven)
    back = drawn(engine, folder, small, driven, source)
    assert centre_x(there) > 262 > 250 > centre_x(back)


def drawn(engine: OnnxEngine, folder: Path, picture: Array, source: Array, driven: Array) -> Array:
    names = ("appearance_extractor", "warp_network", "decoder")
    look, warp, decode = (network(engine, folder, name) for name in names)
    volume = look.run({"image": picture}, hold=("pred",))["pred"]
    moved = warp.run(
        {"feature_3d": volume, "kp_source": source, "kp_driving": driven}, hold=("out",)
    )
    return array(decode.run({"feature": moved["out"]})["output"])


def centre_x(picture: Array) -> float:
    columns = picture.sum(axis=(0, 1, 2))
    return float((columns * np.arange(columns.size)).sum() / columns.sum())
