"""The time code is read in a page, from a canvas, with the program of docs/sources.md."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.watching import until, until_live
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
# Draws the video into a small canvas, at each of its pictures.
READ = """
const [done] = arguments;
const video = document.querySelector("video");
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [320, 180];
const context = canvas.getContext("2d", { willReadFrequently: true });
const read = [];
function look() {
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const code = readTimeCode(context.getImageData(0, 0, canvas.width, canvas.height));
  read.push(code && { ...code, now: Date.now() });
  if (read.length < 100) video.requestVideoFrameCallback(look);
  else done(read);
}
video.requestVideoFrameCallback(look);
"""


@pytest.fixture(scope="module")
def card() -> Iterator[str]:
    flags = ("--source", "testcard", "--width", "640", "--height", "360", "--ladder", "single")
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as running:
        yield running.url


def test_a_page_reads_when_its_picture_was_drawn(chromium: Chrome, card: str) -> None:
    (script,) = (part.split("```")[0] for part in PAGE.read_text("utf-8").split("```js\n")[1:])
    chromium.get(card + "/")
    until_live(chromium)
    chromium.set_script_timeout(30)
    codes = chromium.execute_async_script(script + READ)
    known = [code for code in codes if code]
    assert len(known) == len(codes) == 100
    times = [code["milliseconds"] for code in known]
    assert times == sorted(times)
    assert len(set(times)) > 30, "it moves"
    assert abs(times[-1] / 1000 - time.time()) < 30
    delays = [code["now"] - code["milliseconds"] for code in known]
    assert min(delays) > 0, "nothing is shown before it was drawn"
    assert any(code["flash"] for code in known)
    assert sum(code["flash"] for code in known) < 30


def test_what_has_no_face_is_offered_none(chromium: Chrome, card: str) -> None:
    chromium.get(f"{card}/")
    mute = chromium.find_element(By.ID, "mute")
    until("it cannot speak", lambda: "cannot be spoken through" in mute.text, 15)
    chromium.find_element(By.ID, "tab-face").click()
    assert chromium.find_element(By.ID, "start-it").is_displayed(), "a stream of its own is"
    assert not chromium.find_element(By.ID, "wear-it").is_displayed()
