"""The talking head plays in a page: the whole stack, on the synthetic checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium.webdriver import Chrome

from inference.speech import BUILT_IN_SAMPLE
from tests.browser.watching import diagnostics, until_live, watch
from tests.ffmpeg.talking_head import flags_of, settings_in
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    flags = flags_of(settings_in(tmp_path_factory.mktemp("ditto")))
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as running:
        yield running.url


def decoded(browser: Chrome) -> int:
    """Pictures that the page's video has shown so far."""
    quality = "document.querySelector('video').getVideoPlaybackQuality()"
    told = f"const q = {quality}; return q.totalVideoFrames - q.droppedVideoFrames"
    return int(browser.execute_script(told))


def test_a_photo_speaks_in_a_page(chromium: Chrome, face: str) -> None:
    chromium.get(face + "/")
    until_live(chromium)
    with BUILT_IN_SAMPLE.open("rb") as voice:
        said = requests.post(f"{face}/api/streams/demo/speech", files={"audio": voice}, timeout=20)
    assert said.status_code == 202
    for _ in range(3):  # a busy machine may starve the page; of three times one is smooth
        before = decoded(chromium)
        seen = watch(chromium, seconds=6)
        pictures = decoded(chromium) - before
        if not seen.interruptions:
            break
    # What hls.js steps over while it starts, tests/browser/test_player.py judges.
    assert (seen.interruptions, seen.errors) == ([], [])
    # Of 30 looks as many can differ as there were pictures to be seen.
    assert pictures > 0
    assert seen.changed > 20 / 30 * min(seen.changed + seen.same, pictures), "it moves"
    assert seen.darkest > 32, "not black"
    after = diagnostics(chromium)
    assert (after["state"], after["fatalErrors"]) == ("live", 0)
