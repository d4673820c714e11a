"""The page in Firefox, which has Media Source and manners of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.need import require
from tests.browser.watching import until
from tests.compat.firefox import firefox

pytestmark = pytest.mark.browser

SEEN = "({...window.lipstream, studio: !document.getElementById('studio').hidden})"


def test_the_page_plays_and_its_studio_opens(service: str, tmp_path: Path) -> None:
    with firefox(require("firefox-esr"), tmp_path / "home") as fox:
        fox.get(f"{service}/")

        def seen() -> dict[str, Any]:
            found: dict[str, Any] = fox.evaluate(SEEN)
            return found

        until("live", lambda: seen().get("state") == "live", 20)
        until("the studio", lambda: seen()["studio"], 5)
        # The sample of the service speaks, with pauses: the page knows which it is.
        until("it talks", lambda: seen()["shown"] == "talking", 20)
        after = seen()
        assert (after["engine"], after["fatalErrors"]) == ("hls.js", 0)
        assert after["stats"]["protocol"] == "HTTP/1.1"
