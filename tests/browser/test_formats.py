"""AV1 and Opus in a real Chromium, by hls.js: pictures and sound come."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser.watching import diagnostics, until, until_live, watch_in_time
from tests.service import Service

pytestmark = pytest.mark.browser

SMALL = ("--width", "640", "--height", "360", "--video-kbit", "300", "--ladder", "single")
DECODED = "return document.querySelector('video').webkitAudioDecodedByteCount"


def test_av1_and_opus_play(chromium: Chrome, media_root: Path) -> None:
    with Service(media_root, ("--video-codec", "av1", "--audio-codec", "opus", *SMALL)) as service:
        chromium.get(service.url + "/")
        until_live(chromium)
        chromium.execute_script("document.querySelector('video').muted = false")
        before = chromium.execute_script(DECODED)
        seen = watch_in_time(chromium, 6, service.url)
        assert seen.media_seconds >= seen.wall_seconds - 0.5
        assert seen.interruptions == []
        assert seen.changed >= 25
        assert seen.darkest > 32, "not black"
        until("sound is decoded", lambda: chromium.execute_script(DECODED) > before + 2000, 5)
        after = diagnostics(chromium)
    assert (after["state"], after["engine"], after["fatalErrors"]) == ("live", "hls.js", 0)
