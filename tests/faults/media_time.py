"""Whether media time only goes on, whatever clocks do: from the tfdt of what a playlist lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import requests

from client.media import read_fragments, read_init
from client.playlists import Segment
from tests.faults.viewers import Follower


def check_media_time(follower: Follower, from_msn: int) -> None:
    """It rises from a segment to the newest one, over a DISCONTINUITY among them."""
    assert follower.newest is not None
    base = follower.url.rpartition("/")[0]
    listed = [each for each in follower.newest.segments if each.msn >= from_msn]
    assert any(segment.discontinuity for segment in listed[1:]), listed
    assert_rising(starts(listed, lambda name: _get(f"{base}/{name}")))


def starts(segments: Sequence[Segment], fetch: Callable[[str], bytes]) -> list[Fraction]:
    """When each segment begins, in seconds of media time."""
    found = []
    for segment in segments:
        init = read_init(fetch(str(segment.map_uri)))
        ticks = read_fragments(fetch(segment.uri), init).runs[0].tfdt_ticks
        assert ticks is not None, segment.uri  # 53
        found.append(Fraction(ticks, init.timescale_hz))
    return found


def assert_rising(times: Sequence[Fraction]) -> None:
    """Each is later than the one before."""
    assert len(times) > 1
    assert all(later > earlier for earlier, later in pairwise(times)), [float(t) for t in times]


def _get(url: str) -> bytes:
    answer = requests.get(url, timeout=5)
    assert answer.ok, url  # 31
    return answer.content
