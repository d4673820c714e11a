"""WebKitGTK, the nearest thing to Safari on Linux: its own HLS player, and hls.js in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.watching import (
    by_id,
    diagnostics,
    kill_in_turn,
    until,
    until_live,
    until_shown,
    watch_in_time,
)
from tests.service import Service

pytestmark = pytest.mark.browser

SMALL = ("--width", "640", "--height", "360", "--video-kbit", "300", "--ladder", "single")
LOOK = """
    const video = document.querySelector("video");
    return { seconds: video.currentTime, error: video.error && video.error.message,
             width: video.videoWidth };
"""

# For the voice, the encoder, and a browser that draws without a GPU.
PATIENCE = 30
# Two minutes: it is silent before they are over only if it is stopped.
LONG_SPEECH = "It goes on and on, for a long while. " * 50


def test_bare_video_element_plays_natively(
    webkit: WebDriver, service: str, other_origin: str
) -> None:
    """Clock and errors only: this player (GStreamer 1.22) paints just one picture of live fMP4."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = webkit.execute_script(LOOK)
        assert found["error"] is None
        return found

    webkit.get(f"{other_origin}/native.html?src={quote(service)}/live/demo/index.m3u8")
    first = until("a picture size and a running clock", lambda: _started(look()), 15)
    until("five seconds more", lambda: look()["seconds"] >= first["seconds"] + 5, 8)


def test_native_mpeg_ts_paints_what_it_plays(
    webkit: WebDriver, media_root: Path, other_origin: str
) -> None:
    """The player of old televisions, as near as it gets: no MSE, no fMP4, moving pictures."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = webkit.execute_script(LOOK)
        assert found["error"] is None
        return found

    with Service(media_root, ("--mpegts", *SMALL)) as service:
        webkit.get(f"{other_origin}/native.html?src={quote(service.url)}/live/demo/ts.m3u8")
        first = until("a picture size and a running clock", lambda: _started(look()), 20)
        assert first["width"] == 640
        shots = [webkit.get_screenshot_as_png()]
        while (seconds := look()["seconds"]) < first["seconds"] + 4:
            until("half a second", partial(_later_than, look, seconds + 0.5), 8)
            shots.append(webkit.get_screenshot_as_png())
        # A busy machine takes fewer; of nine in four seconds six differ.
        assert len(shots) >= 3
        assert len(set(shots)) >= len(shots) * 6 / 9, "the face moves"


def _later_than(look: Callable[[], dict[str, Any]], seconds: float) -> bool:
    return bool(look()["seconds"] >= seconds)


def _started(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if found["width"] and found["seconds"] else None


def test_page_plays_with_hls_js(webkit: WebDriver, service: str) -> None:
    webkit.get(service + "/")
    until_live(webkit)
    seen = watch_in_time(webkit, 8, service)
    assert seen.media_seconds >= seen.wall_seconds - 0.5
    # Without a sound card this browser's clock runs 0.5 % fast, so that a wait may be due any time;
    # it must be short (media_seconds) and nothing else may happen.
    assert set(seen.interruptions) <= {"waiting"}
    assert seen.changed >= 30
    assert seen.darkest > 32, "not black"
    after = diagnostics(webkit)
    assert (after["state"], after["engine"], after["fatalErrors"]) == ("live", "hls.js", 0)


def test_page_plays_natively_when_asked(webkit: WebDriver, service: str) -> None:
    webkit.get(service + "/?engine=native")
    until_live(webkit)
    assert diagnostics(webkit)["engine"] == "native"


def test_page_speaks_is_stopped_and_outlives_its_stream(
    webkit: WebDriver, media_root: Path
) -> None:
    """What people press, and what an operator kills, with hls.js over WebKit's own Media Source."""
    with Service(media_root, ("--audio", "none", *SMALL)) as service:
        webkit.get(service.url + "/")
        until_live(webkit, PATIENCE)
        by_id(webkit, "text").send_keys(LONG_SPEECH)
        _press(webkit, "say-it")
        until_shown(webkit, "talking", PATIENCE)
        _press(webkit, "hush")
        told = by_id(webkit, "speak-told")
        until("it is told", lambda: told.text == "Silence.", PATIENCE)
        until_shown(webkit, "live", PATIENCE)
        kill_in_turn(webkit, service, PATIENCE)
        after = diagnostics(webkit)
        assert (after["engine"], after["fatalErrors"]) == ("hls.js", 0)
        requests.delete(f"{service.url}/api/streams/demo", timeout=30).raise_for_status()
        until_shown(webkit, "ended", PATIENCE)


def _press(browser: WebDriver, name: str) -> None:
    button = by_id(browser, name)
    until(f"{name} can be pressed", button.is_enabled, PATIENCE)
    button.click()
