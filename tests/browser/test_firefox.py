"""The page in Firefox, which has Media Source and manners of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.browser.need import require
from tests.browser.watching import until
from tests.compat.firefox import Firefox, firefox

pytestmark = pytest.mark.browser

SEEN = """({
    ...window.lipstream,
    studio: !document.getElementById("studio").hidden,
    word: document.getElementById("state").textContent,
    said: [...document.querySelectorAll("#queue li")].map((row) => row.textContent),
    canSpeak: !document.getElementById("say-it").disabled,
})"""
SPEAK = """(() => {
    document.getElementById("text").value = %s;
    document.getElementById("say-it").click();
    return true;
})()"""
WORDS = "Firefox has me say this."


@pytest.fixture(scope="module")
def fox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with firefox(require("firefox-esr"), tmp_path_factory.mktemp("fox") / "home") as browser:
        yield browser


def seen(fox: Firefox) -> dict[str, Any]:
    found: dict[str, Any] = fox.evaluate(SEEN)
    return found


def test_the_page_plays_and_its_studio_opens(service: str, fox: Firefox) -> None:
    fox.get(f"{service}/")
    until("live", lambda: seen(fox).get("state") == "live", 20)
    until("the studio", lambda: seen(fox)["studio"], 5)
    # The sample of the service speaks, with pauses: the page knows which it is.
    until("it talks", lambda: seen(fox)["shown"] == "talking", 20)
    after = seen(fox)
    assert (after["engine"], after["fatalErrors"]) == ("hls.js", 0)
    assert after["stats"]["protocol"] == "HTTP/1.1"


def test_what_is_typed_is_said_and_the_end_is_shown(service: str, fox: Firefox) -> None:
    wish: dict[str, Any] = {"id": "fox", "width": 640, "height": 360, "ladder": "single"}
    requests.post(f"{service}/api/streams", json=wish, timeout=30).raise_for_status()
    fox.get(f"{service}/?stream=fox")
    until("it can be spoken to", lambda: seen(fox)["canSpeak"], 20)
    until("live", lambda: seen(fox)["word"] == "Live", 20)
    fox.evaluate(SPEAK % json.dumps(WORDS))
    until("it talks", lambda: seen(fox)["word"] == "Talking", 20)
    until("its words", lambda: "".join(seen(fox)["said"]).startswith(WORDS), 20)
    requests.delete(f"{service}/api/streams/fox", timeout=30).raise_for_status()
    until("the end", lambda: seen(fox)["word"] == "Ended", 20)
