"""Where a viewer begins, what it fetches next, and which rendition."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.errors import CannotWatch
from client.reader import read_media_playlist, read_multivariant
from client.watching.choice import choose
from client.watching.pieces import following, hold_back, pieces, start
from tests.unit.test_client_playlists import MEDIA, changed

URL = "http://origin.test/live/index.m3u8"
NOON = Fraction(1782907200) + Fraction(123, 1000)
LADDER = b"""#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="second",URI="s1.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="first",DEFAULT=YES,URI="s0.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=1280x720,AUDIO="a"
v0.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=400000,RESOLUTION=640x360,AUDIO="a"
v1.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION=320x180
v2.m3u8
"""


def listed(text: str) -> list[tuple[int, int, str, bool]]:
    found = pieces(read_media_playlist(text.encode()))
    return [(piece.msn, piece.part, piece.uri, piece.is_whole) for piece in found]


def live(parts: int, *, hold: str = "0.6") -> str:
    """Two segments of ten parts and one in progress."""
    lines = [
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-INDEPENDENT-SEGMENTS",
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold},HOLD-BACK=6.0",
        '#EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-MAP:URI="i.mp4"',
    ]
    for msn in (5, 6, 7):
        count = parts if msn == 7 else 10
        lines += [f'#EXT-X-PART:DURATION=0.2,URI="{msn}.{n}.m4s"' for n in range(count)]
        lines += [f"#EXTINF:2.0,\n{msn}.m4s"] if msn < 7 else []
    return "\n".join(lines) + "\n"


def test_parts_where_they_are_listed_else_segments() -> None:
    assert listed(MEDIA) == [
        (7, 0, "a-7.m4s", True),
        (8, 0, "b-8.0.m4s", False),
        (9, 0, "b-9.0.m4s", False),
    ]


def test_a_segment_that_lost_its_first_parts_is_fetched_whole() -> None:
    rest = "\n".join(line for line in live(2).splitlines() if '"6.0' not in line)
    assert (6, 0, "6.m4s", True) in listed(rest)
    assert not any(msn == 6 and not whole for msn, _part, _uri, whole in listed(rest))


def test_14_each_piece_has_its_time() -> None:
    walls = [piece.wall for piece in pieces(read_media_playlist(MEDIA.encode()))]
    assert walls == [NOON, NOON + 2, NOON + 2 + Fraction(1, 5)]


def test_16_behind_a_discontinuity_time_is_what_it_says_or_unknown() -> None:
    silent = MEDIA.replace("#EXT-X-PROGRAM-DATE-TIME:2026-07-01T14:00:02.123+02:00\n", "")
    found = list(pieces(read_media_playlist(silent.encode())))
    assert [piece.wall for piece in found] == [NOON, None, None]
    assert [piece.begins for piece in found] == [False, True, False]
    assert [piece.map_uri for piece in found] == ["a-init.mp4", "b-init.mp4", "b-init.mp4"]


def test_ranges_without_an_offset_follow_the_one_before() -> None:
    text = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-BYTERANGE:100@50
#EXTINF:2,
all.ts
#EXT-X-BYTERANGE:30
#EXTINF:2,
all.ts
#EXT-X-BYTERANGE:7
#EXTINF:2,
other.ts
#EXT-X-BYTERANGE:nonsense
#EXTINF:2,
other.ts
#EXT-X-BYTERANGE:8
#EXTINF:2,
other.ts
"""
    found = [piece.byterange for piece in pieces(read_media_playlist(text.encode()))]
    assert found == ["100@50", "30@150", "7@0", "nonsense@7", "8@0"]


@pytest.mark.parametrize(
    ("parts", "hold", "cursor", "skip"),
    [
        (5, "0.6", (7, 0), 0.4),  # 4.4 s in: 0.4 s behind the key frame at 4 s
        (3, "0.6", (7, 0), 0.0),
        (2, "0.6", (6, 0), 1.8),  # 3.8 s in: the key frame at 2 s
        (2, "60.0", (5, 0), 0.0),  # less is listed than is to be held back
    ],
)
def test_25_a_viewer_begins_a_hold_back_from_the_edge(
    parts: int, hold: str, cursor: tuple[int, int], skip: float
) -> None:
    begin = start(read_media_playlist(live(parts, hold=hold).encode()))
    assert begin is not None
    assert begin.cursor == cursor
    assert begin.skip_seconds == pytest.approx(skip)


def test_what_has_ended_begins_at_its_beginning() -> None:
    begin = start(read_media_playlist((live(0) + "#EXT-X-ENDLIST\n").encode()))
    assert begin is not None
    assert (begin.cursor, begin.skip_seconds) == ((5, 0), 0)


def test_where_nothing_is_listed_nothing_begins() -> None:
    assert start(read_media_playlist(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n")) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (MEDIA, Fraction(3, 5)),
        (changed("#EXT-X-PART-INF:PART-TARGET=0.2\n", ""), 6),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n", 12),
    ],
)
def test_25_the_hold_back_is_the_playlists(text: str, seconds: Fraction) -> None:
    assert hold_back(read_media_playlist(text.encode())) == seconds


@pytest.mark.parametrize(
    ("cursor", "first", "joins"),
    [
        ((7, 1), "7.1.m4s", True),
        ((6, 10), "7.0.m4s", True),  # the segment was complete: its next part is the next segment's
        ((5, 4), "5.4.m4s", True),
        ((6, 11), "7.0.m4s", False),
        ((3, 0), "5.0.m4s", False),  # it left the window meanwhile
        ((4, 10), "5.0.m4s", False),
    ],
)
def test_what_comes_next_and_whether_it_joins(
    cursor: tuple[int, int], first: str, joins: bool
) -> None:
    found, does_join = following(read_media_playlist(live(3).encode()), cursor)
    assert (found[0].uri, does_join) == (first, joins)


def test_nothing_new_joins() -> None:
    assert following(read_media_playlist(live(3).encode()), (7, 3)) == ([], True)


def test_encrypted_media_are_known_as_such() -> None:
    text = MEDIA.replace("#EXTINF:2", '#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:2')
    assert next(pieces(read_media_playlist(text.encode()))).encrypted
    plain = MEDIA.replace("#EXTINF:2", "#EXT-X-KEY:METHOD=NONE\n#EXTINF:2")
    assert not next(pieces(read_media_playlist(plain.encode()))).encrypted


@given(st.lists(st.sampled_from([*MEDIA.splitlines(), "#EXT-X-BYTERANGE:9", "x"]), max_size=40))
def test_nothing_in_a_playlist_upsets_a_viewer(rows: list[str]) -> None:
    playlist = read_media_playlist("\n".join(rows).encode())
    start(playlist)
    found = list(pieces(playlist))
    assert [piece.cursor for piece in found] == sorted({piece.cursor for piece in found})


# --- which rendition ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rung", "name", "sound"),
    [
        ("highest", "v0", "http://origin.test/live/s0.m3u8"),
        ("lowest", "v2", None),
        ("640x360", "v1", "http://origin.test/live/s0.m3u8"),
    ],
)
def test_the_rung_is_chosen(rung: str, name: str, sound: str | None) -> None:
    choice = choose(URL, read_multivariant(LADDER), rung)
    assert choice.url == f"http://origin.test/live/{name}.m3u8"
    assert choice.sound_url == sound


def test_a_media_playlist_is_its_own_choice() -> None:
    assert choose(URL, None, "highest").url == URL


@pytest.mark.parametrize(
    ("body", "rung", "told"),
    [
        (LADDER, "1x1", "no rendition '1x1': highest, lowest, 320x180, 640x360, 1280x720"),
        (b"#EXTM3U\n", "highest", "names no media playlist"),
        (b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile:///etc/passwd\n", "highest", "cannot be"),
    ],
)
def test_what_cannot_be_chosen(body: bytes, rung: str, told: str) -> None:
    with pytest.raises(CannotWatch, match=told):
        choose(URL, read_multivariant(body), rung)
