"""A network camera that dies and comes back, and a microphone, through the real libraries."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest

from config import Settings
from inference.camera import Camera
from inference.errors import MicrophoneUnreadable
from inference.microphone import Microphone
from inference.source import check_source, make_source
from inference.testcard import TestCard
from inference.timecode import TimeCode, read_code
from rawmedia import MediaFormat
from tests.browser.need import require
from tests.clips import FFMPEG

pytestmark = pytest.mark.ffmpeg

MEDIA = MediaFormat(320, 180, 25)
FPS = 25


class MotionJpeg(BaseHTTPRequestHandler):
    """A camera as many are: JPEG after JPEG in one answer, each with the time it was taken."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        card = TestCard(MEDIA)
        frame = np.empty((180, 320, 3), np.uint8)
        samples = np.empty((MEDIA.samples_per_unit, 1), np.int16)
        try:
            while not self.server.dead.is_set():  # type: ignore[attr-defined]
                card.render(frame, samples)
                _good, jpeg = cv2.imencode(".jpg", frame)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                time.sleep(1 / FPS)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


class CameraServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), MotionJpeg)
        self.dead = threading.Event()
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def die(self) -> None:
        self.dead.set()
        self.shutdown()
        self.server_close()


@pytest.fixture
def server() -> Iterator[CameraServer]:
    server = CameraServer()
    yield server
    server.die()


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


def test_the_newest_picture_wins_and_a_lost_camera_comes_back(server: CameraServer) -> None:
    camera = Camera(f"http://127.0.0.1:{server.port}/live.mjpg", MEDIA)
    viewer = Viewer(camera)
    try:
        viewer.until_younger(15, 0.5)
        ages = []
        for _ in range(8):
            time.sleep(0.3)  # a consumer of 3 pictures a second, a camera of 25
            ages.append(viewer.age())
        assert max(ages[4:]) < 0.5, "delay does not grow"
        server.die()
        time.sleep(1)
        assert viewer.code() is not None, "the last picture is held"
        assert viewer.age() > 0.9
        back = CameraServer(server.port)
        try:
            viewer.until_younger(15, 0.5)
        finally:
            back.die()
    finally:
        camera.close()


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


def test_a_missing_device_is_silence_and_is_looked_for() -> None:
    microphone = Microphone("alsa:nonexistent", MEDIA, require("ffmpeg"))
    samples = np.full((MEDIA.samples_per_unit, 1), 9, np.int16)
    try:
        microphone.fill(samples)
        assert not samples.any()
        time.sleep(0.3)
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
