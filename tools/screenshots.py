"""Pictures of the player page while it is live: ``python tools/screenshots.py BASE_URL OUTDIR``.

Needs chromium, chromedriver and a service that runs; writes NAME.png for each view below.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

LIVE_SECONDS = 20
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required",
)
# The start-up jump is over, and the figures under the picture have been written since.
LIVE = """
    const seen = window.lipstream;
    const old = performance.now() - (seen?.firstFrameMs ?? Infinity) > 2500;
    return seen?.state === "live" && old;
"""


@dataclass(frozen=True, slots=True)
class View:
    """One picture; width and height in CSS pixels."""

    name: str
    width: int
    height: int
    scale: float
    scheme: str  # light or dark


VIEWS = (
    View("player-desktop", 1280, 900, 1, "light"),
    View("player-desktop-dark", 1280, 900, 1, "dark"),
    View("player-phone", 390, 844, 2, "light"),
    View("player-phone-dark", 390, 844, 2, "dark"),
)


def main(argv: list[str]) -> int:
    """Take every view."""
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    base, folder = argv[0].rstrip("/"), Path(argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with _browser() as browser:
        for view in VIEWS:
            _dress(browser, view)
            browser.get(f"{base}/")
            WebDriverWait(browser, LIVE_SECONDS).until(lambda b: b.execute_script(LIVE))
            browser.save_screenshot(str(folder / f"{view.name}.png"))
            print(folder / f"{view.name}.png")
    return 0


def _dress(browser: webdriver.Chrome, view: View) -> None:
    metrics = {
        "width": view.width,
        "height": view.height,
        "deviceScaleFactor": view.scale,
        "mobile": view.width < 600,
    }
    scheme = {"features": [{"name": "prefers-color-scheme", "value": view.scheme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)


@contextmanager
def _browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=service)
        try:
            yield browser
        finally:
            browser.quit()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
