"""Pictures of the page in every state, for the documentation: ``python -m tools.screenshots``.

Starts a service of its own and drives Chromium; writes docs/images/*.webp, or only those that are
named. Needs chromium, chromedriver, and a portrait (the one of scikit-image).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import requests
import skimage.data
from numpy.typing import NDArray
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser import drivers
from tests.browser.need import require
from tests.browser.watching import diagnostics, until, until_live
from tests.service import Service, temporary_media_root

Picture = NDArray[np.uint8]

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
QUALITY = 82
# Of one file: documentation is also read on a telephone.
MOST_BYTES = 150_000
# As a phone would reach the service; a loopback name would leave out the code to scan.
NAME = "studio.local"
FLAGS = ("--host", "0.0.0.0", "--insecure", "--audio", "none")
PATIENCE = 20
# What the documentation promises, its pictures show: where the machine is late, none are taken.
NEAR_SECONDS = 1.0
SPEECH = (
    "Good evening, and welcome. What you type here is said a moment later, with the lips in step. "
    "You can interrupt me at any time, and I will be silent within a tenth of a second."
)
VIEWER = """
    const ask = window.fetch;
    const closed = () => Promise.resolve(new Response('{"control": "closed"}'));
    window.fetch = (url, ...more) => (`${url}`.endsWith("/access") ? closed() : ask(url, ...more));
"""
SOURCES = "sources-desktop"
LATER = "And this waits for its turn."


@dataclass(frozen=True, slots=True)
class Device:
    """A screen: width and height in CSS pixels."""

    width: int
    height: int
    scheme: str = "light"


PHONE, PHONE_DARK = Device(390, 844), Device(390, 844, "dark")
DESKTOP, DESKTOP_DARK = Device(1280, 900), Device(1280, 900, "dark")


class Studio:
    """The page in a browser, brought into its states one after the other."""

    def __init__(self, browser: Chrome, url: str, portrait: Path) -> None:
        self.browser, self.url, self._portrait = browser, url, portrait

    def look(self, device: Device) -> Picture:
        """The page as such a device shows it; what moves when it is dressed anew has settled."""
        metrics = {
            "width": device.width,
            "height": device.height,
            "deviceScaleFactor": 1,
            "mobile": device.width < 600,
        }
        features = [{"name": "prefers-color-scheme", "value": device.scheme}]
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.browser.execute_script("scrollTo(0, 0); document.activeElement.blur()")
        self.browser.execute_async_script(
            "requestAnimationFrame(() => setTimeout(arguments[0], 300))"
        )
        png = np.frombuffer(self.browser.get_screenshot_as_png(), np.uint8)
        return np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR), np.uint8)

    def scrolled(self, device: Device, name: str) -> Picture:
        """The same, from an element on."""
        self.look(device)
        self.browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", name)
        png = np.frombuffer(self.browser.get_screenshot_as_png(), np.uint8)
        return np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR), np.uint8)

    def open(self, query: str = "") -> None:
        """Load the page."""
        self.browser.get(f"{self.url}/{query}")

    def live(self, query: str = "") -> None:
        """Load it, and wait until it plays and can be spoken to."""
        self.open(query)
        until_live(self.browser, PATIENCE)
        until("it can be spoken to", lambda: self.find("say-it").is_enabled(), PATIENCE)
        self.until("live")

    def near(self) -> None:
        """Load it, and wait until it plays as near to real time as it should."""
        self.live()
        until("near", lambda: (diagnostics(self.browser)["latencySeconds"] or 9) < NEAR_SECONDS, 40)

    def find(self, name: str) -> Any:
        """An element by its id."""
        return self.browser.find_element(By.ID, name)

    def until(self, word: str) -> None:
        """Wait for a word under the picture."""
        until(word, lambda: diagnostics(self.browser)["shown"] == word, PATIENCE)

    def speak(self) -> None:
        """Have something said, and wait until it is."""
        for text in (SPEECH, LATER):
            self.find("text").send_keys(text)
            self.find("say-it").click()
            until("said", lambda: not self.find("text").get_property("value"), PATIENCE)
        self.until("talking")
        until("a mouth that is open", lambda: diagnostics(self.browser)["stats"]["frames"] > 75, 9)

    def hush(self) -> None:
        """Silence."""
        self.find("tab-speak").click()
        self.find("hush").click()
        self.until("live")

    def panel(self, name: str) -> None:
        """Bring a panel to the front, filled as people would."""
        self.find(f"tab-{name}").click()
        if name == "face":
            self.find("who-photo").click()
            self.find("photo-file").send_keys(str(self._portrait))
            until("a preview", lambda: self.find("preview").is_displayed(), PATIENCE)
            self.find("name").send_keys("eileen")
        if name == "quality":
            until("the choices", lambda: self.browser.find_elements(By.ID, "field-latency"), 5)
        if name == "streams":
            until("a list", lambda: self.browser.find_elements(By.CSS_SELECTOR, "#list li"), 9)

    @contextlib.contextmanager
    def as_viewer(self) -> Iterator[None]:
        """As who may not steer the service."""
        added = self.browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": VIEWER}
        )
        yield
        self.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def take(studio: Studio) -> dict[str, Picture]:
    """All pictures by name."""
    states: dict[str, list[Picture]] = {"phone": [], "desktop": []}

    def both() -> None:
        states["phone"].append(studio.look(PHONE))
        states["desktop"].append(studio.look(DESKTOP))

    studio.open("?stream=tomorrow")
    until("why", lambda: studio.find("detail").text, PATIENCE)
    both()
    studio.near()
    both()
    pictures: dict[str, Picture] = {}
    studio.near()  # each change of the screen costs a slow machine some delay
    studio.speak()
    pictures["studio-desktop"] = studio.look(DESKTOP)
    both()
    studio.find("figures").click()
    until("plots", lambda: len(studio.browser.find_elements(By.CSS_SELECTOR, "polyline")) > 1, 9)
    pictures["studio-dark"] = studio.look(DESKTOP_DARK)
    figures = studio.look(PHONE_DARK)
    studio.find("figures").click()
    studio.hush()
    panels = []
    for name in ("face", "quality", "streams"):
        studio.panel(name)
        panels.append(studio.scrolled(PHONE, "studio"))
    pictures["panels-phone"] = _side_by_side([figures, *panels])
    studio.find("tab-speak").click()
    studio.browser.set_network_conditions(offline=True, latency=0, throughput=0)
    studio.until("stalled")
    both()
    studio.browser.delete_network_conditions()
    _end_one(studio)
    both()
    with studio.as_viewer():
        studio.open()
        until_live(studio.browser, PATIENCE)
        states["phone"].append(studio.look(PHONE))
        states["desktop"].append(studio.look(DESKTOP))
    pictures["states-phone"] = _side_by_side(states["phone"])
    pictures["states-desktop"] = _grid(states["desktop"])
    return pictures


def take_sources(studio: Studio) -> Picture:
    """A camera's file and the test card, each as its stream's page shows it."""
    wish: dict[str, Any] = {"id": "card", "source": {"type": "testcard"}}
    requests.post(f"{_local(studio)}/api/streams", json=wish, timeout=30).raise_for_status()
    shown = []
    for query in ("?stream=card", ""):
        studio.open(query)
        until_live(studio.browser, PATIENCE)
        until("a while", lambda: diagnostics(studio.browser)["stats"]["frames"] > 75, PATIENCE)
        shown.append(studio.look(DESKTOP))
    return _grid(shown)


def _film(path: Path, seconds: int = 20) -> None:
    """What a camera might see: the portrait, nearer and nearer."""
    portrait = np.asarray(skimage.data.astronaut()[:, :, ::-1], np.uint8)  # type: ignore[no-untyped-call]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (1280, 720))
    for number in range(25 * seconds):
        width = 512 - round(200 * number / (25 * seconds))
        height, left = width * 9 // 16, (512 - width) // 2
        view = portrait[20 : 20 + height, left : left + width]
        writer.write(cv2.resize(view, (1280, 720), interpolation=cv2.INTER_CUBIC))
    writer.release()


def _end_one(studio: Studio) -> None:
    wish = {"id": "goodbye"}
    requests.post(f"{_local(studio)}/api/streams", json=wish, timeout=30).raise_for_status()
    studio.live("?stream=goodbye")
    requests.delete(f"{_local(studio)}/api/streams/goodbye", timeout=30).raise_for_status()
    studio.until("ended")


def _local(studio: Studio) -> str:
    return studio.url.replace(NAME, "127.0.0.1")


def _side_by_side(pictures: list[Picture], gap: int = 16) -> Picture:
    blank = np.full((pictures[0].shape[0], gap, 3), 255, np.uint8)
    row = [each for picture in pictures for each in (picture, blank)][:-1]
    return np.hstack(row)


def _grid(pictures: list[Picture], columns: int = 2, share: float = 0.5) -> Picture:
    small = [
        np.asarray(cv2.resize(p, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)
        for p in pictures
    ]
    rows = [_side_by_side(small[n : n + columns]) for n in range(0, len(small), columns)]
    blank = np.full((16, rows[0].shape[1], 3), 255, np.uint8)
    return np.vstack([each for row in rows for each in (row, blank)][:-1])


def save(name: str, picture: Picture) -> None:
    """Write one picture.

    Raises:
        ValueError: it is larger than a page of documentation should load.
    """
    done, data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not done or len(data) > MOST_BYTES:
        raise ValueError(f"{name} has {len(data)} bytes, the limit is {MOST_BYTES}")
    (IMAGES / f"{name}.webp").write_bytes(data.tobytes())
    print(f"{name}.webp: {picture.shape[1]}x{picture.shape[0]}, {len(data)} bytes")


@contextlib.contextmanager
def _studio(service: Service, folder: Path) -> Iterator[Studio]:
    port = service.url.rpartition(":")[2]
    flags = (
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
        # Else there is no microphone to show: a page of plain HTTP has none.
        f"--unsafely-treat-insecure-origin-as-secure=http://{NAME}:{port}",
        "--hide-scrollbars",
    )
    portrait = folder / "portrait.jpg"
    cv2.imwrite(str(portrait), skimage.data.astronaut()[:, :, ::-1])  # type: ignore[no-untyped-call]
    program, driver = require("chromium"), require("chromedriver")
    with drivers.chromium(program, driver, folder / "profile", *flags) as browser:
        yield Studio(browser, f"http://{NAME}:{port}", portrait)


@contextlib.contextmanager
def _stage(folder: Path, *flags: str) -> Iterator[Studio]:
    """A service, and a browser before its page."""
    with (
        temporary_media_root() as root,
        Service(Path(root) / "media", (*FLAGS, *flags)) as service,
        _studio(service, folder) as studio,
    ):
        yield studio


def main() -> int:
    """Take the pictures that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    parser.add_argument("wanted", nargs="*", metavar="NAME", help="such as studio-desktop")
    wanted = parser.parse_args().wanted
    IMAGES.mkdir(exist_ok=True)
    pictures: dict[str, Picture] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if wanted != [SOURCES]:
            with _stage(Path(folder)) as studio:
                pictures |= take(studio)
        if not wanted or SOURCES in wanted:
            _film(film := Path(folder) / "film.avi")
            with _stage(Path(folder), "--source", f"camera:{film}") as studio:
                pictures[SOURCES] = take_sources(studio)
    for name, picture in pictures.items():
        if not wanted or name in wanted:
            save(name, picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
