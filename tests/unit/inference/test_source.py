from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from config import Settings
from inference.camera import Camera, letterboxed, public_name
from inference.errors import AudioRejected, ImageRejected, UnknownSource
from inference.source import check_source, make_source
from rawmedia import MediaFormat

from .conftest import unit

MEDIA = MediaFormat(64, 64, 25)


@pytest.mark.parametrize(
    "source", ["", "camera", "camera:", "file", "file:", "stdin", "Avatar", "a\nb"]
)
def test_unknown_sources_name_the_choices(source: str) -> None:
    for refuse in (check_source, make_source):
        with pytest.raises(
            UnknownSource, match="choose avatar, testcard, ingest, file:PATH, or "
        ) as caught:
            refuse(Settings(source=source), MEDIA)
        assert "\n" not in str(caught.value)
        assert caught.value.source == source


def test_bad_files_are_refused_by_check_and_make(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"nothing")
    for refuse in (check_source, make_source):
        with pytest.raises(ImageRejected, match="PNG, JPEG"):
            refuse(Settings(image=str(bad)), MEDIA)
        with pytest.raises(AudioRejected, match="WAV, FLAC"):
            refuse(Settings(audio=str(bad)), MEDIA)


def test_good_settings_pass(astronaut: Path) -> None:
    for settings in (
        Settings(),
        Settings(image=str(astronaut)),
        Settings(source="camera:0"),
        Settings(source="testcard"),
    ):
        check_source(settings, MEDIA)


def test_checking_the_built_in_source_loads_no_opencv() -> None:
    """The supervisor checks before it starts anything; it must not pay for pictures."""
    code = (
        "import sys, config, rawmedia, inference.source as s\n"
        "s.check_source(config.Settings(), rawmedia.MediaFormat(1280, 720, 25))\n"
        "sys.exit(any(m in sys.modules for m in ('cv2', 'soundfile', 'soxr')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rendering_loads_nothing_heavy() -> None:
    code = (
        "import sys, config, rawmedia, inference.source as s\n"
        "s.make_source(config.Settings(), rawmedia.MediaFormat(64, 64, 25))\n"
        "sys.exit(any(m in sys.modules for m in ('scipy', 'skimage', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("size", "bars"), [((200, 100), "rows"), ((100, 200), "columns"), ((64, 64), "none")]
)
def test_letterboxing_keeps_the_aspect(size: tuple[int, int], bars: str) -> None:
    picture = np.full((size[1], size[0], 3), 200, np.uint8)
    shown = letterboxed(picture, MEDIA)
    assert shown.shape == (64, 64, 3)
    bright = shown[..., 0] > 100
    assert bright.any(axis=1).sum() == (32 if bars == "rows" else 64)
    assert bright.any(axis=0).sum() == (32 if bars == "columns" else 64)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 128))
    for _ in range(8):
        writer.write(np.full((128, 128, 3), 180, np.uint8))
    writer.release()
    return path


def first_picture(camera: Camera, deadline: float = 10.0) -> bool:
    frame, samples = unit(MEDIA)
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        camera.render(frame, samples)
        assert not samples.any()
        if frame.mean() > 100:
            return True
    return False


def test_a_recording_is_played_as_a_camera(recording: Path) -> None:
    camera = make_source(Settings(source=f"camera:{recording}"), MEDIA)
    assert isinstance(camera, Camera)
    try:
        assert first_picture(camera)
    finally:
        camera.close()


def test_the_last_picture_is_held_and_the_device_looked_for(recording: Path) -> None:
    camera = Camera(str(recording), MEDIA)
    try:
        assert first_picture(camera)
        recording.unlink()
        frame, samples = unit(MEDIA)
        camera._thread.join(0.7)  # past the end of the film
        camera.render(frame, samples)
        assert frame.mean() > 100
        assert camera._thread.is_alive()
    finally:
        camera.close()
    camera._thread.join(20)  # close() does not wait for a driver that hangs
    assert not camera._thread.is_alive()


def test_a_missing_camera_is_dark_and_silent() -> None:
    camera = Camera("/nonexistent/device", MEDIA)
    frame, samples = unit(MEDIA)
    camera.render(frame, samples)
    camera.close()
    assert frame.max() == 16
    assert not samples.any()


def test_secrets_in_a_url_are_not_logged() -> None:
    url = "rtsp://ann:secret@cam.example:554/live/1?token=hidden"
    assert public_name(url) == "rtsp://cam.example:554/live/1"
    assert public_name("/dev/video0") == "/dev/video0"
