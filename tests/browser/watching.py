"""What a test sees of a player: polls with deadlines, and a witness inside the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from selenium.webdriver.remote.webdriver import WebDriver

POLL_SECONDS = 0.1

# Runs in the page for some seconds: reads the picture back from a canvas as it plays, counts the
# events that mean an interruption, and measures the media clock against the wall clock.
WITNESS = """
const [seconds, everyMs, done] = arguments;
const video = document.querySelector("video");
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [320, 180];
const context = canvas.getContext("2d", { willReadFrequently: true });
const seen = { changed: 0, same: 0, darkest: 255, interruptions: [] };
let previous = null;
function sample() {
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let brightest = 0;
  let differs = false;
  for (let i = 0; i < data.length; i += 4) {
    brightest = Math.max(brightest, data[i], data[i + 1], data[i + 2]);
    differs ||= previous !== null && (data[i] !== previous[i] || data[i + 1] !== previous[i + 1]);
  }
  if (previous !== null) seen[differs ? "changed" : "same"] += 1;
  seen.darkest = Math.min(seen.darkest, brightest);
  previous = data;
}
for (const name of ["waiting", "stalled", "error", "pause", "emptied"]) {
  video.addEventListener(name, () => seen.interruptions.push(name));
}
const wall = performance.now();
const media = video.currentTime;
const timer = setInterval(sample, everyMs);
sample();
setTimeout(() => {
  clearInterval(timer);
  done({
    ...seen,
    wall_seconds: (performance.now() - wall) / 1000,
    media_seconds: video.currentTime - media,
  });
}, seconds * 1000);
"""


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the witness saw; brightness 0-255."""

    changed: int  # samples that differed from the one before
    same: int
    darkest: int  # the brightest pixel of the darkest sample: a black picture has about 0
    interruptions: list[str]  # names of media events
    wall_seconds: float
    media_seconds: float


def watch(browser: WebDriver, seconds: float, every_ms: int = 200) -> Testimony:
    return Testimony(**browser.execute_async_script(WITNESS, seconds, every_ms))


def until(what: str, look: Callable[[], Any], seconds: float) -> Any:
    """The first true answer of `look`.

    Raises:
        AssertionError: none in that time; carries the last answer.
    """
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what} (last: {answer!r})"
        time.sleep(POLL_SECONDS)
    return answer


def diagnostics(browser: WebDriver) -> dict[str, Any]:
    found: dict[str, Any] = browser.execute_script("return {...window.lipstream}")
    return found


def until_live(browser: WebDriver, seconds: float = 15) -> None:
    """Live, and the jump that sheds start-up latency is over."""
    script = """
        const seen = window.lipstream; // WebKit hands the page over before its modules have run
        const settled = performance.now() - (seen?.firstFrameMs ?? Infinity) > 2000;
        return seen?.state === "live" && settled;
    """
    try:
        until("the page says live", lambda: browser.execute_script(script), seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; {diagnostics(browser)}") from error
