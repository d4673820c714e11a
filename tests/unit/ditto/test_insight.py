"""InsightFace's arithmetic, for those who may use its weights."""

from __future__ import annotations

import numpy as np
import pytest

from inference.checkpoint.folder import Checkpoint
from inference.ditto import insight
from inference.ditto.layout import Floats
from inference.ditto.networks import NAMES, Networks
from inference.ditto.registration import Look, register
from inference.engines.onnx_engine import OnnxEngine
from inference.errors import NoFaceFound
from rawmedia import Frame
from tests.unit.ditto.test_registration import NAME


def said(*found: tuple[int, int, float, tuple[float, float, float, float]]) -> dict[str, Floats]:
    """Outputs: (stride number, row, score, distances to left, top, right, bottom in strides)."""
    outputs = {}
    for number, rows in enumerate((8192, 2048, 512), start=1):
        outputs[f"scores{number}"] = np.zeros((rows, 1), np.float32)
        outputs[f"boxes{number}"] = np.zeros((rows, 4), np.float32)
    for number, row, score, sides in found:
        outputs[f"scores{number}"][row] = score
        outputs[f"boxes{number}"][row] = sides
    return outputs


def test_a_picture_fills_the_upper_left() -> None:
    tall = np.full((1000, 301, 3), (10, 20, 30), np.uint8)
    planes, scale = insight.detector_input(tall)
    assert planes.shape == (1, 3, 512, 512)
    assert scale == 0.512
    wanted = (np.array((30, 20, 10)) - 127.5) / 128  # the channels the other way round
    assert planes[0, :, 500, 153] == pytest.approx(wanted)
    assert planes[0, 0, 500, 154] == pytest.approx(-127.5 / 128)  # int(154.112)


def test_boxes_are_around_their_places() -> None:
    # second anchor of the cell at column 3, row 2 of stride 16
    row = 2 * (2 * 32 + 3) + 1
    found = insight.boxes(said((2, row, 0.9, (1, 2, 3, 4))), 0.5)
    assert found.tolist() == [[(48 - 16) * 2, (32 - 32) * 2, (48 + 48) * 2, (32 + 64) * 2]]


def test_of_overlapping_boxes_the_surest_and_the_largest_first() -> None:
    small = (1, 2 * (40 * 64 + 50), 0.95, (2.0, 2.0, 2.0, 2.0))
    large = (3, 2 * (4 * 16 + 4), 0.6, (3.0, 3.0, 3.0, 3.0))
    again = (3, 2 * (4 * 16 + 4) + 1, 0.55, (3.0, 3.0, 3.0, 2.9))
    weak = (3, 2 * (12 * 16 + 12), 0.49, (3.0, 3.0, 3.0, 3.0))
    found = insight.boxes(said(small, large, again, weak), 1.0)
    assert found.tolist() == [[32, 32, 224, 224], [384, 304, 416, 336]]


def test_106_points_come_back_to_the_picture() -> None:
    picture = np.zeros((400, 600, 3), np.uint8)
    crop, into = insight.landmark_crop(picture, np.array((100, 100, 200, 180), np.float32))
    assert crop.shape == (1, 3, 192, 192)
    output = np.zeros((1, 212), np.float32)  # all in the middle of the crop
    output[0, 2 * 52] = output[0, 2 * 61] = 0.5  # lips half way to its right edge
    seed = insight.seed_of_106(output, into)
    assert seed.eyes == pytest.approx((150, 140), abs=1e-3)
    assert seed.lips == pytest.approx((150 + 0.25 * 150, 140), abs=1e-3)


def test_a_face_is_found_with_it(checkpoint: Checkpoint, photo: Frame) -> None:
    engine = OnnxEngine(threads=1)
    networks = Networks(checkpoint.load_all(engine, (*NAMES, *insight.NAMES)))
    found = register(NAME, [photo], networks, Look())
    assert np.hypot(*(found.views[0].points.mean(axis=0) - (93, 118))) < 25
    green = np.zeros((200, 300, 3), np.uint8)
    green[..., 1] = 90
    with pytest.raises(NoFaceFound, match="tried InsightFace"):
        register(NAME, [green], networks, Look())
    engine.close()
