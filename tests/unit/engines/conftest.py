"""One synthetic checkpoint for all of these tests; nothing changes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.engines.onnx_engine import OnnxEngine
from inference.synthetic import checkpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("synthetic")
    checkpoint.write(made)
    return made


@pytest.fixture(scope="module")
def engine() -> Iterator[OnnxEngine]:
    made = OnnxEngine(threads=1)
    yield made
    made.close()
