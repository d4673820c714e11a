"""Media playlists of any snapshot keep the rules, and are read back as what they show."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.playlist import (
    AudioMedia,
    MediaPlaylist,
    PartEntry,
    RenditionReport,
    SegmentEntry,
    ServerControl,
    Variant,
    format_wall_time,
    render_media_playlist,
    render_multivariant,
)
from encoder.playlist_reader import Position, read_position

ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\n]*"|[^",\s]+)(?:,|$)')
ONCE = (
    "EXTM3U",
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-PART-INF",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-ENDLIST",
)
ATTRIBUTE_LISTS = (
    "EXT-X-SERVER-CONTROL",
    "EXT-X-PART-INF",
    "EXT-X-MAP",
    "EXT-X-PART",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
    "EXT-X-MEDIA",
    "EXT-X-STREAM-INF",
)


@st.composite
def playlists(draw: st.DrawFn) -> MediaPlaylist:
    """Any moment of any stream: parts or none, segments or none, discontinuities, the end."""
    parts_each = draw(st.integers(1, 12))
    part = Fraction(draw(st.integers(100, 500)), 1000)
    low = draw(st.booleans())
    target = max(1, round(parts_each * part))
    first = draw(st.integers(1, 10**6))
    count = draw(st.integers(0, 14))
    broken = draw(st.sets(st.integers(first, first + count), max_size=3))

    def entry(msn: int, parts: int, *, complete: bool) -> SegmentEntry:
        listed = tuple(PartEntry(f"r-{msn}.{n}.m4s", part, n == 0) for n in range(parts))
        length = parts_each * part if complete else Fraction()
        uri = f"r-{msn}.m4s" if complete else ""
        wall_ms = draw(st.integers(0, 2**41))
        shown = listed if low else ()
        return SegmentEntry(msn, uri, length, "r-init.mp4", wall_ms, msn in broken, shown)

    ended = draw(st.booleans())
    open_parts = 0 if ended or not low else draw(st.integers(0, parts_each - 1))
    last = first + count - 1
    return MediaPlaylist(
        control=ServerControl(target, 3 * target, part if low else None, 3 * part if low else None),
        segments=tuple(entry(first + n, parts_each, complete=True) for n in range(count)),
        current=entry(last + 1, open_parts, complete=False) if open_parts else None,
        discontinuity_sequence=draw(st.integers(0, 5)),
        hint_uri=f"r-{last + 1}.{open_parts}.m4s",
        reports=(RenditionReport("../a0/media.m3u8", last + 1, draw(st.integers(0, 9))),),
        ended=ended,
    )


def shown(playlist: MediaPlaylist) -> tuple[SegmentEntry, ...]:
    return playlist.segments + ((playlist.current,) if playlist.current else ())


def tags(text: str) -> Counter[str]:
    return Counter(line[1:].split(":")[0] for line in text.splitlines() if line[:1] == "#")


def attributes(line: str) -> list[tuple[str, str]]:
    return ATTRIBUTE.findall(line.partition(":")[2])


@settings(max_examples=150, deadline=None)
@given(playlists())
def test_rules_1_2_form(playlist: MediaPlaylist) -> None:
    text = render_media_playlist(playlist)
    assert text.startswith("#EXTM3U\n#EXT-X-VERSION:6\n")
    assert text.endswith("\n")
    assert "\n\n" not in text
    counted = tags(text)
    assert all(counted[name] <= 1 for name in ONCE)
    assert not {"EXT-X-STREAM-INF", "EXT-X-MEDIA", "EXT-X-PLAYLIST-TYPE"} & set(counted)


def check_attribute_lists(text: str) -> None:
    for line in text.splitlines():
        if line[1:].split(":")[0] in ATTRIBUTE_LISTS:
            found = attributes(line)
            names = [name for name, _value in found]
            assert len(set(names)) == len(names)
            assert ",".join(f"{name}={value}" for name, value in found) == line.partition(":")[2]


@settings(max_examples=60, deadline=None)
@given(playlists())
def test_rule_1_attribute_lists_have_no_blank_and_no_name_twice(playlist: MediaPlaylist) -> None:
    check_attribute_lists(render_media_playlist(playlist))


@settings(max_examples=150, deadline=None)
@given(playlists())
def test_a_rendered_playlist_is_read_as_what_it_shows(playlist: MediaPlaylist) -> None:
    text = render_media_playlist(playlist)
    first = shown(playlist)[0].msn if shown(playlist) else 1
    assert read_position(text) == Position(
        last_msn=first + len(playlist.segments) - 1,
        # Those of the newest complete segment are always near enough to the end to be listed.
        last_parts=len(playlist.segments[-1].parts) if playlist.segments else 0,
        parts=len(playlist.current.parts) if playlist.current else 0,
        target_duration=playlist.control.target_duration,
        part_target=playlist.control.part_target,
        hint_uri=playlist.hint_uri if playlist.control.part_target and not playlist.ended else "",
        ended=playlist.ended,
        discontinuity_sequence=playlist.discontinuity_sequence
        + sum(entry.discontinuity for entry in shown(playlist)),
    )


@settings(max_examples=150, deadline=None)
@given(playlists())
def test_rule_29_parts_are_listed_within_three_target_durations(playlist: MediaPlaylist) -> None:
    """By whole segments: a segment shows all its parts or none."""
    lines = render_media_playlist(playlist).splitlines()
    behind = (
        sum((p.duration for p in playlist.current.parts), Fraction()) if playlist.current else 0
    )
    for entry in reversed(playlist.segments):
        near = behind < 3 * playlist.control.target_duration
        listed = [line for line in lines if f'URI="r-{entry.msn}.' in line and "-PART:" in line]
        assert len(listed) == (len(entry.parts) if near else 0)
        behind += entry.duration


@settings(max_examples=150, deadline=None)
@given(playlists())
def test_rules_9_21_32_44_hint_and_report(playlist: MediaPlaylist) -> None:
    counted = tags(render_media_playlist(playlist))
    live = playlist.control.part_target is not None and not playlist.ended
    assert counted["EXT-X-PRELOAD-HINT"] == counted["EXT-X-RENDITION-REPORT"] == int(live)
    assert counted["EXT-X-ENDLIST"] == int(playlist.ended)
    if counted["EXT-X-PART"]:
        assert counted["EXT-X-PART-INF"] == 1


@settings(max_examples=150, deadline=None)
@given(playlists())
def test_rules_10_14_18_what_stands_before_a_segments_first_part(playlist: MediaPlaylist) -> None:
    text = render_media_playlist(playlist)
    assert tags(text)["EXT-X-MAP"] == bool(shown(playlist))  # one init: said once, before all
    assert tags(text)["EXT-X-PROGRAM-DATE-TIME"] == len(shown(playlist))
    for entry in shown(playlist):
        date = f"#EXT-X-PROGRAM-DATE-TIME:{format_wall_time(entry.wall_ms)}\n"
        before = text[: text.index(f"r-{entry.msn}.")].rpartition(".m4s\n")[2]
        assert date in before
        assert ("#EXT-X-DISCONTINUITY\n" in before) == entry.discontinuity


@settings(max_examples=60, deadline=None)
@given(playlists())
def test_rule_17_the_discontinuity_sequence_is_there_when_needed(playlist: MediaPlaylist) -> None:
    text = render_media_playlist(playlist)
    needed = playlist.discontinuity_sequence or any(e.discontinuity for e in shown(playlist))
    assert tags(text)["EXT-X-DISCONTINUITY-SEQUENCE"] == bool(needed)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**42))
def test_rule_14_wall_time_has_milliseconds_and_a_zone(wall_ms: int) -> None:
    text = format_wall_time(wall_ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    moment = datetime.fromisoformat(text)
    assert int(moment.replace(microsecond=0).timestamp()) == wall_ms // 1000
    assert moment.microsecond == wall_ms % 1000 * 1000


def test_a_second_init_is_announced_where_it_begins() -> None:
    def entry(msn: int, map_uri: str) -> SegmentEntry:
        return SegmentEntry(msn, f"{msn}.m4s", Fraction(2), map_uri, 0)

    segments = (entry(1, "a-init.mp4"), entry(2, "a-init.mp4"), entry(3, "b-init.mp4"))
    text = render_media_playlist(MediaPlaylist(ServerControl(2, 6, None, None), segments))
    lines = text.splitlines()
    maps = [line for line in lines if line.startswith("#EXT-X-MAP")]
    assert maps == ['#EXT-X-MAP:URI="a-init.mp4"', '#EXT-X-MAP:URI="b-init.mp4"']
    assert lines.index("2.m4s") < lines.index(maps[1]) < lines.index("3.m4s")


@pytest.mark.parametrize("text", ["", "#EXTM3U\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n", "<html>"])
def test_what_is_no_playlist_of_ours(text: str) -> None:
    with pytest.raises(ValueError, match="in the playlist"):
        read_position(text)


def test_rules_11_47_49_multivariant() -> None:
    audio = AudioMedia("a0/media.m3u8", "mp4a.40.2", 2, "de")
    variants = tuple(
        Variant(f"v{n}/media.m3u8", "avc1.64001f", 1280 >> n, 720 >> n, 30, 9 - n, 8 - n)
        for n in range(2)
    )
    text = render_multivariant(audio, variants)
    check_attribute_lists(text)
    counted = tags(text)
    assert counted["EXT-X-INDEPENDENT-SEGMENTS"] == 1
    assert (counted["EXT-X-MEDIA"], counted["EXT-X-STREAM-INF"]) == (1, 2)
    lines = text.splitlines()
    media = dict(attributes(next(line for line in lines if line.startswith("#EXT-X-MEDIA:"))))
    assert media["DEFAULT"] == media["AUTOSELECT"] == "YES"
    assert (media["LANGUAGE"], media["CHANNELS"]) == ('"de"', '"2"')
    for number, variant in enumerate(variants):
        at = lines.index(variant.uri)
        stream = dict(attributes(lines[at - 1]))
        assert stream["AUDIO"] == media["GROUP-ID"]
        assert stream["CODECS"] == '"avc1.64001f,mp4a.40.2"'
        assert stream["RESOLUTION"] == f"{1280 >> number}x{720 >> number}"
        assert stream["FRAME-RATE"] == "30.000"
        assert (stream["BANDWIDTH"], stream["AVERAGE-BANDWIDTH"]) == (
            str(9 - number),
            str(8 - number),
        )
