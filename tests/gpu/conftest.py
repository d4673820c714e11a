"""Engines to compare, where there is a GPU: `make test-gpu`.

LIPSTREAM_CHECKPOINT  a real checkpoint; without it the synthetic one is used
LIPSTREAM_TEST_RUNTIME  only that runtime; onnx-cpu tries the tests themselves, without a GPU, as
    `make test` does with those of the parity
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.checkpoint.folder import Checkpoint, open_checkpoint
from inference.engines.build import carry_out, plan
from inference.engines.choice import open_engine, survey
from inference.engines.errors import RuntimeUnusable
from inference.engines.onnx_engine import OnnxEngine
from inference.engines.protocol import Engine
from inference.engines.tensorrt_build import build
from inference.engines.tensorrt_library import open_library
from inference.synthetic import checkpoint as synthetic

RUNTIMES = ("tensorrt", "onnx-cuda")


def under_test() -> tuple[str, ...]:
    only = os.environ.get("LIPSTREAM_TEST_RUNTIME")
    return (only,) if only else RUNTIMES


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    real = os.environ.get("LIPSTREAM_CHECKPOINT")
    if real:
        return open_checkpoint(Path(real))
    folder = tmp_path_factory.mktemp("synthetic")
    synthetic.write(folder)
    return open_checkpoint(folder)


@pytest.fixture(scope="session")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def built(checkpoint: Checkpoint, engine_folder: Path) -> str:
    """Engines of every network; answers why there are none, if so."""
    try:
        library = open_library()
    except RuntimeUnusable as error:
        return error.reason
    paths = [checkpoint.path(spec.name) for spec in checkpoint.specs]
    try:
        steps = plan(paths, engine_folder, library.version, library.gpu, fresh=False)
        failures = carry_out(
            steps,
            lambda path, recipe, share: build(library, path, recipe, share),
            lambda _name, _share: None,
        )
    finally:
        library.close()
    assert not failures, failures
    return ""


@pytest.fixture(params=under_test())
def engine(
    request: pytest.FixtureRequest, checkpoint: Checkpoint, engine_folder: Path
) -> Iterator[Engine]:
    if request.param == "tensorrt" and (reason := request.getfixturevalue("built")):
        pytest.skip(f"tensorrt: {reason}")
    found = {r.name: r for r in survey((), engine_folder)}[request.param]
    if not found.works:
        pytest.skip(f"{found.name}: {found.refusal}")
    made = open_engine(found.name, engine_folder)
    yield made
    made.close()


@pytest.fixture
def judge() -> Iterator[OnnxEngine]:
    """ONNX Runtime on the CPU, in float32."""
    made = OnnxEngine("cpu")
    yield made
    made.close()
