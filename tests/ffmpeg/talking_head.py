"""A checkpoint of tiny networks and a portrait, for streams and files of the talking head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
from skimage import data as skimage_data

from config import SILENT, Settings
from inference.synthetic import checkpoint

data: Any = skimage_data  # without types
WIDTH, HEIGHT = 384, 216
_SERVED = ("engine", "checkpoint", "runtime", "image", "audio", "width", "height")


def settings_in(folder: Path) -> Settings:
    """Of a live face; its files are written to a folder."""
    checkpoint.write(folder / "checkpoint")
    # without the astronaut's orange suit, which the tiny networks take for skin
    head = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[0:190, 130:320]
    cv2.imwrite(str(folder / "face.png"), head)
    return Settings(
        engine="ditto",
        checkpoint=str(folder / "checkpoint"),
        runtime="onnx-cpu",
        image=str(folder / "face.png"),
        audio=SILENT,
        width=WIDTH,
        height=HEIGHT,
    )


def flags_of(settings: Settings) -> tuple[str, ...]:
    """The same for `lipstream serve`, with one rendition."""
    given = (x for name in _SERVED for x in (f"--{name}", str(getattr(settings, name))))
    return (*given, "--ladder", "single")
