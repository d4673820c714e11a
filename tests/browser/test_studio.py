"""The studio in a real Chromium, against the real service: what is pressed is seen and heard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests
import skimage.data
import soundfile
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from config import Settings
from inference.presenter import INTERIOR_LUMA, mouth_region
from inference.source import make_source
from inference.speech import BUILT_IN_SAMPLE
from rawmedia import MediaFormat
from tests.browser import drivers
from tests.browser.accessibility import assert_accessible, dress
from tests.browser.need import require
from tests.browser.watching import (
    by_id,
    diagnostics,
    kill_in_turn,
    shown,
    until,
    until_live,
    until_shown,
)
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

WIDTH, HEIGHT, FPS = 640, 360, 25
SIZE = ("--width", str(WIDTH), "--height", str(HEIGHT))
SMALL_HEIGHT = 180
LADDER = ("--video-kbit", "450", "--ladder", f"640x360:450,320x{SMALL_HEIGHT}:120")
SPEECH_SECONDS = 4.0
# A loaded machine takes its time with the voice, the encoder and the way here.
PATIENCE = 15


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """A service whose face idles until it is spoken to."""
    flags = (*SIZE, *LADDER, "--audio", "none")
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        yield service


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser that the tests share, one page after the other."""
    program, driver = require("chromium"), require("chromedriver")
    profile = tmp_path_factory.mktemp("studio") / "profile"
    # A microphone that beeps, and nobody who would have to allow it.
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with drivers.chromium(program, driver, profile, *flags) as browser:
        yield browser


@pytest.fixture
def studio(desk: Chrome, running: Service) -> Chrome:
    """The page, live, its studio open; the same from test to test, as people leave it open."""
    if desk.current_url != f"{running.url}/":
        desk.get(f"{running.url}/")
        until_live(desk)
        until("the studio", by_id(desk, "studio").is_displayed, PATIENCE)
    by_id(desk, "tab-speak").click()
    until("it can be spoken to", lambda: by_id(desk, "say-it").is_enabled(), PATIENCE)
    until_shown(desk, "live")
    return desk


def told(browser: Chrome, name: str) -> str:
    return by_id(browser, name).text


def rows(browser: Chrome) -> list[str]:
    """In one look: the page lays them out anew while it is read."""
    read = "return [...document.querySelectorAll('#queue li')].map((row) => row.innerText)"
    found: list[str] = browser.execute_script(read)
    return found


# Ten looks a second at the picture's mouth (how many of its pixels are the inside of one), at the
# sound that plays, and at the word under the picture.
WITNESS = """
    const [[left, top, width, height], luma] = arguments;
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const ears = new AudioContext();
    const ear = new AnalyserNode(ears, { fftSize: 2048 });
    ears.createMediaStreamSource(video.captureStream()).connect(ear);
    const wave = new Float32Array(ear.fftSize);
    const seen = window.seen = [];
    window.witness = setInterval(() => {
        pen.drawImage(video, left, top, width, height, 0, 0, width, height);
        const { data } = pen.getImageData(0, 0, width, height);
        let open = 0;
        for (let i = 0; i < data.length; i += 4) {
            open += 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2] < luma;
        }
        ear.getFloatTimeDomainData(wave);
        seen.push({ word: lipstream.shown, open, loud: Math.max(...wave.map(Math.abs)) });
    }, 100);
"""


def witness(browser: Chrome) -> None:
    source = make_source(Settings(width=WIDTH, height=HEIGHT), MediaFormat(WIDTH, HEIGHT, FPS))
    region = [int(each) for each in mouth_region(source)]
    browser.execute_script(WITNESS, region, INTERIOR_LUMA)


def witnessed(browser: Chrome) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = browser.execute_script("clearInterval(witness); return seen")
    return seen


def middle(seen: list[dict[str, Any]], word: str, key: str) -> list[float]:
    """What was seen while the page said so, without half a second at each change of its word."""
    words = [each["word"] for each in seen]
    return [seen[n][key] for n in range(5, len(seen) - 5) if set(words[n - 5 : n + 6]) == {word}]


def speech_file(folder: Path) -> Path:
    samples, rate = soundfile.read(BUILT_IN_SAMPLE)
    path = folder / "words.wav"
    soundfile.write(path, samples[: int(SPEECH_SECONDS * rate)], rate)
    return path


def test_a_file_is_said_seen_and_heard_and_the_page_says_so(studio: Chrome, tmp_path: Path) -> None:
    by_id(studio, "sound").click()
    witness(studio)
    time.sleep(1.2)
    by_id(studio, "sound-file").send_keys(str(speech_file(tmp_path)))
    until("it has its place", lambda: "It will be said" in told(studio, "speak-told"), PATIENCE)
    until_shown(studio, "talking")
    assert told(studio, "state") == "Talking"
    until("it is said now", lambda: rows(studio) == ["words.wav\nnow, 4.0 s"], 2)
    until_shown(studio, "live")
    time.sleep(1.2)
    seen = witnessed(studio)
    until("it is said", lambda: rows(studio) == ["words.wav\nsaid, 4.0 s"], 2)
    assert max(middle(seen, "talking", "open")) > 30, "the mouth opens"
    assert np.median(middle(seen, "talking", "loud")) > 0.02, "and is heard"
    assert max(middle(seen, "live", "open")) <= 3, "closed lips are not called talking"
    assert max(middle(seen, "live", "loud")) < 0.01


def test_a_text_is_said_as_it_stands_and_stopped(studio: Chrome) -> None:
    words = "<img src=x onerror=document.title='gone'> It goes on and on, for a long while. " * 3
    by_id(studio, "text").send_keys(words)
    by_id(studio, "say-it").click()
    until_shown(studio, "talking")
    until("its words", lambda: rows(studio)[-1].startswith("<img src=x onerror"), 2)
    assert studio.title == "lipstream"
    by_id(studio, "hush").click()
    until_shown(studio, "live", 6)
    until("it is stopped", lambda: rows(studio)[-1].split("\n")[1].startswith("stopped"), 2)
    assert told(studio, "speak-told") == "Silence."


def test_at_once_takes_the_place_of_what_is_said(studio: Chrome) -> None:
    by_id(studio, "text").send_keys("This goes on and on, and comes to no end for a while. " * 6)
    by_id(studio, "say-it").click()
    until_shown(studio, "talking")
    until("its place is told", lambda: not by_id(studio, "text").get_property("value"), PATIENCE)
    by_id(studio, "interrupt").click()
    by_id(studio, "text").send_keys("Stop: this comes first.")
    by_id(studio, "say-it").click()
    by_id(studio, "interrupt").click()

    def became() -> list[str]:
        return [row.split("\n")[1].split(",")[0] for row in rows(studio)[-2:]]

    until("the first is stopped, the second is said", lambda: became() == ["stopped", "said"], 20)
    assert rows(studio)[-1].startswith("Stop: this comes first.\n")
    until_shown(studio, "live")


CAPTIONS = """
    return [...document.querySelector("video").textTracks]
        .filter(({ mode }) => mode === "showing")
        .flatMap(({ activeCues }) => [...activeCues ?? []].map(({ text }) => text));
"""


def test_what_is_said_can_be_read(studio: Chrome) -> None:
    button = by_id(studio, "captions")
    until("the stream has captions", button.is_displayed, 5)
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    by_id(studio, "text").send_keys(
        "Read my lips, or read this line. And then go on, for a while yet."
    )
    by_id(studio, "say-it").click()
    line = lambda: "read this line" in " ".join(studio.execute_script(CAPTIONS))  # noqa: E731
    until("the words under the picture", line, PATIENCE)
    until_shown(studio, "talking", 2)
    button.click()
    assert studio.execute_script(CAPTIONS) == []
    by_id(studio, "hush").click()


def test_who_holds_the_button_is_heard(studio: Chrome) -> None:
    hold = by_id(studio, "hold")
    mouse = ActionChains(studio)
    mouse.click_and_hold(hold).perform()
    until("it listens", lambda: hold.text == "Speak now", PATIENCE)
    level = by_id(studio, "level")
    until("a beep on the meter", lambda: float(str(level.get_property("value"))) > 0.05, 5)
    until_shown(studio, "talking")
    until("a voice in the list", lambda: rows(studio)[-1] == "A voice, live\nnow", 2)
    mouse.release().perform()
    until_shown(studio, "live")
    assert hold.text == "Hold to talk"
    assert told(studio, "speak-told") == "", "that was no error"


def test_what_is_too_large_is_not_sent(studio: Chrome, running: Service, tmp_path: Path) -> None:
    limit = requests.get(f"{running.url}/api/limits", timeout=5).json()["max_speech_bytes"]
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(limit + 1)
    assert "up to 32 MB, 10 min" in told(studio, "sound-limit")
    by_id(studio, "sound-file").send_keys(str(large))
    until("refused", lambda: "32 MB is the limit" in told(studio, "speak-told"), 5)
    assert by_id(studio, "speak-told").get_attribute("class") == "told error"


# A file that is to be sent waits in `held` until the test lets it go: its progress and its end are
# then no question of how fast this machine is. What hls.js asks for is let through.
HOLD_BACK = """
    const { open, send, abort } = XMLHttpRequest.prototype;
    Object.assign(XMLHttpRequest.prototype, {
        open(method, ...rest) {
            if (method === "POST") window.held = this;
            open.call(this, method, ...rest);
        },
        send(body) {
            if (this === window.held) window.letGo = () => send.call(this, body);
            else send.call(this, body);
        },
        abort() {
            if (this === window.held) this.onabort();
            else abort.call(this);
        },
    });
"""
SENT = "held.upload.onprogress({ loaded: arguments[0], total: 4 })"


def sending(browser: Chrome) -> float | None:
    """The share of a file that has gone out; None: none is being sent."""
    share = by_id(browser, "sent").get_property("value")
    return float(str(share)) if by_id(browser, "sending").is_displayed() else None


def test_a_file_on_its_way_shows_how_far_it_is_and_can_be_cancelled(
    studio: Chrome, tmp_path: Path
) -> None:
    file, choose = str(speech_file(tmp_path)), by_id(studio, "sound-file")
    said = len(rows(studio))
    assert sending(studio) is None
    studio.execute_script(HOLD_BACK)
    choose.send_keys(file)
    until("it is on its way", lambda: sending(studio) == 0, PATIENCE)
    assert told(studio, "speak-told") == "Sending words.wav…"
    studio.execute_script(SENT, 1)
    assert sending(studio) == 0.25
    by_id(studio, "cancel").click()
    until("it is cancelled", lambda: sending(studio) is None, PATIENCE)
    assert told(studio, "speak-told") == "Cancelled: it was not sent."
    assert len(rows(studio)) == said
    choose.send_keys(file)
    until("another is on its way", lambda: sending(studio) == 0, PATIENCE)
    studio.execute_script(SENT, 4)
    assert sending(studio) == 1
    assert told(studio, "speak-told") == "Sent. The service is reading it…"
    studio.execute_script("letGo()")
    until("it has its place", lambda: "It will be said" in told(studio, "speak-told"), PATIENCE)
    assert sending(studio) is None
    by_id(studio, "hush").click()
    studio.refresh()
    until_live(studio)


def height(browser: Chrome) -> int:
    """Of the rendition that is played; 0: nothing is."""
    rung = diagnostics(browser)["stats"].get("rung")
    return int(rung["height"]) if rung else 0


def test_the_rung_follows_the_network(studio: Chrome) -> None:
    """Down where even an idle face does not fit, without standing still for long; and up again."""
    studio.refresh()
    until_live(studio)
    until("the better picture", lambda: height(studio) == HEIGHT, 5)
    # Bytes a second: less than the better rendition and its sound, more than the other and its.
    studio.set_network_conditions(offline=False, latency=20, throughput=50_000)
    try:
        until("the smaller picture", lambda: height(studio) == SMALL_HEIGHT, 20)
        until_shown(studio, "live", 5)
        time.sleep(3)
        assert (shown(studio), height(studio)) == ("live", SMALL_HEIGHT), "it fits, and stays"
    except AssertionError as error:
        seen = diagnostics(studio)
        told = {name: seen["stats"].get(name) for name in ("bandwidthKbit", "stalls", "kbit")}
        raise AssertionError(f"{error}; {told}; {seen['errors']}") from error
    finally:
        studio.delete_network_conditions()
    until("the better picture again", lambda: height(studio) == HEIGHT, 10)
    until_shown(studio, "live")


def test_the_rung_follows_the_viewer(studio: Chrome) -> None:
    by_id(studio, "tab-quality").click()
    choice = Select(by_id(studio, "rung"))
    choice.select_by_value("180")
    until("the smaller picture", lambda: height(studio) == 180, 10)
    choice.select_by_value(str(HEIGHT))
    until("the better picture", lambda: height(studio) == HEIGHT, 10)
    assert diagnostics(studio)["stats"]["auto"] is False
    choice.select_by_value("auto")
    until("automatic", lambda: diagnostics(studio)["stats"]["auto"], 3)


# What stands there, and what is true, in one moment.
OVERLAY = """
    const textOf = ({ textContent }) => textContent;
    const texts = (tag) => [...document.querySelectorAll(`#stats ${tag}`)].map(textOf);
    return [texts("dt"), texts("dd"), lipstream.latencySeconds];
"""


def test_the_figures_stand_in_the_overlay(studio: Chrome) -> None:
    by_id(studio, "tab-quality").click()
    Select(by_id(studio, "rung")).select_by_value("auto")
    until("automatic", lambda: diagnostics(studio)["stats"]["auto"], 5)
    button = by_id(studio, "figures")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    names, values, latency = studio.execute_script(OVERLAY)
    found = dict(zip(names, values, strict=True))
    assert float(found["Glass to glass"].removesuffix(" s")) == pytest.approx(latency, abs=0.5)
    assert found["Protocol"] == "HTTP/1.1, hls.js"
    assert found["Rendition"].endswith("lines, auto")
    assert "–" not in values
    lines = "return document.querySelectorAll('#stats polyline').length"
    until("both plots have lines", lambda: studio.execute_script(lines) >= 2, 5)


def test_a_tab_in_the_background_comes_back_live(studio: Chrome) -> None:
    page = studio.current_window_handle
    studio.switch_to.new_window("tab")
    other = studio.current_window_handle
    time.sleep(4)
    studio.switch_to.window(page)
    try:
        until("live", lambda: diagnostics(studio)["state"] == "live", 5)
        until("near", lambda: (diagnostics(studio)["latencySeconds"] or 99) < 4, 10)
    except AssertionError as error:
        raise AssertionError(f"{error}; {diagnostics(studio)}") from error
    finally:
        studio.switch_to.window(other)
        studio.close()
        studio.switch_to.window(page)


def test_a_picture_without_a_face_is_told_before_anything_starts(
    studio: Chrome, running: Service, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    by_id(studio, "tab-face").click()
    by_id(studio, "who-photo").click()
    by_id(studio, "start-it").click()
    assert "Choose a photo first" in told(studio, "start-told")
    by_id(studio, "photo-file").send_keys(str(tmp_path / "noise.png"))
    until("a preview", lambda: by_id(studio, "preview").is_displayed(), 5)
    by_id(studio, "start-it").click()
    until("the reason", lambda: "No face was found" in told(studio, "start-told"), PATIENCE)
    by_id(studio, "who-presenter").click()
    listed = requests.get(f"{running.url}/api/streams", timeout=5).json()["streams"]
    assert [each["id"] for each in listed if each["state"] == "live"] == ["demo"]


def picture(browser: Chrome) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the video shows: 160 x 90, RGBA."""
    read = """
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [160, 90];
        const pen = canvas.getContext("2d");
        pen.drawImage(document.querySelector("video"), 0, 0, 160, 90);
        return [...pen.getImageData(0, 0, 160, 90).data];
    """
    return np.asarray(browser.execute_script(read), np.uint8)


def likeness(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """By how much two pictures differ, mean of all values."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def test_the_stream_that_plays_is_given_another_face(studio: Chrome, tmp_path: Path) -> None:
    portrait = skimage.data.astronaut()[:, :, ::-1]  # type: ignore[no-untyped-call]
    cv2.imwrite(str(tmp_path / "portrait.png"), portrait)
    noise = np.random.default_rng(2).integers(0, 255, (400, 400, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    by_id(studio, "tab-face").click()
    by_id(studio, "who-photo").click()
    before = picture(studio)
    wear = by_id(studio, "wear-it")
    until("it can be given one", wear.is_displayed, PATIENCE)
    assert wear.text == "Give demo this face, now"
    by_id(studio, "photo-file").send_keys(str(tmp_path / "noise.png"))
    until("a preview", lambda: by_id(studio, "preview").is_displayed(), PATIENCE)
    wear.click()
    until("no face", lambda: "No face was found" in told(studio, "face-told"), PATIENCE)
    assert by_id(studio, "face-told").get_attribute("class") == "told error"
    assert likeness(before, picture(studio)) < 6, "the old one stays"
    by_id(studio, "photo-file").send_keys(str(tmp_path / "portrait.png"))
    until("it is taken", lambda: told(studio, "face-told") == "", PATIENCE)
    wear.click()
    worn = "demo has its new face."
    until("it is told", lambda: told(studio, "face-told") == worn, PATIENCE)
    until("it is seen", lambda: likeness(before, picture(studio)) > 10, PATIENCE)
    by_id(studio, "who-presenter").click()
    wear.click()
    until("the presenter again", lambda: likeness(before, picture(studio)) < 6, PATIENCE)
    until("it is told", lambda: told(studio, "face-told") == worn, PATIENCE)
    assert studio.current_url.endswith("/"), "in the same stream"


def state(running: Service, stream: str) -> tuple[str, str]:
    told = requests.get(f"{running.url}/api/streams/{stream}", timeout=5).json()
    return told["state"], told["latency"]


def bit_rates(running: Service, stream: str) -> int:
    """How many a viewer's network may choose from."""
    playlist = requests.get(f"{running.url}/live/{stream}/index.m3u8", timeout=5).text
    return playlist.count("#EXT-X-STREAM-INF:")


def test_streams_are_made_replaced_and_ended(studio: Chrome, running: Service) -> None:
    def make(name: str, *, replacing: bool) -> None:
        by_id(studio, "name").send_keys(name)
        if replacing:
            by_id(studio, "replace").click()
        by_id(studio, "start-it").click()
        until("the address names it", lambda: f"stream={name}" in studio.current_url, PATIENCE)
        until_live(studio, 20)

    by_id(studio, "tab-quality").click()
    until("the choices", lambda: studio.find_elements(By.ID, "field-latency"), 5)
    Select(by_id(studio, "field-latency")).select_by_value("ultra")
    ladder = by_id(studio, "field-ladder")
    assert "auto (video_kbit, and less for phones), single" in told(studio, "field-ladder-hint")
    ladder.clear()
    ladder.send_keys("single")
    assert told(studio, "summary") == "The presenter · latency ultra · bit rates single"
    make("second", replacing=False)
    assert state(running, "second") == ("live", "ultra")
    assert bit_rates(running, "second") == 1
    by_id(studio, "tab-face").click()
    make("third", replacing=True)
    until("second has ended", lambda: state(running, "second")[0] == "ended", PATIENCE)
    by_id(studio, "tab-streams").click()
    ending = (By.CSS_SELECTOR, "[data-focus='end third']")
    until("it is in the list", lambda: studio.find_elements(*ending), 8)
    studio.find_element(*ending).click()
    assert studio.find_element(*ending).text == "Really end?"
    studio.find_element(*ending).click()
    until_shown(studio, "ended", PATIENCE)
    by_id(studio, "tab-speak").click()
    assert told(studio, "mute") == "There is nobody yet who could speak."
    studio.back()
    studio.back()
    until_shown(studio, "live", PATIENCE)


# Answers of the service as it would give them; what is asked of it otherwise it answers itself.
ANSWERS = """
    const [answers] = arguments;
    const real = window.fetch;
    window.asked = [];
    window.fetch = async (url, options = {}) => {
        const call = `${options.method ?? "GET"} ${new URL(url).pathname}`;
        if (!(call in answers)) return real(url, options);
        window.asked.push(call);
        return new Response(JSON.stringify(answers[call]), { status: 200 });
    };
"""
GONE = {
    "id": "gone",
    "reason": "its encoder never came up",
    "processes": [],
    "width": WIDTH,
    "height": HEIGHT,
    "playback": {"hls": "/live/gone/index.m3u8"},
}


def test_what_came_to_nothing_is_told_and_cleared_away(studio: Chrome) -> None:
    answers = {
        "POST /api/streams": GONE,
        "GET /api/streams/gone": {**GONE, "state": "ended"},
        "GET /api/streams": {"streams": [{**GONE, "state": "failed"}]},
        "DELETE /api/streams/gone": GONE,
    }
    studio.execute_script(ANSWERS, answers)
    by_id(studio, "tab-face").click()
    for _ in range(2):  # the form is not locked by the first
        by_id(studio, "start-it").click()
        until("why", lambda: "ended it before" in told(studio, "start-told"), 5)
    made = [call for call in studio.execute_script("return asked") if call.startswith("POST")]
    assert len(made) == 2
    by_id(studio, "tab-streams").click()
    remove = (By.CSS_SELECTOR, "[data-focus='remove gone']")
    until("it is in the list", lambda: studio.find_elements(*remove), 8)
    studio.find_element(*remove).click()
    until("it is told", lambda: told(studio, "streams-told") == "gone is removed.", 5)
    assert studio.execute_script("return asked").count("DELETE /api/streams/gone") == 1
    studio.refresh()
    until_live(studio)


def test_the_page_survives_every_process_in_turn(studio: Chrome, running: Service) -> None:
    studio.execute_script("window.sameDocument = true")
    kill_in_turn(studio, running, 20)
    assert studio.execute_script("return window.sameDocument")
    # For long enough: the page asks for events again after two seconds.
    by_id(studio, "text").send_keys("Still here, and with a good deal to say about it. " * 4)
    by_id(studio, "say-it").click()
    until_shown(studio, "talking")
    by_id(studio, "hush").click()


def test_the_keyboard_moves_between_panels(studio: Chrome) -> None:
    for key, panel in (
        (Keys.ARROW_LEFT, "streams"),
        (Keys.ARROW_RIGHT, "speak"),
        (Keys.END, "streams"),
    ):
        studio.switch_to.active_element.send_keys(key)
        assert studio.switch_to.active_element.get_attribute("id") == f"tab-{panel}"
        assert by_id(studio, panel).is_displayed()
    assert not by_id(studio, "speak").is_displayed()


# With each word that may stand beside them, and with each button that a browser or a stream may
# have: how far inside their card all buttons below the picture are at least, in CSS pixels.
INSIDE = """
    const done = arguments[arguments.length - 1];
    const player = document.getElementById("player");
    const state = document.getElementById("state");
    const buttons = [...player.querySelectorAll(".controls button")];
    const inside = (button) => {
        const [card, box] = [player.getBoundingClientRect(), button.getBoundingClientRect()];
        const sides = [box.left - card.left, card.right - box.right, box.top - card.top];
        return Math.min(...sides, card.bottom - box.bottom);
    };
    import("/static/state.js").then(({ WORDS }) => {
        const before = [state.textContent, buttons.map(({ hidden }) => hidden)];
        buttons.forEach((button) => { button.hidden = false; });
        const found = Object.values(WORDS).map((word) => {
            state.textContent = word;
            return [word, Math.min(...buttons.map(inside))];
        });
        state.textContent = before[0];
        buttons.forEach((button, at) => { button.hidden = before[1][at]; });
        done(Object.fromEntries(found));
    });
"""


def test_no_button_stands_over_the_edge_of_its_card(studio: Chrome) -> None:
    studio.refresh()  # the word on the button for sound is longest before the first tap
    until_live(studio)
    until("the studio", by_id(studio, "studio").is_displayed, PATIENCE)
    found: dict[int, dict[str, float]] = {}
    try:
        for width in (360, 768, 1080, 1140, 1200, 1440):
            dress(studio, width, 900, "light")
            wide = f"return innerWidth === {width}"
            until(f"{width} px", lambda: studio.execute_script(wide), PATIENCE)  # noqa: B023
            found[width] = studio.execute_async_script(INSIDE)
    finally:
        studio.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        studio.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    for width, inside in found.items():
        assert {"Connecting", "Live", "Talking", "Cannot play"} <= inside.keys()
        assert min(inside.values()) >= 0, (width, inside)


def test_everybody_can_use_it(studio: Chrome) -> None:
    """Each panel, and the statistics over the picture."""
    if not by_id(studio, "stats").is_displayed():
        by_id(studio, "figures").click()
    for panel in ("speak", "face", "quality", "streams"):
        by_id(studio, f"tab-{panel}").click()
        if panel == "face":
            by_id(studio, "who-photo").click()
        if panel == "quality":
            until("the choices", lambda: studio.find_elements(By.ID, "field-latency"), 5)
            studio.execute_script("document.querySelector('details').open = true")
        if panel == "streams":
            until("the list", lambda: studio.find_elements(By.CSS_SELECTOR, "#list li"), 8)
        assert_accessible(studio, panel)
