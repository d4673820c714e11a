"""What a test sees of a player: polls with deadlines, and a witness inside the page."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from tests.service import Service

POLL_SECONDS = 0.1
EVERY_MS = 200  # five pictures at 25 a second

# A page whose timers come so late, or whose end does, had no machine to play on.
LATE_MS = 150.0
LATE_END_SECONDS = 1.0
TRIES = 3

# What a stream lives by, by a word of each command line.
PROCESSES = ("-m inference", "rawvideo", "-m encoder", "server.web")

# Runs in the page for some seconds: reads the picture back from a canvas as it plays, counts the
# events that mean an interruption, measures the media clock against the wall clock, and how late
# the page's own timers are.
WITNESS = """
const [seconds, everyMs, done] = arguments;
const video = document.querySelector("video");
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [320, 180];
const context = canvas.getContext("2d", { willReadFrequently: true });
const seen = { changed: 0, same: 0, darkest: 255, interruptions: [], late_ms: 0 };
const { stalls = 0 } = window.lipstream ?? {};
let previous = null;
let sampledAt = performance.now();
function sample() {
  seen.late_ms = Math.max(seen.late_ms, performance.now() - sampledAt - everyMs);
  sampledAt = performance.now();
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
for (const name of ["waiting", "stalled", "error", "pause", "emptied", "ratechange"]) {
  video.addEventListener(name, () => seen.interruptions.push(name));
}
const wall = performance.now();
const media = video.currentTime;
const timer = setInterval(sample, everyMs);
sample();
setTimeout(() => {
  clearInterval(timer);
  const after = { stalls: 0, errors: [], ...window.lipstream };
  done({
    ...seen,
    stalls: after.stalls - stalls,
    errors: after.errors.filter(({ atMs }) => atMs > wall),
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
    stalls: int  # that the page itself counted
    errors: list[dict[str, Any]]  # that it noted, and went on
    late_ms: float  # by which its own timer was late at the most
    wall_seconds: float
    media_seconds: float

    @property
    def is_smooth(self) -> bool:
        """Nothing was noted, and each look at the picture found a new one."""
        return not (self.interruptions or self.stalls or self.errors or self.same)


def watch(browser: WebDriver, seconds: float, every_ms: int = EVERY_MS) -> Testimony:
    return Testimony(**browser.execute_async_script(WITNESS, seconds, every_ms))


def watch_in_time(
    browser: WebDriver, seconds: float, url: str, verify: str | bool = True
) -> Testimony:
    """Watch a page of the service at `url` on a machine that keeps time.

    It looks again, twice at most, where the picture was not smooth while the machine was late: the
    page's timer, or the source, whose frames the encoder then had to repeat. A machine that is late
    each time is no excuse, for it may be our doing.
    """
    for left in reversed(range(TRIES)):
        before = _frames_repeated(url, verify)
        seen = watch(browser, seconds)
        repeated = _frames_repeated(url, verify) - before
        is_late = seen.late_ms > LATE_MS or seen.wall_seconds > seconds + LATE_END_SECONDS
        is_whole = seen.is_smooth and seen.changed >= 0.9 * seconds * 1000 / EVERY_MS
        if is_whole or not (is_late or repeated) or not left:
            return seen
        print(f"the machine was late, {repeated} frames repeated: {seen}")
    raise AssertionError("the last look is always taken")


def _frames_repeated(url: str, verify: str | bool) -> int:
    told = requests.get(f"{url}/api/streams/demo", timeout=5, verify=verify).json()
    return int(told["units_repeated"])


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


def by_id(browser: WebDriver, name: str) -> WebElement:
    return browser.find_element(By.ID, name)


def shown(browser: WebDriver) -> str:
    """The word under the picture, in the page's own spelling of it."""
    return str(diagnostics(browser)["shown"])


def until_shown(browser: WebDriver, word: str, seconds: float = 15) -> None:
    until(f"the page says {word}", lambda: shown(browser) == word, seconds)


def kill_in_turn(browser: WebDriver, service: Service, seconds: float) -> None:
    """SIGKILL to each process of a stream; two seconds of media play before the next one's."""
    for process in PROCESSES:
        browser.execute_script("window.since = document.querySelector('video').currentTime")
        os.kill(service.find(process), signal.SIGKILL)
        until(f"it plays on without {process}", lambda: _plays_on(browser), seconds)


def _plays_on(browser: WebDriver) -> bool:
    moved = "return document.querySelector('video').currentTime > since + 2"
    return diagnostics(browser)["state"] == "live" and bool(browser.execute_script(moved))
