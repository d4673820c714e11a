"""Players that live in a page: one browser, one page, one look."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser import drivers
from tests.browser.need import require
from tests.compat.firefox import firefox
from tests.compat.result import PLAY_SECONDS, Playing

# The page's promise, from the WebDriver protocol's side.
LOOK = """
    const done = arguments[arguments.length - 1];
    window.seen.then(done, (error) => done({ refused: String(error) }));
"""


def in_chromium(page: str, home: Path) -> tuple[Playing, str]:
    """Returns what was seen, and the browser with its version."""
    programs = require("chromium"), require("chromedriver")
    with drivers.chromium(*programs, home / "profile") as browser:
        return _look(browser, page), _named("Chromium", browser)


def in_webkit(page: str, home: Path) -> tuple[Playing, str]:
    home.mkdir(parents=True)
    programs = require("MiniBrowser"), require("WebKitWebDriver")
    with (
        drivers.display(require("Xvfb")) as display,
        drivers.webkit(*programs, display, home) as browser,
    ):
        return _look(browser, page), _named("WebKitGTK", browser)


def in_firefox(page: str, home: Path) -> tuple[Playing, str]:
    with firefox(require("firefox-esr"), home) as browser:
        browser.get(page)
        return _playing(browser.evaluate("window.seen")), f"Firefox {browser.version}"


def address(site: str, page: str, stream: str, library: str = "") -> str:
    """Of a page below `pages`, for a stream."""
    query = {"src": stream, "seconds": PLAY_SECONDS} | ({"library": library} if library else {})
    return f"{site}/{page}.html?{urlencode(query)}"


def _look(browser: WebDriver, page: str) -> Playing:
    browser.get(page)
    return _playing(browser.execute_async_script(LOOK))


def _playing(found: dict[str, Any]) -> Playing:
    if "refused" in found:
        raise AssertionError(found["refused"])
    return Playing(**{**found, "errors": tuple(found["errors"])})


def _named(name: str, browser: WebDriver) -> str:
    return f"{name} {browser.capabilities['browserVersion']}"
