"""The states that a healthy service does not show, on a file server with made-up playlists."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import Site
from tests.browser.watching import diagnostics, until

pytestmark = pytest.mark.browser

MULTIVARIANT = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=700000,CODECS="{codecs}"
media.m3u8
"""
MEDIA = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MAP:URI="init.mp4"
#EXTINF:2.00000,
s1.m4s
"""
CLOSED = MEDIA + "#EXT-X-ENDLIST\n"
# Nothing to load, and so nothing to fail: a playlist that is read again and again.
BARREN = MEDIA.replace('#EXT-X-MAP:URI="init.mp4"', "#EXT-X-MEDIA-SEQUENCE:{msn}")
BARREN = BARREN.replace("s1.m4s", "#EXT-X-GAP\ns{msn}.ts")
ENGINE = """
    const video = document.body.appendChild(document.createElement("video"));
    window.failures = [];
    import("/static/engines.js").then(({ HlsJsEngine }) => {
        const failed = (why) => failures.push(why);
        new HlsJsEngine(video, arguments[0], { failed, noted: () => {} }).start();
    });
"""


def _until_state(browser: Chrome, state: str, seconds: float = 8) -> None:
    until(state, lambda: diagnostics(browser)["state"] == state, seconds)


def test_says_ended_for_a_closed_playlist_and_waits_for_a_new_run(
    chromium: Chrome, site: Site
) -> None:
    top = MULTIVARIANT.format(codecs="avc1.64001f")
    site.add_stream("over", index=top, media=CLOSED)
    chromium.get(f"{site.url}/?stream=over")
    _until_state(chromium, "ended")
    assert chromium.find_element(By.ID, "state").text == "Ended"
    assert_accessible(chromium, "ended")
    site.replace("over", "media", MEDIA)
    _until_state(chromium, "connecting")


def test_an_engine_gives_up_where_the_numbers_are_of_another_run(
    chromium: Chrome, site: Site
) -> None:
    """As after a restart: hls.js alone would place the media by the difference, and stand still."""
    top = MULTIVARIANT.format(codecs="avc1.64001f")
    site.add_stream("anew", index=top, media=BARREN.format(msn=7))
    (site.folder / "bare.html").write_text("<!doctype html><title>bare</title>", "utf-8")
    chromium.get(f"{site.url}/bare.html")
    chromium.execute_script(ENGINE, "/live/anew/index.m3u8")
    reads = "return performance.getEntriesByName(location.origin + '/live/anew/media.m3u8').length"

    def replace_by(msn: int) -> None:
        before = chromium.execute_script(reads)
        site.replace("anew", "media", BARREN.format(msn=msn))
        until("it is read", lambda: chromium.execute_script(reads) > before + 1, 20)

    until("it is read", lambda: chromium.execute_script(reads), 20)
    replace_by(8)  # the same stream, a segment later
    assert chromium.execute_script("return failures") == []
    replace_by(115_200_000)
    assert chromium.execute_script("return failures") == ["another run of the stream"]


def test_says_cannot_play_for_a_codec_the_browser_lacks(chromium: Chrome, site: Site) -> None:
    site.add_stream("odd", index=MULTIVARIANT.format(codecs="dvh1.05.06"), media=MEDIA)
    chromium.get(f"{site.url}/?stream=odd")
    _until_state(chromium, "unplayable", 12)
    assert chromium.find_element(By.ID, "state").text == "Cannot play"
    assert "this browser cannot play it" in chromium.find_element(By.ID, "detail").text
    assert_accessible(chromium, "unplayable")


def test_a_browser_without_media_source_or_hls_is_told(chromium: Chrome, site: Site) -> None:
    bare = "delete window.MediaSource; delete window.WebKitMediaSource;"
    bare += "delete window.ManagedMediaSource; HTMLMediaElement.prototype.canPlayType = () => '';"
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": bare})
    chromium.get(f"{site.url}/")
    _until_state(chromium, "unplayable")
    assert diagnostics(chromium)["engine"] is None


def test_without_media_source_the_native_player_is_used(chromium: Chrome, site: Site) -> None:
    """As on an iPhone; Chromium's own HLS player stands in for Safari's."""
    bare = "delete window.MediaSource; delete window.WebKitMediaSource;"
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": bare})
    chromium.get(f"{site.url}/")
    assert diagnostics(chromium)["engine"] == "native"


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        ({}, "live"),
        ({"stillMs": 699}, "live"),
        ({"stillMs": 700}, "stalled"),
        ({"moved": False}, "connecting"),
        ({"attached": False}, "connecting"),
        ({"paused": True, "stillMs": 9000}, "paused"),
        ({"paused": True, "attached": False}, "connecting"),
        ({"ended": True, "paused": True}, "ended"),
        ({"unplayable": "no codec", "attached": False}, "unplayable"),
    ],
)
def test_judge(page: Chrome, seen: dict[str, Any], state: str) -> None:
    live = {"unplayable": "", "ended": False, "attached": True, "paused": False, "moved": True}
    assert _call(page, "state.js", "judge", {**live, "stillMs": 0, **seen}) == state


@pytest.mark.parametrize(
    ("made_at_ms", "seconds"),
    [(99_000, 1.0), (100_000, 0.0), (101_000, None), (-4_000_000, None), (None, None)],
)
def test_latency_is_unknown_rather_than_absurd(
    page: Chrome, made_at_ms: int | None, seconds: float | None
) -> None:
    script = """
        const [madeAt, done] = arguments;
        const date = madeAt === null ? null : new Date(madeAt);
        import("/static/latency.js").then((m) => done(m.latencySeconds(date, 100000)));
    """
    assert page.execute_async_script(script, made_at_ms) == seconds


@pytest.mark.parametrize(
    ("position", "target", "jump"),
    [
        (1.0, 2.0, 2.0),
        (1.0, 1.14, None),  # too little to gain
        (1.0, 2.65, 2.65),  # 0.35 s beyond it: half of 0.7
        (1.0, 2.75, None),  # too little media beyond the landing point
        (1.0, 5.0, None),  # not loaded yet
        (2.0, 1.0, None),  # never back
        (1.0, None, None),
    ],
)
def test_jumps_only_where_it_gains_and_cannot_stall(
    page: Chrome, position: float, target: float | None, jump: float | None
) -> None:
    script = """
        const [position, target, done] = arguments;
        const buffered = { length: 1, start: () => 0, end: () => 3 };
        import("/static/latency.js").then(
            (m) => done(m.jumpTarget(position, target, 0.7, buffered)),
        );
    """
    assert page.execute_async_script(script, position, target) == jump


# A start at 0 ms and a stall that ends at 10 s; each look has its own end of the buffer.
LOOKS = """
    const [looks, done] = arguments;
    import("/static/catchup.js").then(({ CatchUp }) => {
        const catchUp = new CatchUp();
        catchUp.started(0);
        done(looks.map(([now, position, target, end]) => {
            if (now === 10000) catchUp.resumed(now);
            const buffered = { length: 1, start: () => 0, end: () => end };
            return catchUp.look(now, position, target, 0.6, buffered);
        }));
    });
"""


@pytest.mark.parametrize(
    ("looks", "jumps"),
    [
        pytest.param(
            [(500, 1, 2, 9), (750, 1, 2, 9), (1000, 2, 3, 9)], [None, 2, None], id="start"
        ),
        pytest.param([(750, 1, 2, 2), (1000, 1, 2, 9)], [None, 2], id="not loaded at first"),
        pytest.param([(750, 1, 1, 9), (1300, 1, 2, 9)], [None, None], id="a start is over"),
        pytest.param(
            [(10000, 9, 8.5, 9.2), (10250, 9, 8.5, 9.2), (10500, 9, 11, 9.4), (10750, 9, 11, 12)],
            [None, None, None, 11],
            id="after a stall the playlist is old, then the media are not here",
        ),
        pytest.param([(10000, 9, 11, 12), (10250, 11, 13, 14)], [11, None], id="one jump a stall"),
        pytest.param([(14100, 9, 11, 12)], [None], id="no stall, no jump"),
        pytest.param([(60000, 9, 12.1, 13)], [12.1], id="far behind is always too far"),
        pytest.param([(60000, 9, None, 13)], [None], id="the engine does not say"),
    ],
)
def test_catches_up_when_the_picture_is_torn_anyway(
    page: Chrome, looks: list[tuple[float, ...]], jumps: list[float | None]
) -> None:
    assert page.execute_async_script(LOOKS, looks) == jumps


def _call(page: Chrome, module: str, name: str, argument: dict[str, Any]) -> Any:
    script = """
        const [module, name, argument, done] = arguments;
        import("/static/" + module).then((m) => done(m[name](argument)));
    """
    return page.execute_async_script(script, module, name, argument)


# What a page asks of the system around it, written down.
AROUND = """
    window.copied = [];
    window.handlers = {};
    MediaSession.prototype.setActionHandler = (name, handler) => { handlers[name] = handler; };
    Clipboard.prototype.writeText = async (text) => { copied.push(text); };
"""
# What is said of a copy, and what stands on its button then: both go after two seconds.
SAID = """
    window.said = [];
    const region = document.getElementById("copied");
    const buttons = [...document.querySelectorAll(".copyable button")];
    const look = () => said.push([region.textContent, ...buttons.map((each) => each.textContent)]);
    new MutationObserver(look).observe(region, { childList: true });
"""


def _is_said(browser: Chrome, button: str, words: str) -> bool:
    """Whether it was said while its button said so too."""
    said = browser.execute_script("return said")
    at = ("copy-page", "copy").index(button)
    return any(region == words and labels[at] == "Copied" for region, *labels in said)


def test_links_are_copied_and_the_lock_screen_is_told(chromium: Chrome, site: Site) -> None:
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AROUND})
    chromium.get(f"{site.url}/?stream=me")
    chromium.execute_script(SAID)
    for button, what in (("copy-page", "Link"), ("copy", "Stream address")):
        chromium.find_element(By.ID, button).click()
        until(f"{what} copied", partial(_is_said, chromium, button, f"{what} copied"), 5)
    links = [f"{site.url}/?stream=me", f"{site.url}/live/me/index.m3u8"]
    assert chromium.execute_script("return copied") == links
    assert chromium.execute_script("return navigator.mediaSession.metadata.title") == "me"
    assert chromium.execute_script("return Object.keys(handlers).sort()") == ["pause", "play"]


def test_without_a_clipboard_a_link_is_copied_the_old_way(chromium: Chrome, site: Site) -> None:
    """Plain HTTP from another machine has none."""
    old = """
        Object.defineProperty(Navigator.prototype, "clipboard", { value: undefined });
        window.copied = [];
        addEventListener("copy", () => copied.push(document.activeElement.value));
    """
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": old})
    chromium.get(f"{site.url}/?stream=me")
    chromium.find_element(By.ID, "copy-page").click()
    until("copied", lambda: chromium.execute_script("return copied"), 5)
    assert chromium.execute_script("return copied") == [f"{site.url}/?stream=me"]
    assert not chromium.find_elements(By.CSS_SELECTOR, "textarea.visually-hidden")


# Picture in picture as browsers offer it, each call written down: the standard's, Safari's, none.
STANDARD = """
    window.calls = [];
    let floating = null;
    const define = (target, name, get) => Object.defineProperty(target, name, { get });
    define(Document.prototype, "pictureInPictureEnabled", () => true);
    define(Document.prototype, "pictureInPictureElement", () => floating);
    HTMLVideoElement.prototype.requestPictureInPicture = async function () {
        calls.push("float");
        if (calls.length === 1) throw new DOMException("no picture yet", "InvalidStateError");
        floating = this;
    };
    Document.prototype.exitPictureInPicture = async () => { calls.push("back"); floating = null; };
    addEventListener("unhandledrejection", () => calls.push("unhandled"));
"""
SAFARI = """
    window.calls = [];
    Object.defineProperty(Document.prototype, "pictureInPictureEnabled", { value: undefined });
    Object.assign(HTMLVideoElement.prototype, {
        webkitSupportsPresentationMode: (mode) => mode === "picture-in-picture",
        webkitSetPresentationMode(mode) {
            calls.push(mode);
            this.webkitPresentationMode = mode;
        },
    });
"""
NONE = """
    Object.defineProperty(Document.prototype, "pictureInPictureEnabled", { value: false });
"""


@pytest.mark.parametrize(
    ("browser", "calls"),
    [
        pytest.param(STANDARD, ["float", "float", "back"], id="refused at first"),
        pytest.param(SAFARI, ["picture-in-picture", "inline", "picture-in-picture"], id="safari"),
    ],
)
def test_the_picture_floats_and_comes_back(
    chromium: Chrome, site: Site, browser: str, calls: list[str]
) -> None:
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": browser})
    chromium.get(f"{site.url}/?stream=me")
    button = chromium.find_element(By.ID, "float")
    until("the button", button.is_displayed, 8)
    for _ in calls:
        button.click()
    assert chromium.execute_script("return calls") == calls


def test_where_no_picture_floats_there_is_no_button(chromium: Chrome, site: Site) -> None:
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NONE})
    chromium.get(f"{site.url}/?stream=me")
    _until_state(chromium, "connecting")
    assert not chromium.find_element(By.ID, "float").is_displayed()
    assert chromium.find_element(By.ID, "fullscreen").is_displayed(), "as the others are"
