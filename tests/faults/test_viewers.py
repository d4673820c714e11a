"""A viewer in a real browser while processes die: the page plays on, without a reload."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser.conftest import chromium
from tests.browser.watching import diagnostics, until, until_live, watch
from tests.service import Service

pytestmark = pytest.mark.faults

__all__ = ["chromium"]  # the fixture

MARK = "window.sameDocument = true"
MARKED = "return window.sameDocument === true"


@pytest.mark.parametrize("victim", ["rawvideo", "-m inference", "-m encoder"])
def test_a_killed_process_is_no_reason_to_reload(
    chromium: Chrome, media_root: Path, victim: str
) -> None:
    with Service(media_root) as running:
        chromium.get(running.url + "/")
        until_live(chromium)
        chromium.execute_script(MARK)
        os.kill(running.find(victim), signal.SIGKILL)
        seen = watch(chromium, 6)
        until("live again", lambda: diagnostics(chromium)["state"] == "live", 10)
        after = watch(chromium, 4)
        assert chromium.execute_script(MARKED)
        assert diagnostics(chromium)["fatalErrors"] == 0
        assert seen.media_seconds > 2, seen  # of 6: at most a few seconds of stall
        assert after.media_seconds > 3.5, after
        assert after.changed > 0
