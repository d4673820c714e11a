"""The network or the service goes away: the page says so, and comes back by itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser.accessibility import assert_accessible
from tests.browser.watching import by_id, diagnostics, until, until_live
from tests.service import Service

pytestmark = pytest.mark.browser

# Gone after a reload: then the page would have cheated.
MARK = "window.sameDocument = true"
MARKED = "return window.sameDocument === true"


# Playing on from where the network was lost would leave it farther behind than the test allows.
AWAY_SECONDS = 3


def _state(browser: Chrome) -> str:
    return str(diagnostics(browser)["state"])


@contextmanager
def _offline(browser: Chrome) -> Iterator[None]:
    browser.set_network_conditions(offline=True, latency=0, throughput=0)
    try:
        yield
    finally:
        browser.delete_network_conditions()


def test_network_lost_and_found(chromium: Chrome, service: str) -> None:
    chromium.get(service + "/")
    until_live(chromium)
    chromium.execute_script(MARK)
    with _offline(chromium):
        until("not called live", lambda: _state(chromium) != "live", 5)
        assert _state(chromium) == "stalled"
        assert_accessible(chromium, "stalled")
        time.sleep(AWAY_SECONDS)
    try:
        until("live again", lambda: _state(chromium) == "live", 10)
        assert chromium.execute_script(MARKED)
        until("near the edge", lambda: (diagnostics(chromium)["latencySeconds"] or 99) < 4, 10)
    except AssertionError as error:
        raise AssertionError(f"{error}; {diagnostics(chromium)}") from error


# Bytes that no decoder takes, once: the video has an error, and hls.js takes hold of it anew.
SPOIL = """
    const { appendBuffer } = SourceBuffer.prototype;
    SourceBuffer.prototype.appendBuffer = function (data) {
        if (!window.spoilt) return appendBuffer.call(this, data);
        window.spoilt = false;
        return appendBuffer.call(this, new Uint8Array(512).fill(255));
    };
"""
# What stands there, and what was noted, in one moment.
LAST_ERRORS = """
    return [document.querySelector("#stats .errors").textContent,
            lipstream.errors.slice(-3).map(({ details }) => details)];
"""


def test_media_that_cannot_be_decoded(chromium: Chrome, service: str) -> None:
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SPOIL})
    chromium.get(service + "/")
    until_live(chromium)
    chromium.execute_script(MARK)
    begin = "window.since = video.currentTime; window.spoilt = true"
    chromium.execute_script(begin)
    on = "return lipstream.state === 'live' && video.currentTime > since + 2"
    try:
        until("an error", lambda: diagnostics(chromium)["errors"], 5)
        until("it plays on", lambda: chromium.execute_script(on), 15)
    except AssertionError as error:
        raise AssertionError(f"{error}; {diagnostics(chromium)}") from error
    assert chromium.execute_script(MARKED)
    by_id(chromium, "figures").click()
    until("the last of them in the overlay", lambda: _are_told(chromium), 5)


def _are_told(browser: Chrome) -> bool:
    """The overlay names the newest errors, the last three at most, in their order."""
    text, names = browser.execute_script(LAST_ERRORS)
    found = [part.split(",")[0] for part in text.removeprefix("Last errors: ").split("; ")]
    return bool(names) and text.startswith("Last errors: ") and found == names


def test_service_restarted(chromium: Chrome, media_root: Path) -> None:
    at_one_address = ("--port", str(_free_port()))
    with Service(media_root, at_one_address) as running:
        chromium.get(running.url + "/")
        until_live(chromium)
        chromium.execute_script(MARK)
    until("not called live", lambda: _state(chromium) != "live", 5)
    with Service(media_root, at_one_address):
        until_live(chromium)
        assert chromium.execute_script(MARKED)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
