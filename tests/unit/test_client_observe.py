"""What a watcher asks for, and when there is nothing to watch."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from client.errors import CannotCheck
from client.fetch import Answer
from client.observation import Address
from client.observe import next_position, observe, wanted_media, with_query
from client.reader import read_media_playlist
from tests.check.stream import MULTIVARIANT
from tests.unit.test_client_playlists import MEDIA

URL = "http://origin.test/live/index.m3u8"
ENDED = MEDIA.partition("#EXT-X-PRELOAD")[0] + "#EXTINF:0.2,\nb-9.m4s\n#EXT-X-ENDLIST\n"


class Files:
    """Answers from a table of bodies by the end of the address; a number is a status."""

    def __init__(self, table: Mapping[str, str | int]) -> None:
        self._table = table
        self.asked: list[str] = []

    def __call__(self, url: str, *, method: str = "GET", **_: object) -> Answer:
        self.asked.append(url)
        found = next((v for end, v in self._table.items() if url.endswith(end)), 404)
        now = time.monotonic()
        if isinstance(found, int):
            headers_back = (("location", "/live/other.m3u8"),)
            return Answer(url, method, found, headers_back, b"", now, now, now)
        return Answer(url, method, 200, (), found.encode(), now, now, now)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"index.m3u8": 503}, "503"),
        ({"index.m3u8": "<html>"}, "no playlist"),
        ({"index.m3u8": "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n"}, "names no media playlist"),
        ({"index.m3u8": MULTIVARIANT}, "404"),
        ({"m3u8": 302}, "302"),
    ],
)
def test_nothing_to_watch(files: dict[str, str | int], reason: str) -> None:
    with pytest.raises(CannotCheck, match=reason):
        observe(URL, 0.3, Files(files))


def test_a_redirect_of_the_first_playlist_is_followed() -> None:
    seen = observe(URL, 0.3, Files({"index.m3u8": 302, "other.m3u8": ENDED}))
    assert seen.url == "http://origin.test/live/other.m3u8"
    assert seen.multivariant is None
    assert seen.ended


def test_what_is_listed_is_fetched_and_fetched_again() -> None:
    files = Files({"index.m3u8": ENDED, ".mp4": "init", ".m4s": "media"})
    seen = observe(URL, 0.3, files)
    assert Address("http://origin.test/live/b-init.mp4") in seen.media
    assert {resource.kind for resource in seen.media.values()} == {"init", "part", "segment"}
    assert all(len(resource.answers) == 2 for resource in seen.media.values())
    assert len(files.asked) == 2 + 2 * len(seen.media)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (MEDIA, (9, 1)),
        (MEDIA.partition('#EXT-X-PART:DURATION=0.20000,URI="b-9')[0], (9, 0)),
        (MEDIA.replace("#EXT-X-PART-INF:PART-TARGET=0.2\n", ""), (9, None)),
        (MEDIA.replace("CAN-BLOCK-RELOAD=YES,", ""), (None, None)),
    ],
)
def test_36_what_a_player_asks_for_next(text: str, position: tuple[int | None, int | None]) -> None:
    assert next_position(read_media_playlist(text.encode())) == position


def test_gaps_and_ranges_without_an_offset_are_not_fetched() -> None:
    text = MEDIA.replace("#EXTINF:2", "#EXT-X-GAP\n#EXTINF:2")
    text = text.replace("#EXTINF:0.2", "#EXT-X-BYTERANGE:7\n#EXTINF:0.2")
    wanted = [uri for uri, _range, _kind in wanted_media(read_media_playlist(text.encode()))]
    assert wanted == ["a-init.mp4", "b-init.mp4", "b-8.0.m4s", "b-init.mp4", "b-9.0.m4s"]


def test_byte_ranges_are_asked_for() -> None:
    assert Address("http://h/x", "100@50").range_header == {"Range": "bytes=50-149"}
    assert Address("http://h/x").range_header == {}


def test_directives_join_the_query_that_is_there() -> None:
    assert with_query("http://h/x", {}) == "http://h/x"
    assert with_query("http://h/x?t=1", {"_HLS_msn": 7}) == "http://h/x?t=1&_HLS_msn=7"
