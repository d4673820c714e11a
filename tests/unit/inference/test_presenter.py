from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.character import Character
from inference.motion import Pose
from inference.mouth import REST_SHAPE, Curve, MouthShape, envelope
from inference.presenter import (
    INTERIOR_LUMA,
    Instant,
    Presenter,
    mouth_opening,
    mouth_region,
)
from rawmedia import Frame, MediaFormat

from .conftest import MEDIA, best_lag, clip_of, correlation, presenter, unit

FEW = 24  # pixels: a corner of the region may touch the shade below the chin


@pytest.fixture(scope="module")
def character() -> Character:
    return Character(MEDIA.width, MEDIA.height)


def drawn(face: Character, mouth: MouthShape = REST_SHAPE, pose: Pose | None = None) -> Frame:
    frame, _samples = unit()
    face.draw(frame, mouth, pose or Pose())
    return frame


def through_lossy_codec(frame: Frame) -> Frame:
    """4:2:0 and coarse quantisation: harsher to a mouth than H.264 at 700 kbit/s."""
    how = [cv2.IMWRITE_JPEG_QUALITY, 25]
    how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    data = cv2.imencode(".jpg", frame, how)[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def measured(source: Presenter, units: int) -> tuple[Curve, Curve, Curve]:
    """(opening as rendered, as decoded, envelope of the sound that came with the pictures)."""
    frame, samples = unit()
    x, y, width, height = mouth_region(source)
    around = (slice(y - y % 16, y + height + 16), slice(x - x % 16, x + width + 16))
    region = (x % 16, y % 16, width, height)
    rendered, decoded, loud = [], [], []
    for _ in range(units):
        source.render(frame, samples)
        rendered.append(mouth_opening(frame, (x, y, width, height)))
        decoded.append(mouth_opening(through_lossy_codec(frame[around]), region))
        loud.append(float(envelope(samples, len(samples))[0]))
    return np.array(rendered, float), np.array(decoded, float), np.array(loud)


@pytest.mark.parametrize("kind", ["character", "portrait"])
def test_seen_opening_follows_heard_envelope(kind: str, astronaut: Path) -> None:
    source = presenter(image=str(astronaut) if kind == "portrait" else "")
    rendered, decoded, loud = measured(source, clip_of(source).units + 40)
    for seen in (rendered, decoded):
        assert correlation(seen, loud) >= 0.85
        assert best_lag(seen, loud) == 0
    assert rendered.max() > 500, "too small to be measured in a decoded picture"
    resting = rendered[-30:]
    assert resting.max() - resting.min() <= 0.04 * (rendered.max() - rendered.min())


def test_a_drawn_mouth_at_rest_is_not_dark(character: Character) -> None:
    for index in range(5):
        pose = Pose(x=index / 2 - 1, y=1 - index / 2, tilt=index / 2 - 1, lids=index / 4)
        assert mouth_opening(drawn(character, pose=pose), character.mouth_region) <= FEW


def test_drawn_opening_is_proportional(character: Character) -> None:
    steps = np.arange(11) / 10
    dark = [mouth_opening(drawn(character, MouthShape(a)), character.mouth_region) for a in steps]
    assert dark == sorted(dark)
    assert correlation(dark, steps) > 0.98


@pytest.mark.parametrize("turn", [-1.2, 0.0, 1.2])
def test_wide_is_wider_than_round(character: Character, turn: float) -> None:
    def width(mouth: MouthShape) -> int:
        x, y, w, h = character.mouth_region
        area = cv2.cvtColor(drawn(character, mouth, Pose(turn=turn)), cv2.COLOR_BGR2GRAY)
        columns = (area[y : y + h, x : x + w] < INTERIOR_LUMA).any(axis=0)
        return int(columns.sum())

    neutral = width(MouthShape(0.5))
    assert width(MouthShape(0.5, wide=1.0)) > 1.1 * neutral
    assert width(MouthShape(0.5, round=1.0)) < 0.75 * neutral


def test_the_mouth_keeps_to_its_region(character: Character) -> None:
    """A test that measures there must see all of it, wherever the head is."""
    x, y, width, height = character.mouth_region
    for pose in (Pose(x=-1, y=-1, tilt=-1, turn=-1.2), Pose(x=1, y=1.7, tilt=1, turn=1.2)):
        shut, wide = drawn(character, pose=pose), drawn(character, MouthShape(1, wide=1), pose)
        dark = (wide.max(axis=2) < 90) & (shut.min(axis=2) > 90)
        rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
        assert y <= rows[0] <= rows[-1] < y + height
        assert x <= columns[0] <= columns[-1] < x + width


def test_silence_moves_everything_but_the_lips(tmp_path: Path) -> None:
    source = presenter(pause_seconds=6.0)
    source._next = Instant(index=clip_of(source).units + 20, pause=100)
    frame, samples = unit()
    frames, dark = [], []
    for _ in range(60):
        source.render(frame, samples)
        assert not samples.any()
        frames.append(frame.copy())
        dark.append(mouth_opening(frame, mouth_region(source)))
    assert max(dark) <= FEW
    assert any((a != b).any() for a, b in pairwise(frames)), "it is frozen"


def test_blinking_closes_the_eyes(character: Character) -> None:
    def dark(pose: Pose) -> int:
        x, y, width, height = character.mouth_region
        above = drawn(character, pose=pose)[
            y - 2 * height : y - height, x - width // 2 : x + 2 * width
        ]
        return int((above.max(axis=2) < 60).sum())

    assert dark(Pose(lids=1.0)) < 0.7 * dark(Pose())


def test_rounds_repeat_with_their_pause() -> None:
    source = presenter(MediaFormat(64, 64, 25), pause_seconds=1.0)
    media = MediaFormat(64, 64, 25)
    frame, samples = unit(media)
    first = []
    for _ in range(clip_of(source).units + 25):
        source.render(frame, samples)
        first.append(samples.copy())
    assert (np.concatenate(first[: clip_of(source).units]) == clip_of(source).samples).all()
    assert not np.concatenate(first[clip_of(source).units :]).any()
    source.render(frame, samples)
    assert (samples == first[0]).all()


def test_no_pause_at_all() -> None:
    media = MediaFormat(64, 64, 25)
    source = presenter(media, pause_seconds=0.0)
    frame, samples = unit(media)
    for _ in range(clip_of(source).units + 1):
        source.render(frame, samples)
    assert (samples == clip_of(source).unit(0)).all()


@pytest.mark.parametrize(
    "media",
    [
        MediaFormat(16, 16, 25),
        MediaFormat(640, 360, 30),
        MediaFormat(720, 1280, 25, 44_100, 2),
        MediaFormat(4096, 16, 1, 8_000),
        MediaFormat(16, 4096, 60, 24_000, 2),
        MediaFormat(1920, 1080, 50),
    ],
    ids=lambda m: f"{m.width}x{m.height}",
)
def test_every_format(media: MediaFormat) -> None:
    source = presenter(
        media, audio_rate_hz=media.audio_rate_hz, audio_channels=media.audio_channels
    )
    frame, samples = unit(media)
    source.render(frame, samples)
    assert (samples != 7777).all()
    assert (frame != 77).any(axis=2).mean() > 0.95, "a part of the frame was not drawn"
    x, y, width, height = mouth_region(source)
    assert 0 <= x < x + width <= media.width
    assert 0 <= y < y + height <= media.height


def test_two_presenters_draw_the_same() -> None:
    frames = []
    for _ in range(2):
        source, (frame, samples) = presenter(), unit()
        for _ in range(20):
            source.render(frame, samples)
        frames.append(frame)
    assert (frames[0] == frames[1]).all()


def test_only_a_presenter_has_a_mouth() -> None:
    with pytest.raises(TypeError, match="object has no known mouth"):
        mouth_region(object())
