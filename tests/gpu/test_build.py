"""Engines are built by TensorRT once, and are there the second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.checkpoint.folder import Checkpoint
from inference.engines.build import plan
from inference.engines.engine_files import AMPERE_PLUS
from inference.engines.errors import NetworkUnusable
from inference.engines.tensorrt_build import build
from inference.engines.tensorrt_engine import TensorRtEngine
from inference.engines.tensorrt_library import open_library


@pytest.fixture(autouse=True)
def _needs_tensorrt(built: str) -> None:
    if built:
        pytest.skip(f"tensorrt: {built}")


def test_nothing_is_left_to_build(checkpoint: Checkpoint, engine_folder: Path) -> None:
    paths = [checkpoint.path(spec.name) for spec in checkpoint.specs]
    library = open_library()
    try:
        steps = plan(paths, engine_folder, library.version, library.gpu, fresh=False)
        elsewhere = plan(paths, engine_folder, library.version, "Another 1.0", fresh=False)
    finally:
        library.close()
    assert all(step.built for step in steps)
    assert not any(step.built for step in elsewhere)


def test_an_engine_for_ampere_and_newer(checkpoint: Checkpoint, tmp_path: Path) -> None:
    library = open_library()
    try:
        path = checkpoint.path("stitch_network")
        (step,) = plan([path], tmp_path, library.version, AMPERE_PLUS, fresh=False)
        shares: list[float] = []
        step.target.write_bytes(build(library, path, step.recipe, shares.append))
    finally:
        library.close()
    assert shares
    engine = TensorRtEngine(tmp_path)
    assert engine.load(path).outputs[0].shape == (1, 21, 3)
    engine.close()


def test_a_damaged_engine_is_refused(
    checkpoint: Checkpoint, engine_folder: Path, tmp_path: Path
) -> None:
    path = checkpoint.path("stitch_network")
    for whole in engine_folder.glob("stitch_network_*.engine"):
        (tmp_path / whole.name).write_bytes(whole.read_bytes()[:1000])
    engine = TensorRtEngine(tmp_path)
    with pytest.raises(NetworkUnusable, match="build-engines --fresh"):
        engine.load(path)
    engine.close()
