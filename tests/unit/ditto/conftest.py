"""One synthetic checkpoint, and a face registered with it, for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data as skimage_data

from config import Settings
from inference.checkpoint.folder import Checkpoint, open_checkpoint
from inference.ditto.avatar import Avatar
from inference.ditto.hearing import Chunks
from inference.ditto.mind import Mind
from inference.ditto.networks import NAMES, Networks
from inference.ditto.recipe import Recipe
from inference.ditto.registration import fitted, register
from inference.ditto.scene import Scene, photo_scene
from inference.engines.onnx_engine import OnnxEngine
from inference.synthetic import checkpoint as synthetic
from rawmedia import Frame

data: Any = skimage_data  # without types


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("ditto")
    synthetic.write(folder)
    return open_checkpoint(folder)


@pytest.fixture(scope="session")
def networks(checkpoint: Checkpoint) -> Iterator[Networks]:
    engine = OnnxEngine(threads=1)
    yield Networks(checkpoint.load_all(engine, NAMES))
    engine.close()


@pytest.fixture(scope="session")
def live_recipe(checkpoint: Checkpoint) -> Recipe:
    return Recipe.of(checkpoint.configuration(online=True).defaults)


@pytest.fixture(scope="session")
def offline_recipe(checkpoint: Checkpoint) -> Recipe:
    return Recipe.of(checkpoint.configuration(online=False).defaults)


@pytest.fixture(scope="session")
def photo() -> Frame:
    """A public-domain portrait, BGR, without the suit, whose colour the tiny networks call skin."""
    head = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[0:190, 130:320]
    return fitted(np.ascontiguousarray(head), 1920)


@pytest.fixture
def settings(
    checkpoint: Checkpoint, photo: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A talking head of that photo, in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cv2.imwrite(str(tmp_path / "face.png"), photo)
    return Settings(
        engine="ditto",
        checkpoint=str(checkpoint.folder),
        image=str(tmp_path / "face.png"),
        width=256,
        height=144,
    )


@pytest.fixture(scope="session")
def avatar(photo: Frame, networks: Networks, live_recipe: Recipe) -> Avatar:
    return register(Path("face.png"), [photo], networks, live_recipe.look)


@pytest.fixture(scope="session")
def scene(avatar: Avatar, photo: Frame) -> Scene:
    return photo_scene(avatar, photo, 256, 144)


@pytest.fixture(scope="session")
def mind(networks: Networks, live_recipe: Recipe, avatar: Avatar) -> Mind:
    return Mind.of(networks, live_recipe, avatar, Chunks(), seed=1)
