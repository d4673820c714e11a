"""Captions as a page of anybody sees them: hls.js, a text track, and the sound beside it."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome

from tests.browser.conftest import STATIC
from tests.browser.folder_site import serve_folder
from tests.browser.watching import diagnostics, until, until_live
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

FLAGS = ("--audio", "none", "--width", "640", "--height", "360", "--ladder", "single")
# Longer than what a delta update must name, so that each has something to skip.
WINDOW = ("--window-segments", "12")
TEXT = "Here is the first sentence. <b>Then</b> comes the second one. & so --> there is a third."
LINES = (
    "Here is the first sentence.",
    "<b>Then</b> comes the second one.",
    "& so --> there is a third.",
)
LOUD = 0.01
# Between sentences espeak-ng pauses; between words hardly.
PAUSE_SECONDS = 0.2
# A caption and its word are one thing to a reader within this.
TOGETHER_SECONDS = 0.1
# A page whose timer of 10 ms comes so late measures nothing; then all is done again.
LATE_SECONDS, ATTEMPTS = 0.08, 3


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    flags = (*FLAGS, *WINDOW)
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        yield service


@pytest.fixture(scope="module")
def face(running: Service) -> str:
    return running.url


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """A page on another origin, with our hls.js."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "static").symlink_to(STATIC)
    (site / "captions.html").symlink_to(Path(__file__).with_name("captions.html"))
    with serve_folder(site) as url:
        yield f"{url}/captions.html"


def onsets(loud: list[tuple[float, float]]) -> list[float]:
    """When sound begins after a pause, in media time."""
    found, quiet_since = [], loud[0][0]
    for at, volume in loud:
        if volume > LOUD:
            if at - quiet_since >= PAUSE_SECONDS:
                found.append(at)
            quiet_since = at
    return found


def seen_by(browser: Chrome) -> dict[str, Any]:
    found: dict[str, Any] = browser.execute_script("return window.seen ?? {}")
    return found


def stood_still(loud: list[tuple[float, float]], around: float) -> float:
    """For how long the page's own timer, due every 10 ms, did nothing about that media time."""
    near = [at for at, _volume in loud if abs(at - around) < 5 * TOGETHER_SECONDS]
    return max((b - a for a, b in pairwise(near)), default=math.inf)


def read_aloud(browser: Chrome, face: str, page: str) -> dict[str, Any]:
    """What a reader of a page sees and hears of a text, from its loading on."""
    browser.get(f"{page}?src={face}/live/demo/index.m3u8")
    playing = "return document.querySelector('video').currentTime > 1"
    until("it plays", lambda: browser.execute_script(playing), 15)
    browser.execute_script("window.ask()")
    requests.post(f"{face}/api/streams/demo/speech", json={"text": TEXT}, timeout=10)
    is_over = lambda: [s for s in seen_by(browser)["shown"] if LINES[-1] in s[1]]  # noqa: E731
    try:
        until("the last sentence is shown", is_over, 15)
    except AssertionError as error:
        seen = seen_by(browser)
        raise AssertionError(
            f"{error}; {[seen[key] for key in ('shown', 'cues', 'errors')]}"
        ) from error
    until("and goes", lambda: not seen_by(browser)["shown"][-1][1], 6)
    return seen_by(browser)


def test_each_sentence_is_read_when_it_is_heard(
    chromium: Chrome, face: str, elsewhere: str
) -> None:
    for _ in range(ATTEMPTS):
        seen = read_aloud(chromium, face, elsewhere)
        starts = [cue["startTime"] for cue in seen["cues"]]
        # A page that does nothing for a while cannot measure when something is shown.
        if max(stood_still(seen["loud"], start) for start in starts) < LATE_SECONDS:
            break
    assert seen["tracks"] == [{"name": "Captions", "lang": "en", "byDefault": False}]
    assert seen["chosenUnasked"] == -1
    assert not seen["errors"]
    # Each line alone, in order, once: no copy of another part stays beside it.
    assert [tuple(texts) for _at, texts in seen["shown"] if texts] == [(line,) for line in LINES]
    heard = onsets(seen["loud"])
    shown = [at for at, texts in seen["shown"] if texts]
    assert len(seen["cues"]) == len(LINES) <= len(heard) <= len(LINES) + 2, heard
    for cue, read in zip(seen["cues"], shown, strict=True):
        start = cue["startTime"]
        assert min(abs(start - sound) for sound in heard) < TOGETHER_SECONDS, (cue, heard)
        # Not only when a whole segment has come.
        assert read - start < 2 * TOGETHER_SECONDS, (cue, shown)


# What has come for the screen: a page that is late may miss the second in which it is there.
READABLE = """
    return [...document.querySelector("video").textTracks]
        .filter(({ mode }) => mode === "showing")
        .flatMap(({ cues }) => [...cues ?? []].map(({ text }) => text)).join(" ");
"""
# What hls.js throws over a delta update without the playlist that it adds to: it has null for
# what was skipped.
STUMBLE = ("internalException", "Cannot read properties of null (reading 'start')")
# The page asks for a delta update before it has a playlist of captions, once.
TOO_EARLY = """
    const { open } = XMLHttpRequest.prototype;
    let asked = false;
    XMLHttpRequest.prototype.open = function (method, url, ...rest) {
        const now = !asked && url.endsWith("/s0/media.m3u8");
        asked ||= now;
        return open.call(this, method, now ? `${url}?_HLS_skip=YES` : url, ...rest);
    };
"""
PATIENCE = 30


def until_deltas(face: str) -> None:
    """The window is long enough for something to be skipped."""
    until("something is skipped", lambda: "#EXT-X-SKIP:" in playlist(face, "?_HLS_skip=YES"), 60)


def playlist(face: str, query: str = "") -> str:
    return requests.get(f"{face}/live/demo/s0/media.m3u8{query}", timeout=10).text


def stumbles(browser: Chrome) -> int:
    """How often hls.js threw over a playlist of captions."""
    return [(e["details"], e["reason"]) for e in diagnostics(browser)["errors"]].count(STUMBLE)


def until_read(browser: Chrome, face: str, text: str) -> None:
    requests.post(f"{face}/api/streams/demo/speech", json={"text": text}, timeout=10)
    is_there = lambda: text in browser.execute_script(READABLE)  # noqa: E731
    try:
        until(f"{text!r} can be read", is_there, PATIENCE)
    except AssertionError as error:
        raise AssertionError(f"{error}; {diagnostics(browser)}") from error


def test_captions_come_back_after_hls_js_stumbled_over_them(
    chromium: Chrome, running: Service
) -> None:
    """It keeps a delta update that came after captions were off. A kill on top changes nothing."""
    chromium.get(f"{running.url}/")
    until_live(chromium)
    until_deltas(running.url)
    button = chromium.find_element("id", "captions")
    button.click()
    for attempt in range(ATTEMPTS):
        until_read(chromium, running.url, f"Words before, {attempt}.")
        # A playlist is asked for. On a machine that stood still it may be a whole one.
        button.click()
        try:
            until("hls.js stumbles", lambda: stumbles(chromium), 5)
            break
        except AssertionError:
            button.click()
    assert stumbles(chromium)
    button.click()
    until_read(chromium, running.url, "Here they are again.")
    os.kill(running.find("-m encoder"), signal.SIGKILL)
    # What is said while there is none may be lost.
    goes_on = lambda: "#EXT-X-DISCONTINUITY\n" in playlist(running.url)  # noqa: E731
    until("another encoder process goes on", goes_on, 60)
    until_read(chromium, running.url, "And after a kill.")
    logged = chromium.get_log("browser")  # type: ignore[no-untyped-call]
    told = [row["message"] for row in logged if row["level"] == "DEBUG"]
    where = "onSubtitleTrackLoaded"  # of its stack
    assert [row for row in told if STUMBLE[0] in row and STUMBLE[1] in row and where in row], told


def test_captions_come_back_where_they_were_on(chromium: Chrome, face: str) -> None:
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": TOO_EARLY})
    chromium.get(f"{face}/")
    until_live(chromium)
    until_deltas(face)
    chromium.find_element("id", "captions").click()
    until("hls.js stumbles", lambda: stumbles(chromium), PATIENCE)
    until_read(chromium, face, "They came by themselves.")
