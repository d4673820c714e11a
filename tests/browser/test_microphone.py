"""A page's microphone, through the service, to what viewers see and hear of the face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile
from selenium.webdriver import Chrome

from inference.speech import BUILT_IN_SAMPLE
from tests.browser import drivers
from tests.browser.need import require
from tests.browser.watching import until
from tests.ffmpeg.test_speech import (
    FLAGS,
    FPS,
    Ear,
    Recording,
    correlation,
    figures,
    loudness,
)
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

OPEN = """
const [url] = arguments;
window.heard = { states: [], levels: [] };
import("/static/microphone.js").then(({ openMicrophone }) => {
  window.microphone = openMicrophone({
    url,
    onLevel: (level) => window.heard.levels.push(level),
    onState: (state, detail) => window.heard.states.push([state, detail]),
  });
});
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with temporary_media_root() as folder, Service(Path(folder) / "media", FLAGS) as service:
        yield service


@pytest.fixture(scope="module")
def page(running: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """The player's page in a browser whose microphone hears a voice without end."""
    folder = tmp_path_factory.mktemp("microphone")
    wave, rate_hz = soundfile.read(BUILT_IN_SAMPLE, dtype="float32")
    voice = np.interp(np.arange(48_000 * 20) / 48_000, np.arange(len(wave)) / rate_hz, wave)
    soundfile.write(folder / "voice.wav", voice, 48_000, "PCM_16")
    flags = (
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / 'voice.wav'}",
    )
    program, driver = require("chromium"), require("chromedriver")
    with drivers.chromium(program, driver, folder / "profile", *flags) as browser:
        browser.get(running.url + "/")
        yield browser


def allow(browser: Chrome, setting: str) -> None:
    browser.execute_cdp_cmd(
        "Browser.setPermission", {"permission": {"name": "microphone"}, "setting": setting}
    )


def open_microphone(browser: Chrome, query: str = "") -> None:
    browser.execute_script(OPEN, f"api/streams/demo/pcm{query}")


def states(browser: Chrome) -> list[tuple[str, dict[str, Any]]]:
    return [tuple(each) for each in browser.execute_script("return window.heard.states")]


def until_state(browser: Chrome, wanted: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        f"{wanted} in {states(browser)}", lambda: dict(states(browser)).get(wanted), 10
    )
    return found


def figures_of_now(url: str) -> dict[str, Any]:
    """They are written twice a second."""
    now = figures(url)["at"]
    until("newer figures", lambda: figures(url)["at"] > now, 5)
    return figures(url)


def test_what_is_said_into_it_is_seen_and_heard(page: Chrome, running: Service) -> None:
    allow(page, "granted")
    ear, recording, before = Ear(running.url), Recording(running.url), figures(running.url)
    open_microphone(page)
    live = until_state(page, "live")
    assert live["jitter_ms"] == 120
    started = ear.await_event("speech_started", live["utterance"])
    recording.look()  # what was before it leaves the window meanwhile
    until("5 s of levels", lambda: page.execute_script("return heard.levels.length") > 250, 15)
    page.execute_script("microphone.stop(); microphone.stop()")
    finished = ear.await_event("speech_finished", live["utterance"])
    ended = ear.await_event("live_ended", live["utterance"])
    assert [name for name, _ in states(page)] == ["asking", "connecting", "live", "ended"]
    assert states(page)[-1][1]["code"] == 1000
    levels = page.execute_script("return heard.levels")
    assert max(levels) > 0.02
    spoken = finished["media_seconds"] - started["media_seconds"]
    # What a busy machine filled with the last picture, or gave up, the stream has counted.
    after = figures_of_now(running.url)
    filled, lost = ((after[k] - before[k]) / FPS for k in ("units_repeated", "units_dropped"))
    said = ended["heard"] + ended["silent"]
    assert said - lost - 0.3 < spoken < said + filled + 0.3
    assert spoken > 4

    recording.until(finished["media_seconds"])
    start, opening, sound = recording.decoded()
    heard = loudness(sound, len(opening))
    first, end = (round((told["media_seconds"] - start) * FPS) for told in (started, finished))
    assert heard[first:end].max() > 0.02
    voice, seen = heard[first:end], opening[first:end]
    by_lag = {n: correlation(seen, voice, n) for n in range(-5, 6)}
    best = max(by_lag, key=lambda lag: by_lag[lag])
    assert abs(best) <= 1, by_lag
    assert by_lag[0] >= 0.6, by_lag
    assert opening[: first - 1].max() < 0.2 * seen.max(), "it idles until it is spoken through"


def test_it_is_told_who_took_the_floor(page: Chrome, running: Service) -> None:
    allow(page, "granted")
    open_microphone(page)
    until_state(page, "live")
    assert requests.delete(f"{running.url}/api/streams/demo/speech", timeout=5).ok
    ended = until_state(page, "ended")
    assert (ended["code"], ended["reason"].partition(":")[0]) == (4409, "interrupted")


def test_it_is_told_what_is_wrong(page: Chrome) -> None:
    allow(page, "granted")
    page.execute_script(OPEN, "api/streams/nobody/pcm")
    assert until_state(page, "ended")["code"] == 4404
    allow(page, "denied")
    open_microphone(page)
    ended = until_state(page, "ended")
    assert (ended["code"], ended["reason"]) == (0, "the browser was not allowed to listen")
    assert [name for name, _ in states(page)] == ["asking", "ended"]
    complaints = [row["message"] for row in page.get_log("browser") if row["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
    assert complaints == [], "the page's policy allows all of it"
