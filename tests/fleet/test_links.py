"""Signed links behind a cache: all viewers share what is kept, and nobody else meets it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from encoder.playlist_reader import read_position
from server.tokens import make_token
from tests.fleet.conftest import SMALL, Fleet, port_of, start
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

KEY = "0123456789abcdef0123456789abcdef"
CACHES = ("varnish", "nginx")
VIEWERS = 20
# As long as a cache believes that a link is good, and a little.
BELIEVED_SECONDS = 10.0 + 1.0


def link(seconds: float, stream: str = "demo") -> str:
    return f"/live/demo/t/{make_token(KEY, stream, int(time.time() + seconds))}"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_media_root()))
        opener = f"{link(60)}/index.m3u8"[1:]
        flags = (*SMALL, "--viewer-key", KEY)
        service = stack.enter_context(Service(folder / "media", flags, playlist=opener))
        yield start(stack, folder, port_of(service))


@pytest.fixture(scope="module", autouse=True)
def short_link(fleet: Fleet) -> tuple[str, float]:
    """A link that both caches have just seen to be good, and when; it expires while others test.

    While the caches believe it, and not before a slow machine has asked both of them.
    """
    path = link(BELIEVED_SECONDS - 3)
    for name in CACHES:
        assert httpx.get(f"{fleet[name].url}{path}/v0/media.m3u8", timeout=10).status_code == 200
    return path, time.monotonic()


@pytest.mark.parametrize("name", CACHES)
def test_many_links_are_one_request_and_none_but_theirs_opens(fleet: Fleet, name: str) -> None:
    links = [link(3600 + n) for n in range(VIEWERS)]
    forged = f"/live/demo/t/{make_token('another key that is long', 'demo', int(time.time()) + 60)}"
    bad = {
        "no token": "/live/demo",
        "forged": forged,
        "one letter off": links[0][:-1] + ("B" if links[0][-1] == "A" else "A"),
        "cut": links[0][:-1],
        "of another stream": link(60, "other"),
        "expired": link(-3600),  # not a second ago: that could be the link which is still believed
    }
    with httpx.Client(base_url=fleet[name].url, timeout=10) as client:
        text = client.get(f"{links[0]}/v0/media.m3u8").text
        at = read_position(text)
        # As far ahead as may be: all have asked when the answer comes, which is kept for a second.
        ahead = f"v0/media.m3u8?_HLS_msn={at.last_msn + 2}"
        paths = [f"v0/{at.hint_uri}", ahead, "index.m3u8"]
        for path in paths:
            mark = len(fleet.relay.requests)
            with ThreadPoolExecutor(VIEWERS) as pool:
                answers = list(pool.map(lambda each, p=path: client.get(f"{each}/{p}"), links))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.content for answer in answers}) == 1
            seen = fleet.relay.since(mark)
            if path != "index.m3u8":  # which is what opens, once for each link
                assert seen[f"GET /live/demo/{path}"] == 1, seen
                assert seen["GET /live/demo/index.m3u8"] <= VIEWERS
            for why, each in bad.items():  # while that very thing is kept
                answer = client.get(f"{each}/{path}")
                assert answer.status_code == 403, (why, path)
                assert answer.headers["access-control-allow-origin"] == "*"
                assert answer.json()["status"] == 403


@pytest.mark.parametrize("name", CACHES)
def test_who_refused_whom_is_not_believed(fleet: Fleet, name: str) -> None:
    """Headers that only a cache writes, written by a client."""
    good = link(60)
    with httpx.Client(base_url=fleet[name].url, timeout=10) as client:
        assert client.get(f"{good}/v0/media.m3u8?_HLS_msn=1").status_code == 200
        claims = {
            "X-Lipstream-Step": "token",
            "X-Lipstream-Token": good.removeprefix("/live/demo"),
            "X-Lipstream-Wanted": "/live/demo/v0/media.m3u8?_HLS_msn=1",
        }
        answer = client.get("/live/demo/v0/media.m3u8?_HLS_msn=1", headers=claims)
        assert answer.status_code == 403


def test_a_link_that_has_expired_opens_nothing_for_long(
    fleet: Fleet, short_link: tuple[str, float]
) -> None:
    path, seen = short_link
    time.sleep(max(0.0, seen + BELIEVED_SECONDS - time.monotonic()))
    for name in CACHES:
        assert httpx.get(f"{fleet[name].url}{path}/v0/media.m3u8", timeout=10).status_code == 403
