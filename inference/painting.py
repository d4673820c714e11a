"""What of the character never changes: painted once for each size, and kept for the next stream.

It takes longer than all else that a worker does before its first picture, and a viewer waits for
it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from inference import figure, studio
from inference.kept import Array, Shelf, cache_folder, checked, code, key_of_files
from inference.paint import Extent, Layer
from rawmedia import Frame

# What decides how a painting looks, besides its place.
SOURCES = ("figure", "paint", "painting", "studio")
# 14 MB each at 720p, 50 MB at 4K.
MOST_KEPT, MOST_KEPT_BYTES = 8, 256_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the character stands in pictures of one size."""

    width: int
    height: int
    centre: tuple[float, float]  # of its coordinates, in pixels
    unit: float  # pixels in the picture
    scale: float  # pixels of a unit in the layers


@dataclass(frozen=True, slots=True)
class Painting:
    """All that does not move by itself."""

    studio: Frame  # HxWx3 BGR
    body: Layer
    head: Layer  # without eyes, brows, nose and mouth
    jaw: Layer


def paint(place: Place) -> Painting:
    """Paint it anew."""
    head, jaw = figure.draw_head(place.scale)
    background = studio.draw_studio(place.width, place.height, place.centre, place.unit)
    return Painting(background, figure.draw_body(place.scale), head, jaw)


def painting(place: Place, shelf: Shelf | None = None) -> Painting:
    """As it was kept, else painted and kept.

    Args:
        place: where the character stands.
        shelf: None: the user's.
    """
    if shelf is None:
        shelf = Shelf(cache_folder("paintings"), MOST_KEPT, MOST_KEPT_BYTES)
    return shelf.kept_or_made(
        key_of_files(code(*SOURCES), np.__version__, cv2.__version__, repr(place)),
        lambda arrays: _restored(arrays, place),
        lambda: paint(place),
        _arrays,
    )


def _arrays(of: Painting) -> dict[str, Array]:
    layers = {"body": of.body.pixels, "head": of.head.pixels, "jaw": of.jaw.pixels}
    return {"studio": of.studio, **layers}


def _restored(arrays: dict[str, Array], place: Place) -> Painting:
    return Painting(
        checked(arrays["studio"], np.uint8, (place.height, place.width, 3)),
        _layer(arrays["body"], figure.BODY_EXTENT, place.scale),
        _layer(arrays["head"], figure.HEAD_EXTENT, place.scale),
        _layer(arrays["jaw"], figure.JAW_EXTENT, place.scale),
    )


def _layer(pixels: Array, extent: Extent, scale: float) -> Layer:
    blank = Layer.blank(extent, scale)
    return replace(blank, pixels=checked(pixels, np.uint8, blank.pixels.shape))
