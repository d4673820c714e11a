"""What measures the fault table sees faults: playlists that break rules, gaps, and the page."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from client.reader import read_media_playlist
from tests.check import media
from tests.faults.media_time import assert_rising, starts
from tests.faults.stand_in import pretend
from tests.faults.viewers import Follower, Seen, check
from tools import fault_table, generated

HEAD = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n"
SEEN = Seen("ffmpeg killed", 0.5, 0.03, 0, 0, 0, 0, ())


def playlist(first: int, *segments: str, era: int = 0) -> bytes:
    """Complete segments by name; ``!`` before one is an EXT-X-DISCONTINUITY."""
    lines = [HEAD, f"#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{era}\n"]
    for name in segments:
        lines += ["#EXT-X-DISCONTINUITY\n" * name.startswith("!"), '#EXT-X-MAP:URI="i.mp4"\n']
        lines += [f"#EXTINF:2.0,\n{name.lstrip('!')}.m4s\n"]
    return "".join(lines).encode()


def broken(*bodies: bytes) -> list[str]:
    """What a follower finds in playlists, one after the other; the numbers of the rules."""
    follower = Follower("http://nowhere/")
    for body in bodies:
        follower._take(read_media_playlist(body))
    return [word.partition(":")[0] for word in follower.broken]


def test_a_stream_that_slides_is_well() -> None:
    assert not broken(
        playlist(1, "a", "b", "c", "!d"),
        playlist(2, "b", "c", "!d", "e"),
        playlist(5, "e", "f", "g", "h", era=1),
    )


@pytest.mark.parametrize(
    ("rule", "after"),
    [
        ("6", playlist(3, "c", "d")),
        ("7", playlist(5, "e", "f")),
        ("8", playlist(4, "d", "x", "f", "g")),
        ("17", playlist(5, "e", "f", "g", "h", era=1)),
        ("17", playlist(4, "d", "!e", "f", "g")),
    ],
)
def test_a_broken_rule_is_named(rule: str, after: bytes) -> None:
    assert rule in broken(playlist(4, "d", "e", "f"), after)


def test_the_longest_gap_begins_before_the_fault_and_ends_now() -> None:
    now = time.monotonic()
    follower = Follower("http://nowhere/")
    follower.arrivals = [now - 20, now - 9, now - 8, now - 7.8, now - 7.7]
    assert follower.longest_gap(now - 8.5) == pytest.approx(7.7, abs=0.1)
    follower.arrivals += [now - 0.1]
    assert follower.longest_gap(now - 6) == pytest.approx(7.6, abs=0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"freeze": 2.1},
        {"fatal_errors": 1},
        {"restarts": 1},
        {"reloads": 1},
        {"discontinuities": 1},
        {"broken": ("8: changed",)},
    ],
)
def test_a_row_is_held_to_its_promise(change: dict[str, object]) -> None:
    check(SEEN)
    values = {name: getattr(SEEN, name) for name in SEEN.__slots__}
    with pytest.raises(AssertionError):
        check(Seen(**(values | change)))


def test_media_time_is_read_and_held_to_rise() -> None:
    """By the timescale of each one's own init segment."""
    files = {"i.mp4": media.init("vide", 90_000, width=640, height=360)}
    for name, ticks in {"a": 90_000, "b": 270_000, "c": 269_999}.items():
        files[f"{name}.m4s"] = media.fragment("vide", 1, 5, 3600, ticks, 20, 100)
    listed = read_media_playlist(playlist(7, "a", "!b", "c")).segments
    found = starts(listed, files.__getitem__)
    assert found == [1, 3, Fraction(269_999, 90_000)]
    assert_rising(found[:2])
    for fallen in (found, [found[0], found[0]], found[:1]):
        with pytest.raises(AssertionError):
            assert_rising(fallen)


def test_the_table_has_a_place_on_the_page() -> None:
    row = {name: getattr(SEEN, name) for name in SEEN.__slots__}
    made = fault_table.table([row])
    assert made == fault_table.HEAD + "| ffmpeg killed | 0.50 s | 0.03 s | 0 | 0 | 0 | 0 |  |\n"
    assert generated.read(fault_table.PAGE, fault_table.NAME).startswith(fault_table.HEAD)


def test_the_pretended_circuit_is_an_encoder_that_exists() -> None:
    given = ["-i", "pipe:3", "-c:v", "h264_nvenc", "-preset", "p4", "-rc", "cbr", "-g", "50"]
    assert pretend(given) == ["-i", "pipe:3", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50"]
