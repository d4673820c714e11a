"""Who may steer sees the studio; who only watches sees the player, and how to be let in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from werkzeug.serving import make_server

from config import Settings
from server.app import create_app
from tests.browser.accessibility import assert_accessible
from tests.browser.watching import diagnostics, until, until_live
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

TOKEN = "a token nobody guesses"
# A loaded machine takes its time with the voice, the encoder and the way here.
PATIENCE = 15


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """An application with a token, and without a stream."""
    for name in ("live", "run"):
        (tmp_path / "media" / name).mkdir(parents=True)
    app = create_app(Settings(api_token=TOKEN), tmp_path / "media")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _is_shown(browser: Chrome, name: str) -> bool:
    return browser.find_element(By.ID, name).is_displayed()


def test_a_viewer_sees_the_player_until_the_token_is_given(chromium: Chrome, guarded: str) -> None:
    chromium.get(f"{guarded}/")
    until("the way in", lambda: _is_shown(chromium, "sign-in"), 10)
    assert not _is_shown(chromium, "studio")
    assert_accessible(chromium, "a viewer's page, connecting")
    chromium.find_element(By.ID, "sign-in").click()
    field = chromium.find_element(By.ID, "token")
    field.send_keys("a wrong one\n")
    error = chromium.find_element(By.ID, "key-told")
    until("it is refused", lambda: "does not take this token" in error.text, 5)
    assert_accessible(chromium, "the dialog")
    field.clear()
    field.send_keys(f"{TOKEN}\n")
    until("the studio", lambda: _is_shown(chromium, "studio"), 5)
    assert not _is_shown(chromium, "key")
    assert not _is_shown(chromium, "sign-in")
    chromium.refresh()
    until("the studio again, in this tab", lambda: _is_shown(chromium, "studio"), 5)
    assert chromium.execute_script("return localStorage.length") == 0


def _height(browser: Chrome) -> int:
    rung = diagnostics(browser)["stats"].get("rung")
    return int(rung["height"]) if rung else 0


# Addresses of all that the page has loaded.
ASKED = "return performance.getEntriesByType('resource').map(({ name }) => name)"
# A viewer's page: the service tells it that there is nothing to steer.
CLOSED = """
    const real = window.fetch;
    const access = new Response('{"control": "closed"}');
    window.fetch = (url, ...more) => `${url}`.endsWith("/access") ? access : real(url, ...more);
"""


@pytest.fixture(scope="module")
def face() -> Iterator[str]:
    """A service whose face idles until it is spoken to."""
    size = ("--width", "640", "--height", "360", "--video-kbit", "450")
    ladder = ("--ladder", "640x360:450,320x180:120", "--audio", "none")
    with (
        temporary_media_root() as folder,
        Service(Path(folder) / "media", (*size, *ladder)) as running,
    ):
        yield running.url


@pytest.fixture
def viewer(chromium: Chrome, face: str) -> Chrome:
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CLOSED})
    chromium.get(f"{face}/")
    until_live(chromium)
    assert not _is_shown(chromium, "studio")
    return chromium


def test_a_viewer_chooses_his_rung_and_catches_up_in_silence(viewer: Chrome) -> None:
    """He is told nothing of the face: that it is silent he has from the sound."""
    choice = Select(viewer.find_element(By.ID, "rung"))
    choice.select_by_value("180")
    until("the smaller picture", lambda: _height(viewer) == 180, 10)
    # Not so far that it would be caught up in any case.
    # In one moment: the jump back may come with the page's next look.
    fall_back = """
        const { jumps, latencySeconds } = lipstream;
        if (latencySeconds !== null) video.currentTime -= 1.5;
        return latencySeconds && [jumps, latencySeconds, lipstream.latencySeconds];
    """
    before, near, late = until("live", lambda: viewer.execute_script(fall_back), 5)
    assert late > near + 1
    until("a jump", lambda: diagnostics(viewer)["jumps"] > before, 15)
    until("near", lambda: (diagnostics(viewer)["latencySeconds"] or 99) < near + 0.7, 5)


def test_a_viewer_sees_that_the_face_talks(viewer: Chrome, face: str) -> None:
    """Nobody tells him: he has it from the sound, as he has that it is silent."""
    word = viewer.find_element(By.ID, "state")
    until("silent", lambda: word.text == "Live", PATIENCE)
    words = {"text": "Whoever watches sees that I am talking, also with the sound turned off."}
    requests.post(f"{face}/api/streams/demo/speech", json=words, timeout=30).raise_for_status()
    until("it talks", lambda: word.text == "Talking", PATIENCE)
    until("silent again", lambda: word.text == "Live", PATIENCE)
    asked: list[str] = viewer.execute_script(ASKED)
    assert not [url for url in asked if "/api/" in url]


def test_a_link_can_bring_the_token(chromium: Chrome, guarded: str) -> None:
    chromium.get(f"{guarded}/?stream=me#control={TOKEN.replace(' ', '%20')}")
    until("the studio", lambda: _is_shown(chromium, "studio"), 10)
    assert chromium.current_url == f"{guarded}/?stream=me", "it leaves the address bar"
    chromium.get(f"{guarded}/#control=no")
    until("an old one is forgotten", lambda: _is_shown(chromium, "sign-in"), 10)
    assert chromium.execute_script("return sessionStorage.length") == 0


def test_in_a_service_of_another_name_there_is_nothing_to_press(
    chromium: Chrome, guarded: str
) -> None:
    script = """
        const done = arguments[arguments.length - 1];
        import("/static/access.js").then(({ enter }) => enter("")).then(({ mode }) => done(mode));
    """
    chromium.get(f"{guarded}/")
    assert chromium.execute_async_script(script) == "token"
    closed = 'window.fetch = async () => new Response(\'{"control": "closed"}\');'
    chromium.execute_script(closed)
    assert chromium.execute_async_script(script) == "closed"


def test_where_nothing_may_be_kept_the_link_still_opens_it(chromium: Chrome, guarded: str) -> None:
    """A browser that blocks cookies throws at the very name of a storage."""
    blocked = """
        for (const name of ["sessionStorage", "localStorage"]) {
            const get = () => { throw new DOMException("blocked", "SecurityError"); };
            Object.defineProperty(window, name, { get });
        }
    """
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": blocked})
    chromium.get(f"{guarded}/")
    until("the way in", lambda: _is_shown(chromium, "sign-in"), 10)
    chromium.get(f"{guarded}/?stream=me#control={TOKEN.replace(' ', '%20')}")
    until("the studio", lambda: _is_shown(chromium, "studio"), 10)
    assert chromium.current_url == f"{guarded}/?stream=me", "it leaves the address bar"
