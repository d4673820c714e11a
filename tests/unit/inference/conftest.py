"""What several of these tests look at; made once, because nothing changes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data as skimage_data

from config import Settings
from inference.presenter import Presenter
from inference.source import make_source
from inference.speech import Clip
from rawmedia import Frame, MediaFormat, Samples

MEDIA = MediaFormat(1280, 720, 25)
data: Any = skimage_data  # without types


@pytest.fixture(scope="session")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A public-domain portrait as a PNG file."""
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    cv2.imwrite(str(path), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    return path


def presenter(media: MediaFormat = MEDIA, **settings: object) -> Presenter:
    """The source of these settings, which must be a presenter."""
    given = {"width": media.width, "height": media.height, "fps": media.fps} | settings
    source = make_source(Settings(**given), media)  # type: ignore[arg-type]
    assert isinstance(source, Presenter)
    return source


def clip_of(source: Presenter) -> Clip:
    """What it repeats."""
    assert source.repeated
    return source.repeated.clip


def unit(media: MediaFormat = MEDIA) -> tuple[Frame, Samples]:
    """Memory for one unit, filled with something that no source draws."""
    frame = np.full((media.height, media.width, 3), 77, np.uint8)
    samples = np.full((media.samples_per_unit, media.audio_channels), 7777, np.int16)
    return frame, samples


def correlation(a: object, b: object, lag: int = 0) -> float:
    """Of a, delayed by ``lag`` against b."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if lag > 0:
        x, y = x[lag:], y[:-lag]
    elif lag < 0:
        x, y = x[:lag], y[-lag:]
    return float(np.corrcoef(x, y)[0, 1])


def best_lag(a: object, b: object) -> int:
    """The delay of a against b, in frames."""
    return max(range(-4, 5), key=lambda lag: correlation(a, b, lag))
