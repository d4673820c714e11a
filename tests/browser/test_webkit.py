"""WebKitGTK, the nearest thing to Safari on Linux: its own HLS player, and hls.js in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.watching import diagnostics, until, until_live, watch_in_time
from tests.service import Service

pytestmark = pytest.mark.browser

LOOK = """
    const video = document.querySelector("video");
    return { seconds: video.currentTime, error: video.error && video.error.message,
             width: video.videoWidth };
"""


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
    small = ("--width", "640", "--height", "360", "--video-kbit", "300", "--ladder", "single")

    def look() -> dict[str, Any]:
        found: dict[str, Any] = webkit.execute_script(LOOK)
        assert found["error"] is None
        return found

    with Service(media_root, ("--mpegts", *small)) as service:
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
