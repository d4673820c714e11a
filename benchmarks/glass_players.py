"""Players in Chromium that are watched, and the plain HLS that they are compared with."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from selenium.webdriver import Chrome

from benchmarks.processes import python
from encoder.candidates import CANDIDATES
from encoder.ffmpeg import find_ffmpeg
from inference.testcard import TestCard
from rawmedia import MediaFormat
from tests.browser import drivers
from tests.browser.folder_site import serve_folder
from tests.browser.need import require
from tests.browser.watching import until

PAGES = Path(__file__).parent / "pages"
VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
SIZE = (1280, 720)
FPS = 25
# After the first picture: a jump towards live, or a change of rung, is over.
SETTLE_MS = 2500
_START_SECONDS = 30.0
_MOVES = f"""
const video = document.querySelector("video");
if (!video || video.currentTime === 0 || video.readyState < 3) return false;
window.movedAt ??= performance.now();
return performance.now() - window.movedAt > {SETTLE_MS};
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the page saw of one start of a player."""

    pictures: list[tuple[float, float]]  # drawn, shown: milliseconds since 1970
    decode_ms: list[float]
    fetched: dict[str, tuple[float, float, float]]  # by URL: asked, first byte, last byte; ms
    stalls: int
    frozen_ms: float  # the longest time between two pictures
    unread: int
    dropped: int

    @property
    def delays(self) -> list[float]:
        """From drawing to showing, in seconds."""
        return [(shown - drawn) / 1000 for drawn, shown in self.pictures]


def watch(page: str, seconds: float, profile: Path) -> Watched:
    """Open a page in a browser of its own, wait until it plays steadily, and look."""
    programs = require("chromium"), require("chromedriver")
    with drivers.chromium(*programs, profile) as browser:
        browser.get(page)
        until("the player plays", lambda: browser.execute_script(_MOVES), _START_SECONDS)
        return _look(browser, seconds)


def _look(browser: Chrome, seconds: float) -> Watched:
    browser.set_script_timeout(seconds + 30)
    script = (PAGES / "watch.js").read_text("utf-8")
    seen: dict[str, Any] = browser.execute_async_script(script, seconds)
    own, events = seen["stalls"], seen["waiting"]
    return Watched(
        pictures=[(float(drawn), float(shown)) for drawn, shown in seen["pictures"]],
        decode_ms=seen["decodeMs"],
        fetched={name: (a, b, c) for name, a, b, c in seen["fetched"]},
        stalls=max(own or 0, events),
        frozen_ms=seen["frozenMs"],
        unread=seen["unread"],
        dropped=seen["dropped"],
    )


@contextlib.contextmanager
def bare_site(folder: Path) -> Iterator[str]:
    """A static server with the page of hls.js alone."""
    site = folder / "bare"
    site.mkdir()
    (site / "bare.html").symlink_to(PAGES / "bare.html")
    (site / "vendor").symlink_to(VENDOR)
    (site / "plain").symlink_to(folder / "plain")
    with serve_folder(site) as url:
        yield url


def bare_page(site: str, playlist: str) -> str:
    """Of hls.js alone, for a stream."""
    return f"{site}/bare.html?{urlencode({'src': playlist})}"


# --- plain HLS by ffmpeg -------------------------------------------------------------------------


@contextlib.contextmanager
def plain_hls(folder: Path) -> Iterator[None]:
    """The test card as HLS of 2 s segments in a folder, by ffmpeg's own muxer."""
    folder.mkdir()
    with python("benchmarks.glass_players", str(folder)) as child:
        try:
            playlist = folder / "media.m3u8"
            until("ffmpeg's playlist", lambda: _segments(playlist) >= 4, 30)
            yield
        finally:
            child.terminate()
            child.wait(10)


def _segments(playlist: Path) -> int:
    return playlist.read_text().count("#EXTINF") if playlist.exists() else 0


def plain_argv(folder: Path) -> list[str]:
    """The encoder's settings as lipstream has them; the muxer's as they come, but 2 s segments."""
    width, height = SIZE
    raw = f"-f rawvideo -pixel_format bgr24 -video_size {width}x{height} -framerate {FPS} -i pipe:0"
    preset = next(c for c in CANDIDATES if c.name == "libx264").own["preset"]
    coder = f"-pix_fmt yuv420p -c:v libx264 -preset {preset} -tune zerolatency -b:v 700k "
    coder += f"-maxrate 770k -bufsize 350k -g {2 * FPS} -sc_threshold 0"
    muxer = "-f hls -hls_time 2 -hls_list_size 7 -hls_flags delete_segments"
    start = [find_ffmpeg("").path, "-v", "fatal", *raw.split(), *coder.split()]
    return [*start, *muxer.split(), str(folder / "media.m3u8")]


def _feed(folder: Path) -> None:
    media = MediaFormat(*SIZE, FPS)
    card = TestCard(media)
    frame = np.empty((media.height, media.width, 3), np.uint8)
    samples = np.empty((media.samples_per_unit, 1), np.int16)
    with subprocess.Popen(plain_argv(folder), stdin=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin is not None
        due = time.monotonic()
        while ffmpeg.poll() is None:
            card.render(frame, samples)
            ffmpeg.stdin.write(frame.data)
            due += 1 / FPS
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    import signal
    import sys

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _feed(Path(sys.argv[1]))
