"""The player page in a real Chromium, against the real service."""

from __future__ import annotations

import re

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.accessibility import assert_accessible
from tests.browser.watching import diagnostics, until, until_live, watch_in_time

pytestmark = pytest.mark.browser

DELAY = re.compile(r"([\d.]+) s behind real time")
# In one moment: the text is written once a second.
DELAY_NOW = "return [document.getElementById('delay').textContent, lipstream.latencySeconds]"


def _complaints(browser: Chrome) -> list[str]:
    """Severe rows of the console: script errors, refused by CSP, resources that failed."""
    rows = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [row["message"] for row in rows if row["level"] == "SEVERE"]


def test_plays_twenty_seconds_without_interruption(chromium: Chrome, service: str) -> None:
    chromium.get(service + "/")
    until_live(chromium)
    seen = watch_in_time(chromium, 20, service)
    assert seen.wall_seconds >= 20
    assert seen.media_seconds >= seen.wall_seconds - 1
    assert (seen.interruptions, seen.stalls, seen.errors) == ([], 0, [])
    assert (seen.same, seen.changed >= 90) == (0, True), "a picture every 0.2 s, each a new one"
    assert seen.darkest > 32, "not black"
    after = diagnostics(chromium)
    assert (after["state"], after["engine"]) == ("live", "hls.js"), after
    assert after["fatalErrors"] == 0
    assert 0.1 < after["latencySeconds"] < 6
    text, seconds = chromium.execute_script(DELAY_NOW)
    shown = DELAY.fullmatch(text)
    assert shown is not None
    assert float(shown[1]) == pytest.approx(seconds, abs=0.3)
    assert _complaints(chromium) == []


def test_starts_without_a_stall(chromium: Chrome, service: str) -> None:
    """Over the jump that follows the first picture; on a busy machine one start of three."""
    starts = []
    for _ in range(3):
        chromium.get(service + "/")
        until_live(chromium)
        seen = diagnostics(chromium)
        starts.append((seen["stalls"], seen["errors"]))
        if starts[-1] == (0, []):
            return
    raise AssertionError(starts)


def test_one_tap_gives_sound(chromium: Chrome, service: str) -> None:
    chromium.get(service + "/")
    until_live(chromium)
    button = chromium.find_element(By.ID, "sound")
    assert chromium.execute_script("return document.querySelector('video').muted")
    assert button.text == "Tap for sound"
    button.click()
    assert not chromium.execute_script("return document.querySelector('video').muted")
    assert button.text == "Sound on"
    decoded = "return document.querySelector('video').webkitAudioDecodedByteCount"
    before = chromium.execute_script(decoded)
    until("sound is decoded", lambda: chromium.execute_script(decoded) > before + 2000, 5)
    after = diagnostics(chromium)
    assert after["state"] == "live", after


def test_a_tap_on_the_picture_gives_sound_and_in_full_screen_a_pause(
    chromium: Chrome, service: str
) -> None:
    chromium.get(service + "/")
    until_live(chromium)
    picture = chromium.find_element(By.ID, "video")
    picture.click()
    assert chromium.execute_script("return !video.muted")
    picture.click()
    assert chromium.execute_script("return !video.muted && !video.paused"), "buttons are in reach"
    chromium.find_element(By.ID, "fullscreen").click()
    filled = "return document.fullscreenElement?.id"
    until("full screen", lambda: chromium.execute_script(filled) == "stage", 5)
    picture.click()
    until("paused", lambda: diagnostics(chromium)["state"] == "paused", 2)
    chromium.find_element(By.ID, "resume").click()
    until("live again", lambda: diagnostics(chromium)["state"] == "live", 5)
    chromium.execute_script("document.exitFullscreen()")


def test_pause_says_paused_and_play_returns_to_live(chromium: Chrome, service: str) -> None:
    chromium.get(service + "/")
    until_live(chromium)
    chromium.find_element(By.ID, "pause").click()
    until("paused", lambda: diagnostics(chromium)["state"] == "paused", 2)
    assert_accessible(chromium, "paused")
    chromium.find_element(By.ID, "resume").click()
    until("live again", lambda: diagnostics(chromium)["state"] == "live", 5)


def test_waits_for_a_stream_that_is_not_there(chromium: Chrome, service: str) -> None:
    chromium.get(service + "/?stream=nobody")
    detail = chromium.find_element(By.ID, "detail")
    until("the page says why", lambda: "no stream “nobody” yet" in detail.text, 5)
    assert diagnostics(chromium)["state"] == "connecting"
    assert chromium.find_element(By.ID, "state").text == "Connecting"
    not_found = [row for row in _complaints(chromium) if "live/nobody/index.m3u8" in row]
    again = lambda: "live/nobody/index.m3u8" in "".join(_complaints(chromium))  # noqa: E731
    assert not_found
    until("the page looks again", again, 3)
    assert diagnostics(chromium)["errors"] == []


def test_content_security_policy_is_sent_and_kept(chromium: Chrome, service: str) -> None:
    script = """
        const done = arguments[arguments.length - 1];
        fetch("/").then(r => done(r.headers.get("content-security-policy")));
    """
    chromium.get(service + "/demo")
    policy = chromium.execute_async_script(script)
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    until_live(chromium)
    assert _complaints(chromium) == []
