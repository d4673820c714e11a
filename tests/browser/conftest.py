from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser import drivers
from tests.browser.folder_site import serve_folder
from tests.browser.need import require

HERE = Path(__file__).resolve().parent
STATIC = HERE.parents[1] / "static"


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chrome]:
    program, driver = require("chromium"), require("chromedriver")
    with drivers.chromium(program, driver, tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def webkit(tmp_path: Path) -> Iterator[WebDriver]:
    program, driver = require("MiniBrowser"), require("WebKitWebDriver")
    with (
        drivers.display(require("Xvfb")) as display,
        drivers.webkit(program, driver, display, tmp_path) as browser,
    ):
        yield browser


@pytest.fixture(scope="session")
def other_origin() -> Iterator[str]:
    """This folder on another origin than the service's, as an embedding site would be."""
    with serve_folder(HERE) as url:
        yield url


@dataclass(frozen=True, slots=True)
class Site:
    """The player page on a plain file server, with streams that a test makes up."""

    url: str
    folder: Path

    def add_stream(self, name: str, **playlists: str) -> None:
        """Write playlists, name without suffix -> text; `index` is the multivariant one."""
        folder = self.folder / "live" / name
        folder.mkdir(parents=True)
        for playlist, text in playlists.items():
            (folder / f"{playlist}.m3u8").write_text(text, "utf-8")

    def replace(self, name: str, playlist: str, text: str) -> None:
        """Another text in place of a playlist's: nobody reads half of it."""
        file = self.folder / "live" / name / f"{playlist}.m3u8"
        unfinished = file.with_suffix(".partial")
        unfinished.write_text(text, "utf-8")
        unfinished.replace(file)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").symlink_to(STATIC / "index.html")
    (folder / "static").symlink_to(STATIC)
    with serve_folder(folder) as url:
        yield Site(url, folder)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser with the page's modules at hand, shared by tests of their pure functions."""
    program, driver = require("chromium"), require("chromedriver")
    folder = tmp_path_factory.mktemp("page")
    (folder / "static").symlink_to(STATIC)
    (folder / "bare.html").write_text("<!doctype html><title>bare</title>", "utf-8")
    with (
        serve_folder(folder) as url,
        drivers.chromium(program, driver, folder / "profile") as browser,
    ):
        browser.get(f"{url}/bare.html")
        yield browser
