"""Real browsers under WebDriver, each with a fresh profile and nothing left running afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options as ChromeOptions
from selenium.webdriver.chrome.service import Service as ChromeService
from selenium.webdriver.webkitgtk.options import Options as WebKitOptions
from selenium.webdriver.webkitgtk.service import Service as WebKitService

from tests.browser.processes import kill_session

SCRIPT_SECONDS = 60

CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers run as root, where Chromium's sandbox refuses to start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # a container's /dev/shm may be 64 MB, and holds the media
    "--autoplay-policy=no-user-gesture-required",
)


@contextlib.contextmanager
def chromium(program: str, driver: str, profile: Path, *flags: str) -> Iterator[webdriver.Chrome]:
    """Headless Chromium; its console is readable with `get_log("browser")`."""
    options = ChromeOptions()
    options.binary_location = program
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={profile}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(driver, popen_kw={"start_new_session": True})
    with _reaped(service):
        browser = webdriver.Chrome(options=options, service=service)
        browser.set_script_timeout(SCRIPT_SECONDS)
        yield browser
        browser.quit()


@contextlib.contextmanager
def webkit(program: str, driver: str, display: str, home: Path) -> Iterator[webdriver.WebKitGTK]:
    """WebKitGTK's MiniBrowser on an X display."""
    options = WebKitOptions()
    options.binary_location = program
    options.add_argument("--automation")
    service = WebKitService(
        driver, env=_webkit_environment(display, home), popen_kw={"start_new_session": True}
    )
    with _reaped(service):
        browser = webdriver.WebKitGTK(options=options, service=service)
        browser.set_script_timeout(SCRIPT_SECONDS)
        yield browser
        browser.quit()


def _webkit_environment(display: str, home: Path) -> dict[str, str]:
    return os.environ | {
        "DISPLAY": display,
        "GDK_BACKEND": "x11",
        "HOME": str(home),  # a profile of its own
        "XDG_RUNTIME_DIR": str(home),  # a container has none, and WebKit puts its sockets there
        "WEBKIT_GST_ENABLE_HLS_SUPPORT": "1",  # off by default: canPlayType would answer ""
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "GIO_USE_VFS": "local",  # no desktop services to ask
        "NO_AT_BRIDGE": "1",
    }


@contextlib.contextmanager
def display(program: str) -> Iterator[str]:
    """A virtual X display, on the first number that is free."""
    reader, writer = os.pipe()
    with open(reader) as answer:  # noqa: PTH123 - a file descriptor, not a path
        server = subprocess.Popen(
            [program, "-displayfd", str(writer), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
            pass_fds=[writer],
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        try:
            yield f":{answer.readline().strip()}"
        finally:
            server.terminate()
            server.wait(5)


@contextlib.contextmanager
def _reaped(service: ChromeService | WebKitService) -> Iterator[None]:
    """Kills what is left of the driver's session, also when the browser never came up."""
    try:
        yield
    finally:
        process = getattr(service, "process", None)
        service.stop()
        if process is not None:
            kill_session(process.pid)
