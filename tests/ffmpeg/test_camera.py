"""A network camera that dies and comes back, and a microphone, through the real libraries."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from config import Settings
from inference.camera import Camera
from inference.devices import Devices, Outside
from inference.errors import MicrophoneUnreadable
from inference.microphone import Microphone
from inference.source import check_source, make_source
from inference.timecode import TimeCode, read_code
from tests.browser.need import require
from tests.clips import FFMPEG
from tests.ffmpeg.camera_server import FPS, MEDIA, NetworkCamera
from tests.ffmpeg.test_sources import pictures, window
from tests.ffmpeg.test_speech import Ear
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

SMALL = ("--width", "320", "--height", "180", "--video-kbit", "300", "--ladder", "single")


class Viewer:
    """Takes units from a source and reads the time code."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._frame = np.empty((180, 320, 3), np.uint8)
        self._samples = np.empty((MEDIA.samples_per_unit, 1), np.int16)

    def code(self) -> TimeCode | None:
        self._camera.render(self._frame, self._samples)
        return read_code(self._frame)

    def age(self) -> float:
        """Seconds since the picture that is shown was taken."""
        code = self.code()
        assert code is not None
        return time.time() - code.milliseconds / 1000

    def until_younger(self, seconds: float, than: float) -> None:
        deadline = time.monotonic() + seconds
        while self.code() is None or self.age() > than:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_newest_picture_wins_and_a_lost_camera_comes_back() -> None:
    with NetworkCamera() as network:
        camera = Camera(network.url, MEDIA)
        viewer = Viewer(camera)
        try:
            assert viewer.code() is not None, "the first unit has the first picture"
            viewer.until_younger(15, 0.5)
            ages = []
            for _ in range(24):
                time.sleep(0.3)  # a consumer of 3 pictures a second, a camera of 25
                ages.append(viewer.age())
            assert statistics.median(ages) < 0.5, ages
            # A queue would have grown by more than 6 s.
            assert statistics.median(ages[-8:]) < statistics.median(ages[:8]) + 0.1, ages
            network.die()
            time.sleep(1)
            assert viewer.code() is not None, "the last picture is held"
            assert viewer.age() > 0.9
            with NetworkCamera(network.port):
                viewer.until_younger(15, 0.5)
        finally:
            camera.close()


def test_a_camera_that_vanishes_is_told_and_so_is_its_return(running: Service) -> None:
    """By the API, for whoever listens: the stream itself is live all the while."""
    with NetworkCamera() as network:
        post(running, "lobby", network.url)
        ear = Ear(running.url, "lobby")
        until(lambda: shown(running, "lobby").get("device_up") == {"camera": 1}, 15)
        first = pictures(window(running, "lobby", "v0", 1))[0][1]
        assert read_code(first) is not None, "it begins with the first picture, not in the dark"
        assert "lipstream_device_up{" in metric(running, 'device="camera",stream="lobby"} 1.0')
    until(lambda: told(ear, "source_stalled"), 10)
    (lost,) = told(ear, "source_stalled")
    assert lost["device"] == "camera"
    assert lost["called"] == network.url
    assert lost["reason"] == "it gives no more pictures"
    assert lost["msn"] > 0
    # Figures are told twice a second: those of before are seen a little longer.
    until(lambda: shown(running, "lobby")["state"] == "live", 5)
    until(lambda: shown(running, "lobby")["device_up"] == {"camera": 0}, 5)
    figures = shown(running, "lobby")
    assert figures["state"] == "live"
    assert (figures["device_up"], figures["device_losses"]) == ({"camera": 0}, {"camera": 1})
    assert metric(running, 'lipstream_device_losses_total{device="camera",stream="lobby"} 1.0')
    with NetworkCamera(network.port):
        until(lambda: told(ear, "source_recovered"), 15)
        assert told(ear, "source_recovered")[0]["device"] == "camera"
        assert shown(running, "lobby")["device_up"] == {"camera": 1}
    requests.delete(f"{running.url}/api/streams/lobby", timeout=5).raise_for_status()


def test_a_camera_that_was_never_there_is_told_with_its_secret_kept(running: Service) -> None:
    post(running, "attic", "http://user:geheim@127.0.0.1:9/live?key=geheim")
    ear = Ear(running.url, "attic", after=0)
    until(lambda: told(ear, "source_stalled"), 15)
    (lost,) = told(ear, "source_stalled")
    assert (lost["device"], lost["reason"]) == ("camera", "it cannot be opened")
    assert lost["called"] == "http://127.0.0.1:9/live"
    assert shown(running, "attic")["device_up"] == {"camera": 0}
    assert "geheim" not in "".join((*running.log, *map(str, ear.told)))
    requests.delete(f"{running.url}/api/streams/attic", timeout=5).raise_for_status()


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    flags = ("--source", "testcard", *SMALL)
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        yield service


def post(service: Service, stream: str, device: str) -> None:
    wish: dict[str, Any] = {"id": stream, "source": {"type": "camera", "device": device}}
    answer = requests.post(f"{service.url}/api/streams", json=wish, timeout=20)
    assert answer.status_code == 201, answer.text


def shown(service: Service, stream: str) -> dict[str, Any]:
    told: dict[str, Any] = requests.get(f"{service.url}/api/streams/{stream}", timeout=5).json()
    return told


def metric(service: Service, words: str) -> str:
    """The line of ``/metrics`` that has these words."""
    page = requests.get(f"{service.url}/metrics", timeout=5).text
    return next(line for line in page.splitlines() if words in line)


def told(ear: Ear, kind: str) -> list[dict[str, Any]]:
    """What is told of devices; the encoder process tells of gaps in the same words."""
    return [facts for each, facts in ear.told if each == kind and "device" in facts]


def until(is_so: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_microphone_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ALSA's own `file` device in place of a sound card: 20 s of 440 Hz."""
    times = np.arange(48_000 * 20) / 48_000
    tone = (np.sin(2 * np.pi * 440 * times) * 8_000).astype(np.int16)
    (tmp_path / "tone.raw").write_bytes(np.repeat(tone, 2).tobytes())  # stereo, as ffmpeg asks for
    null = 'pcm.tone { type file slave.pcm { type null } file "/dev/null" '
    rest = f'infile "{tmp_path}/tone.raw" format raw }}\n'
    (tmp_path / "alsa.conf").write_text(null + rest)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "alsa.conf"))
    ffmpeg = require("ffmpeg")
    settings = Settings(source="camera:/nonexistent", microphone="alsa:tone", ffmpeg=ffmpeg)
    check_source(settings, MEDIA)
    camera = make_source(settings, MEDIA)
    frame = np.empty((180, 320, 3), np.uint8)
    samples = np.empty((MEDIA.samples_per_unit, 1), np.int16)
    try:
        deadline = time.monotonic() + 15
        samples[:] = 0
        while not samples.any():
            assert time.monotonic() < deadline
            time.sleep(0.04)
            camera.render(frame, samples)
        spectrum = np.abs(np.fft.rfft(samples[:, 0]))
        assert np.argmax(spectrum) * FPS == pytest.approx(440, abs=FPS)
    finally:
        camera.close()


def test_a_missing_device_is_silence_and_is_looked_for_and_told() -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    devices = Devices(Outside(lambda kind, **facts: heard.append((kind, facts))))
    watched = devices.add("microphone", "alsa:nonexistent")
    microphone = Microphone("alsa:nonexistent", MEDIA, require("ffmpeg"), watched)
    samples = np.full((MEDIA.samples_per_unit, 1), 9, np.int16)
    try:
        microphone.fill(samples)
        assert not samples.any()
        until(lambda: heard, 10)
        assert heard[0][0] == "source_stalled"
        assert heard[0][1]["device"] == "microphone"
        assert "its ffmpeg ended with status" in heard[0][1]["reason"]
        assert microphone._thread.is_alive()
    finally:
        microphone.close()
    assert not microphone._thread.is_alive()


def test_an_ffmpeg_without_the_input_is_told_before_a_stream_starts(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' D  v4l2 Video'\n")
    program.chmod(0o755)
    with pytest.raises(MicrophoneUnreadable, match="built without the input 'alsa'"):
        check_source(
            Settings(source="camera:0", microphone="alsa:default", ffmpeg=str(program)), MEDIA
        )
    check_source(Settings(source="camera:0", microphone="pulse:default", ffmpeg=FFMPEG), MEDIA)
