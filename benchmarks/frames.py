"""Pictures of a talking face and their sound, made once and kept in memory for all runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import numpy as np

from config import Settings
from encoder.pipes import Extent
from inference.source import make_source
from rawmedia import Frame, MediaFormat, Samples

Thing = TypeVar("Thing")


def make_frames(media: MediaFormat, count: int, path: Path, image: str = "") -> Path:
    """The built-in presenter, or a photo, speaking: raw BGR24 in a file; returns it."""
    settings = Settings(image=image, width=media.width, height=media.height, fps=media.fps)
    source = make_source(settings, media)
    samples: Samples = np.empty((media.samples_per_unit, media.audio_channels), np.int16)
    shape = (count, media.height, media.width, 3)
    frames = np.memmap(path, np.uint8, "w+", shape=shape)
    for frame in frames:
        source.render(frame, samples)
    source.close()
    frames.flush()
    return path


def read_frames(path: Path, media: MediaFormat) -> list[Frame]:
    """The pictures of such a file, forth and back: so the face does not jump at the end."""
    frames = list(np.fromfile(path, np.uint8).reshape(-1, media.height, media.width, 3))
    return _forth_and_back(frames)


def extents_of(fd: int, media: MediaFormat) -> list[Extent]:
    """Where those pictures lie in that file, in the same order.

    Args:
        fd: of the file.
        media: of its pictures.
    """
    count = os.fstat(fd).st_size // media.frame_bytes
    return _forth_and_back([Extent(fd, n * media.frame_bytes) for n in range(count)])


def _forth_and_back(things: list[Thing]) -> list[Thing]:
    return things + things[-2:0:-1]


def hum(media: MediaFormat) -> bytes:
    """The sound of one unit: noise with a fixed seed, which an encoder cannot skip."""
    made = np.random.default_rng(1).normal(0, 2000, (media.samples_per_unit, media.audio_channels))
    return made.astype(np.int16).tobytes()
