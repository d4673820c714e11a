"""Captions as a page of anybody sees them: hls.js, a text track, and the sound beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome

from tests.browser.conftest import STATIC
from tests.browser.folder_site import serve_folder
from tests.browser.watching import until
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

FLAGS = ("--audio", "none", "--width", "640", "--height", "360", "--ladder", "single")
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
def face() -> Iterator[str]:
    with temporary_media_root() as folder, Service(Path(folder) / "media", FLAGS) as running:
        yield running.url


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
