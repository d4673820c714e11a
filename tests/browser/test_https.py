"""The page over HTTPS, at a stream that needs a token, in a real Chromium."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from server.tokens import make_token
from tests.browser import drivers
from tests.browser.need import require
from tests.browser.watching import until, until_live, watch_in_time
from tests.certificates import make_pair
from tests.service import Service

pytestmark = pytest.mark.browser

KEY = "0123456789abcdef0123456789abcdef"
# The protocol and the address of each file of the stream that the page has asked for.
FILES = """
    return performance.getEntriesByType("resource")
        .filter(entry => entry.name.includes("/live/"))
        .map(entry => [entry.nextHopProtocol, entry.name]);
"""


def test_plays_over_http2_with_a_token(tmp_path: Path, media_root: Path) -> None:
    program, driver = require("chromium"), require("chromedriver")
    pair = make_pair(tmp_path)
    token = make_token(KEY, "demo", int(time.time()) + 600)
    below = f"live/demo/t/{token}/"
    flags = ("--width", "640", "--height", "360", "--viewer-key", KEY, *pair.flags)
    # The authority is unknown to the browser's own store.
    trusting = "--ignore-certificate-errors"
    with (
        Service(media_root, flags, below + "index.m3u8", pair.authority) as service,
        drivers.chromium(program, driver, tmp_path / "profile", trusting) as browser,
    ):
        browser.get(f"{service.url}/?token={token}")
        until_live(browser)
        seen = watch_in_time(browser, 6, service.url, str(pair.authority))
        assert (seen.interruptions, seen.stalls, seen.same) == ([], 0, 0)
        files = browser.execute_script(FILES)
        assert len(files) > 20
        assert {protocol for protocol, _ in files} == {"h2"}
        assert all(f"{service.url}/{below}" in name for _, name in files)

        browser.get(f"{service.url}/")  # without the token
        words = "return document.getElementById('detail').textContent"
        until("it says so", lambda: "needs a link" in browser.execute_script(words), 10)
