"""The strict reader: what it understands, what it objects to, and that nothing upsets it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.reader import is_multivariant, read_media_playlist, read_multivariant
from client.syntax import MAX_PLAYLIST_BYTES

MEDIA = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,HOLD-BACK=6.0,CAN-SKIP-UNTIL=12.0
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-MAP:URI="a-init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-07-01T12:00:00.123Z
#EXTINF:2.00000,
a-7.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="b-init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-07-01T14:00:02.123+02:00
#EXT-X-PART:DURATION=0.20000,URI="b-8.0.m4s",INDEPENDENT=YES
#EXTINF:0.20000,a title, with a comma
b-8.m4s
#EXT-X-PART:DURATION=0.20000,URI="b-9.0.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="b-9.1.m4s"
#EXT-X-RENDITION-REPORT:URI="../a0/media.m3u8",LAST-MSN=9,LAST-PART=0
"""


def rules(text: str | bytes) -> set[int]:
    body = text.encode() if isinstance(text, str) else text
    return {fault.rule for fault in read_media_playlist(body).faults}


def changed(old: str, new: str) -> str:
    assert old in MEDIA
    return MEDIA.replace(old, new)


def test_a_media_playlist_is_understood() -> None:
    playlist = read_media_playlist(MEDIA.encode())
    assert playlist.faults == ()
    assert (playlist.media_sequence, playlist.last_msn, playlist.position) == (7, 8, (9, 0))
    assert playlist.discontinuity_sequence == 1
    first, second = playlist.segments
    assert (first.map_uri, second.map_uri) == ("a-init.mp4", "b-init.mp4")
    assert second.discontinuity
    assert not first.discontinuity
    assert second.parts[0].independent
    assert first.wall is not None
    assert second.wall == first.wall + 2  # in another time zone
    assert first.wall % 1 == Fraction(123, 1000)
    assert playlist.open is not None
    assert (playlist.open.msn, playlist.open.uri) == (9, "")
    assert playlist.hint is not None
    assert playlist.hint.uri == "b-9.1.m4s"
    assert playlist.control.part_hold_back == Fraction(3, 5)
    assert playlist.reports[0].last_part == 0


@pytest.mark.parametrize(
    ("msn", "part", "there"),
    [
        (6, None, True),
        (8, None, True),
        (8, 0, True),
        (8, 1, True),  # past the last part: part 0 of 9
        (9, 0, True),
        (9, 1, False),
        (9, None, False),
        (10, 0, False),
    ],
)
def test_36_what_a_playlist_answers(msn: int, part: int | None, there: bool) -> None:
    assert read_media_playlist(MEDIA.encode()).has(msn, part) is there


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (1, "\ufeff" + MEDIA),
        (1, MEDIA.replace("#EXTM3U", "#EXTM3U8")),
        (1, changed("YES,PART", "YES, PART")),
        (1, changed("PART-TARGET=0.2", "PART-TARGET = 0.2")),
        (1, changed("LAST-MSN=9", "LAST-MSN=9,LAST-MSN=9")),
        (1, changed("LAST-PART=0", "LAST-PART=0,")),
        (1, changed("LAST-PART=0", "LAST-PART=none")),
        (1, changed('"a-init.mp4"', "a-init.mp4")),
        (1, changed("TYPE=PART", 'TYPE="PART"')),
        (1, changed("SEQUENCE:7", "SEQUENCE:seven")),
        (1, changed("EXTINF:2.00000,", "EXTINF:2.00000")),
        (1, changed("#EXTINF:2.00000,\n", "")),
        (1, changed("DURATION=0.20000,URI", "URI")),
        (1, MEDIA + "\0\n"),
        (2, changed("#EXT-X-VERSION:6\n", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6\n")),
        (2, MEDIA + "#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n"),
        (2, MEDIA + "#EXT-X-MEDIA-SEQUENCE:7\n"),
        (4, changed("#EXT-X-TARGETDURATION:2\n", "")),
        (10, changed('#EXT-X-MAP:URI="a-init.mp4"', '#EXT-X-MAP:BYTERANGE="7@0"')),
        (12, MEDIA + "#EXTINF:2.0,\n"),
        (12, changed("a-7.m4s\n", "#EXTINF:2.0,\na-7.m4s\n")),
        (14, changed("12:00:00.123Z", "12:00:00.123")),
        (14, changed("12:00:00.123Z", "12:00:00Z")),
        (14, changed("12:00:00.123Z", "25:61:00.123Z")),
        (14, changed("2026-07-01T12:00:00.123Z", "yesterday")),
        (18, changed("#EXTINF:0.2", "#EXT-X-DISCONTINUITY\n#EXTINF:0.2")),
        (21, changed("PART-TARGET=0.2", "X=1")),
    ],
)
def test_a_breach_is_told_with_its_rule(rule: int, text: str) -> None:
    assert rule in rules(text)


def test_a_fault_knows_its_line() -> None:
    fault = read_media_playlist(changed("YES,PART", "YES, PART").encode()).faults[0]
    assert str(fault).startswith("line 4: EXT-X-SERVER-CONTROL: ")


def test_blank_lines_comments_and_unknown_tags_are_allowed() -> None:
    text = MEDIA.replace("#EXTINF:2", "\n# a comment\n#EXT-X-NEW:whatever, is here\n#EXTINF:2")
    assert rules(text) == set()
    assert rules(MEDIA.replace("\n", "\r\n")) == set()


def test_what_is_not_utf_8_is_told() -> None:
    assert rules(MEDIA.encode() + b"#\xe9\n") == {1}


def test_a_delta_counts_its_skipped_segments() -> None:
    skip = "#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n"
    playlist = read_media_playlist(
        changed('#EXT-X-MAP:URI="a', skip + '#EXT-X-MAP:URI="a').encode()
    )
    assert [segment.msn for segment in playlist.segments] == [12, 13]
    assert playlist.last_msn == 13


MULTIVARIANT = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="One, two",LANGUAGE="en",DEFAULT=YES,URI="a.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="avc1.64001f,mp4a.40.2",FRAME-RATE=25.000,AUDIO="a"
v.m3u8
"""


def test_a_multivariant_playlist_is_understood() -> None:
    playlist = read_multivariant(MULTIVARIANT.encode())
    assert playlist.faults == ()
    assert playlist.independent
    (variant,), (media,) = playlist.variants, playlist.media
    assert (variant.uri, variant.bandwidth, variant.audio) == ("v.m3u8", 9, "a")
    assert variant.codecs == "avc1.64001f,mp4a.40.2"
    assert (media.name, media.default, media.autoselect) == ("One, two", True, False)


def test_a_variant_without_its_uri_is_told() -> None:
    broken = MULTIVARIANT.replace("v.m3u8\n", "#EXT-X-STREAM-INF:BANDWIDTH=9\n")
    assert {fault.rule for fault in read_multivariant(broken.encode()).faults} == {1}


def test_the_two_kinds_are_told_apart() -> None:
    assert is_multivariant(MULTIVARIANT.encode())
    assert not is_multivariant(MEDIA.encode())
    assert not is_multivariant(b"<html>")


_LINES = st.sampled_from([*MEDIA.splitlines(), *MULTIVARIANT.splitlines(), "", "x", "#", "#EXT"])
_NOISE = st.text(alphabet='#EXT-PARMSN:=",0123456789.\n YES\r\x00é', max_size=40)


@given(st.lists(_LINES | _NOISE, max_size=40))
def test_no_text_upsets_the_readers(rows: list[str]) -> None:
    body = "\n".join(rows).encode()
    playlist = read_media_playlist(body)
    assert isinstance(playlist.position, tuple)
    assert playlist.has(3, 1) in (True, False)
    read_multivariant(body)
    is_multivariant(body)


@given(st.binary(max_size=400))
def test_no_bytes_upset_the_readers(body: bytes) -> None:
    assert read_media_playlist(body).faults
    read_multivariant(body)


@given(st.integers(0, 2**80), st.integers(0, 2**80))
def test_no_number_upsets_the_readers(a: int, b: int) -> None:
    text = MEDIA.replace("SEQUENCE:7", f"SEQUENCE:{a}").replace("2.00000", f"{a}.{b}")
    text = text.replace("LAST-MSN=9", f"LAST-MSN=-{b}").replace("0.20000", f"{a}e{b}")
    read_media_playlist(text.encode())


def test_a_huge_playlist_is_read_in_bounded_time_and_space() -> None:
    part = '#EXT-X-PART:DURATION=0.2,URI="x"\n'
    body = (MEDIA + part * (MAX_PLAYLIST_BYTES // len(part) + 9)).encode()
    playlist = read_media_playlist(body)
    assert 1 in {fault.rule for fault in playlist.faults}
    assert len(playlist.faults) <= 200
