"""Flash and beep as hls.js in Chromium shows and plays them: together, whatever happened before.

What the files hold is measured by tests/faults; this is what comes out of a browser. Tests go on
where the one before left the stream.
"""

from __future__ import annotations

import io
import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile
from selenium.webdriver import Chrome

from config import Settings
from inference.presenter import INTERIOR_LUMA, mouth_region
from inference.source import make_source
from inference.timecode import FLASH_AREA
from rawmedia import MediaFormat
from tests.browser import drivers, senses
from tests.browser.need import require
from tests.browser.watching import diagnostics, until, until_live
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 640, 360
SIZE = ("--width", str(WIDTH), "--height", str(HEIGHT), "--ladder", "single")
IN_SYNC_MS = 40.0
FLASHES = 4
STALL_SECONDS = 1.2
LEFT, TOP, RIGHT, BOTTOM = FLASH_AREA
FLASH: senses.Area = (LEFT + 0.05, TOP + 0.1, RIGHT - LEFT - 0.1, BOTTOM - TOP - 0.2)


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    flags = ("--source", "testcard", *SIZE)
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        yield service


@pytest.fixture(scope="module")
def viewer(running: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """It plays the card, looks and listens."""
    program, driver = require("chromium"), require("chromedriver")
    profile = tmp_path_factory.mktemp("viewer") / "profile"
    with drivers.chromium(program, driver, profile) as browser:
        # Its ear is a script of ours in the page.
        browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
        browser.get(running.url + "/")
        until_live(browser)
        senses.begin(browser, FLASH)
        yield browser


def figures(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = requests.get(f"{service.url}/api/streams/demo", timeout=5).json()
    return told


def offsets_ms(browser: Chrome, later_ms: float = 0.0) -> list[float]:
    """Of some flashes, for a busy browser may not show a picture, or show it late.

    Args:
        later_ms: by so much all pictures are taken to be later than they were.
    """
    offsets: list[float] = []
    deadline = time.monotonic() + 15
    while len(offsets) < FLASHES:
        assert time.monotonic() < deadline, offsets
        seen = senses.sensed(browser, FLASHES + 0.2)
        seen.pictures[:, 0] += later_ms
        offsets += seen.offsets_ms()
    return offsets


def check_lips(browser: Chrome) -> None:
    offsets = offsets_ms(browser)
    assert abs(statistics.median(offsets)) <= IN_SYNC_MS, offsets


def check_inside(service: Service) -> None:
    """The stream's own measure says the same."""
    assert abs(figures(service)["av_offset_seconds"]) * 1000 <= IN_SYNC_MS


def play_up_to_now(browser: Chrome) -> None:
    """Until what the viewer sees is younger than this call."""
    now = time.time()

    def is_past_it() -> bool:
        latency = diagnostics(browser)["latencySeconds"]  # None: not live
        return latency is not None and time.time() - float(latency) > now

    until("the viewer is past it", is_past_it, 15)


def test_from_the_start(running: Service, viewer: Chrome) -> None:
    check_lips(viewer)
    check_inside(running)


def test_after_ffmpeg_was_killed(running: Service, viewer: Chrome) -> None:
    os.kill(running.find("rawvideo"), signal.SIGKILL)
    until("it is replaced", lambda: figures(running)["encoder_restarts"] > 0, 10)
    play_up_to_now(viewer)
    check_lips(viewer)
    check_inside(running)


def test_after_the_source_stood_still(running: Service, viewer: Chrome) -> None:
    before = figures(running)["units_repeated"]
    os.kill(running.find("inference"), signal.SIGSTOP)
    time.sleep(STALL_SECONDS)
    os.kill(running.find("inference"), signal.SIGCONT)
    until("gaps were filled", lambda: figures(running)["units_repeated"] > before + 10, 5)
    play_up_to_now(viewer)
    check_lips(viewer)
    check_inside(running)


def test_the_measure_would_see_a_shift(viewer: Chrome) -> None:
    """Pictures 100 ms later than they were."""
    assert statistics.median(offsets_ms(viewer, 100)) == pytest.approx(100, abs=IN_SYNC_MS)


def syllables(seconds: float) -> bytes:
    """An "ah" in every second, of different lengths."""
    rate_hz = 48_000
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = np.zeros_like(times)
    for number in range(1, 20):
        gain = sum(1 / (1 + ((number * 140 - top) / 90) ** 2) for top in (750, 1200))
        wave += gain * np.sin(2 * np.pi * number * 140 * times)
    lengths = 0.2 + 0.1 * (times.astype(int) % 3)
    wave = 0.5 * wave / np.abs(wave).max() * (times % 0.9 < lengths)
    file = io.BytesIO()
    soundfile.write(file, wave, rate_hz, "PCM_16", format="WAV")
    return file.getvalue()


def test_after_speech_was_interrupted(running: Service, viewer: Chrome) -> None:
    """The test card says nothing that could be cut off: a mouth is the flash, a voice the beep."""
    wish: dict[str, Any] = {"id": "face", "width": WIDTH, "height": HEIGHT, "ladder": "single"}
    requests.post(f"{running.url}/api/streams", json=wish, timeout=10).raise_for_status()
    viewer.get(f"{running.url}/?stream=face")
    until_live(viewer)
    media = MediaFormat(WIDTH, HEIGHT, 25)
    x, y, width, height = mouth_region(make_source(Settings(width=WIDTH, height=HEIGHT), media))
    mouth = (x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT)
    senses.begin(viewer, mouth, INTERIOR_LUMA)
    speech, wav = f"{running.url}/api/streams/face/speech", {"Content-Type": "audio/wav"}
    requests.post(speech, data=syllables(20), headers=wav, timeout=10).raise_for_status()
    time.sleep(1.0)
    instead = f"{speech}?interrupt=1"
    requests.post(instead, data=syllables(30), headers=wav, timeout=10).raise_for_status()
    play_up_to_now(viewer)
    # A busy machine may spoil one of them.
    windows = [senses.sensed(viewer, 5.0).lag_ms() for _ in range(3)]
    lag, alike = (statistics.median(values) for values in zip(*windows, strict=True))
    assert abs(lag) <= IN_SYNC_MS, windows
    assert alike > 0.6, windows
