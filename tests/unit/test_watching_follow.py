"""Following a rendition through what befalls it; the network is a script."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from client.fetch import Answer
from client.watching import follow
from client.watching.follow import Block, Follower

BASE = "http://origin.test/live/v0/"
HEAD = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:1\n"
HEAD += "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=3.0\n"
END = "#EXT-X-ENDLIST\n"


def segments(first: int, *rows: str, run: str = "a", end: str = END) -> str:
    """A playlist of whole segments; what a row says stands before its segment."""
    text = HEAD + f'#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-MAP:URI="{run}.mp4"\n'
    for msn, row in enumerate(rows, start=first):
        text += row + f"#EXTINF:1.0,\n{run}-{msn}.m4s\n"
    return text + end


class Script:
    """Answers playlists one by one, the last one for ever; media as their own names."""

    def __init__(self, playlists: list[str | int], missing: Mapping[str, int] | None = None):
        self._playlists = playlists
        self._missing = dict(missing or {})
        self.asked: list[str] = []

    def __call__(self, url: str, *, method: str = "GET", **_: object) -> Answer:
        self.asked.append(url)
        found: str | int
        if ".m3u8" in url:
            found = self._playlists.pop(0) if len(self._playlists) > 1 else self._playlists[0]
        else:
            name = url.rpartition("/")[2]
            found = self._missing.get(name, name)
        status = found if isinstance(found, int) else 200
        body = found.encode() if isinstance(found, str) else b""
        now = time.monotonic()
        return Answer(url, method, status, (), body, now, now, now)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(follow, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(follow, "_FULL_SECONDS", 0.001)


def followed(
    script: Script,
    choose: Callable[[], str | None] | None = None,
    take: Callable[[Block], bool] = lambda _block: True,
    is_full: Callable[[], bool] = lambda: False,
) -> tuple[Follower, list[Block]]:
    """Follow to the end."""
    blocks: list[Block] = []
    over = threading.Event()

    def keep(block: Block) -> bool:
        blocks.append(block)
        return take(block)

    find = choose or (lambda: BASE + "media.m3u8")
    follower = Follower(find, script, keep, over.set, is_full)
    follower.start()
    try:
        assert over.wait(10), script.asked
    finally:
        follower.stop()
    return follower, blocks


def names(blocks: list[Block]) -> list[str]:
    return [block.data.decode() for block in blocks]


def test_all_of_a_stream_once_and_in_order() -> None:
    script = Script([segments(1, "", "", "", end=""), segments(2, "", "", ""), segments(2, "", "")])
    follower, blocks = followed(script)
    assert names(blocks) == ["a-1.m4s", "a-2.m4s", "a-3.m4s", "a-4.m4s"]
    assert [block.init for block in blocks] == [b"a.mp4"] * 4
    assert [block.begins for block in blocks] == [True, False, False, False]
    assert script.asked.count(BASE + "a.mp4") == 1
    assert follower.counts.requests == len(script.asked)
    assert follower.counts.bytes > 0


def test_16_a_discontinuity_begins_a_stretch() -> None:
    follower, blocks = followed(Script([segments(1, "", "#EXT-X-DISCONTINUITY\n", "")]))
    assert [(block.begins, block.apart) for block in blocks] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    assert follower.counts.discontinuities == 1


def test_19_a_gap_is_not_asked_for_and_keeps_its_time() -> None:
    script = Script([segments(1, "", "#EXT-X-GAP\n", "")])
    follower, blocks = followed(script)
    assert names(blocks) == ["a-1.m4s", "a-3.m4s"]
    assert not any("a-2" in url for url in script.asked)
    assert (blocks[1].begins, blocks[1].apart, blocks[1].missing_seconds) == (True, False, 1.0)
    assert (follower.counts.gaps, follower.counts.lost) == (1, 0)


@pytest.mark.parametrize("missing", [{"a-2.m4s": 404}, {"a-2.m4s": 503}])
def test_what_does_not_come_is_lost_and_the_rest_goes_on(missing: dict[str, int]) -> None:
    script = Script([segments(1, "", "", "")], missing)
    follower, blocks = followed(script)
    assert names(blocks) == ["a-1.m4s", "a-3.m4s"]
    assert blocks[1].begins
    assert follower.counts.lost == 1
    assert "a-2.m4s" in follower.counts.last_error
    # What is gone stays gone; a server in trouble may recover.
    assert sum("a-2" in url for url in script.asked) == (1 if missing["a-2.m4s"] == 404 else 3)


def test_an_init_segment_that_does_not_come_loses_its_segments() -> None:
    follower, blocks = followed(Script([segments(1, "", "")], {"a.mp4": 404}))
    assert blocks == []
    assert follower.counts.lost == 2


def test_failures_are_outlasted_where_it_was_left() -> None:
    script = Script([segments(1, "", end=""), 503, segments(1, "", "")])
    follower, blocks = followed(script)
    assert names(blocks) == ["a-1.m4s", "a-2.m4s"]
    assert not blocks[1].begins
    assert (follower.counts.failures, follower.counts.reconnects) == (1, 1)


def test_after_some_failures_the_address_is_asked_for_again() -> None:
    found: Iterator[str | None] = iter([BASE + "old.m3u8", None, BASE + "new.m3u8"])
    script = Script([segments(1, "", end=""), 404, 404, segments(1, "", run="b")])
    follower, blocks = followed(script, lambda: next(found))
    assert any(url.endswith("new.m3u8") for url in script.asked)
    assert names(blocks) == ["a-1.m4s", "b-1.m4s"]
    assert (blocks[1].begins, blocks[1].apart) == (True, True)
    assert follower.counts.reconnects == 1


def test_a_new_run_with_higher_numbers_is_noticed_by_its_names() -> None:
    script = Script([segments(5, "", "", end=""), segments(6, "", "", run="b")])
    _follower, blocks = followed(script)
    assert names(blocks) == ["a-5.m4s", "a-6.m4s", "b-6.m4s", "b-7.m4s"]
    assert blocks[2].apart


def test_a_new_run_with_lower_numbers_begins_anew() -> None:
    script = Script([segments(50, "", end=""), segments(1, "", "", run="b")])
    _follower, blocks = followed(script)
    assert names(blocks) == ["a-50.m4s", "b-1.m4s", "b-2.m4s"]
    assert blocks[1].apart


def test_who_falls_out_of_the_window_jumps() -> None:
    script = Script([segments(1, "", end=""), segments(9, "", "")])
    follower, blocks = followed(script)
    assert names(blocks) == ["a-1.m4s", "a-9.m4s", "a-10.m4s"]
    assert (blocks[1].begins, blocks[1].apart) == (True, False)
    assert follower.counts.jumps == 1


def test_a_new_run_far_ahead_is_noticed_by_its_init_segment() -> None:
    """As after a restart, whose numbers come from the clock."""
    script = Script([segments(1, "", end=""), segments(900, "", "", run="b")])
    follower, blocks = followed(script)
    assert names(blocks) == ["a-1.m4s", "b-900.m4s", "b-901.m4s"]
    assert (blocks[1].begins, blocks[1].apart) == (True, True)
    assert follower.counts.jumps == 1


def test_a_decoder_that_ended_is_given_a_new_beginning() -> None:
    taken = iter([True, False, True])
    _follower, blocks = followed(Script([segments(1, "", "", "")]), take=lambda _b: next(taken))
    assert [block.begins for block in blocks] == [True, False, True]
    assert blocks[2].missing_seconds == 1.0


def test_parts_after_a_loss_wait_for_one_that_needs_no_other() -> None:
    parts = "".join(
        f'#EXT-X-PART:DURATION=0.5,URI="{n}.m4s"{",INDEPENDENT=YES" if n in (0, 3) else ""}\n'
        for n in range(4)
    )
    text = HEAD + '#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MAP:URI="a.mp4"\n' + parts
    text += "#EXTINF:2.0,\nwhole.m4s\n" + END
    script = Script([text], {"1.m4s": 404})
    _follower, blocks = followed(script)
    assert names(blocks) == ["0.m4s", "3.m4s"]
    assert (blocks[1].begins, blocks[1].missing_seconds) == (True, 1.0)


def test_who_has_enough_fetches_no_more() -> None:
    full = iter([False, True, True, True])
    script = Script([segments(1, "", "")])
    _follower, blocks = followed(script, is_full=lambda: next(full, False))
    assert names(blocks) == ["a-1.m4s", "a-2.m4s"]
    assert next(full, None) is None


def test_encrypted_media_are_told() -> None:
    row = '#EXT-X-KEY:METHOD=AES-128,URI="k"\n'
    follower, _blocks = followed(Script([segments(1, row)]))
    assert follower.is_encrypted


@pytest.mark.parametrize("body", ["", "<html>", "#EXTM3U\n", HEAD.replace(":1", ":0")])
def test_what_is_no_playlist_counts_as_a_failure(body: str) -> None:
    follower, blocks = followed(Script([body, segments(1, "")]))
    assert names(blocks) == ["a-1.m4s"]
    assert follower.counts.failures == 1


def test_packed_playlists_are_read_and_counted_as_they_came() -> None:
    script = Script([segments(1, "", "")])
    whole, _blocks = followed(script)

    class Packed(Script):
        def __call__(self, url: str, **asked: Any) -> Answer:
            answer = super().__call__(url, **asked)
            if ".m3u8" not in url:
                return answer
            assert asked["headers"] == {"Accept-Encoding": "gzip"}
            body, packed = gzip.compress(answer.body), (("content-encoding", "gzip"),)
            return replace(answer, body=body, headers=packed)

    follower, blocks = followed(Packed([segments(1, "", "")]))
    assert names(blocks) == ["a-1.m4s", "a-2.m4s"]
    assert follower.counts.bytes < whole.counts.bytes


def test_what_does_not_unpack_is_a_failure() -> None:
    class Broken(Script):
        def __call__(self, url: str, **asked: Any) -> Answer:
            answer = super().__call__(url, **asked)
            is_first = len(self.asked) == 1
            packed = (("content-encoding", "gzip"),)
            return replace(answer, headers=packed) if is_first else answer

    follower, blocks = followed(Broken([segments(1, ""), segments(1, "")]))
    assert names(blocks) == ["a-1.m4s"]
    assert follower.counts.failures == 1


def test_media_elsewhere_than_on_the_web_are_not_fetched() -> None:
    text = segments(1, "", "").replace("a-1.m4s", "file:///etc/passwd")
    script = Script([text])
    follower, blocks = followed(script)
    assert names(blocks) == ["a-2.m4s"]
    assert follower.counts.lost == 1
    assert not any("passwd" in url for url in script.asked)
