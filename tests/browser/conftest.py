from __future__ import annotations

import functools
import os
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser import drivers
from tests.browser import service as lipstream
from tests.browser.need import require

HERE = Path(__file__).parent
# Media belong into memory; None: the system's folder for temporary files.
SHARED_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """Base URL of a running service; SERVICE_URL names one that runs already."""
    if given := os.environ.get("SERVICE_URL"):
        yield given.rstrip("/")
        return
    with (
        tempfile.TemporaryDirectory(prefix="lipstream-", dir=SHARED_MEMORY) as media_root,
        lipstream.running(Path(media_root)) as url,
    ):
        yield url


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


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: requests are no news in a test."""


@pytest.fixture(scope="session")
def other_origin() -> Iterator[str]:
    """This folder on another origin than the service's, as an embedding site would be."""
    handler = functools.partial(_QuietHandler, directory=str(HERE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
