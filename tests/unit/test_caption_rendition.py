"""What a face says becomes cues that keep to media time, and files that keep to the picture's."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.reader import read_media_playlist
from client.webvtt import read_webvtt
from encoder.caption_rendition import CAPTIONS, CaptionRendition
from encoder.captions import SHORTEST_SECONDS, Captions, read_lines
from encoder.codecs import Track
from encoder.packager import PLAYLIST_NAME, Calendar, Era, Layout, Past, Rendition
from encoder.resume import take_over
from encoder.store import StreamStore
from encoder.timing import plan
from encoder.webvtt import Cue
from journal import Moment, mark_of
from tests.unit.samples import picture

FPS = 25
TIMING = plan(fps=FPS, audio_rate_hz=48_000, part_seconds=0.2, segment_seconds=2.0)
START_MS = 1_782_907_200_123
CUES = [(0.05, "First."), (1.5, "Second."), (3.0, "Third.")]
EVER = Fraction(10**6)


def leave(folder: Path, number: int = 7, seconds: float = 4.0) -> None:
    told = {"seconds": seconds, "cues": CUES}
    (folder / f"{number}.cues").write_text(json.dumps(told), "utf-8")


class Fed:
    """Captions that are fed unit by unit."""

    def __init__(self, folder: Path) -> None:
        leave(folder)
        self.captions = Captions(folder, FPS)
        self.number = 0

    def units(self, count: int, first: Moment | None = None, utterance: int = 7) -> None:
        for index in range(count):
            mark = mark_of(utterance, first) if first is not None and not index else 0
            self.captions.fed(mark, self.number)
            self.number += 1

    def repeated(self, count: int) -> None:
        """The timeline goes on without the source."""
        self.number += count

    @property
    def cues(self) -> list[tuple[int, int, str]]:
        return [(c.start_ms, c.end_ms, c.text) for c in self.captions.between(Fraction(), EVER)]


def test_cues_are_where_their_words_are(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(50)
    fed.units(120, Moment.STARTED)
    fed.units(10, Moment.FINISHED)
    assert fed.cues == [
        (2050, 3500, "First."),
        (3500, 5000, "Second."),
        (5000, 6000, "Third."),
    ]


def test_a_cue_is_known_as_soon_as_its_word_is_fed(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(1, Moment.STARTED)
    assert fed.cues == [], "its word begins within the next unit"
    fed.units(1)
    assert fed.cues == [(50, 1500, "First.")]


def test_units_that_were_repeated_make_later_cues_later(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(20, Moment.STARTED)
    fed.repeated(10)
    fed.units(60)
    assert [start for start, _end, _text in fed.cues] == [50, 1900, 3400]


def test_units_that_were_given_up_count(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(1, Moment.STARTED)
    for _ in range(50):  # lost before unit 1: all fall on its place
        fed.captions.fed(0, 1)
    assert fed.cues == [(50, 60, "First."), (60, 1560, "Second.")]


def test_an_interruption_cuts_what_is_shown_and_shows_no_more(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(45, Moment.STARTED)
    fed.units(100, Moment.INTERRUPTED)
    assert fed.cues == [(50, 1500, "First."), (1500, 1800, "Second.")]


def test_the_end_of_another_utterance_ends_nothing(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(45, Moment.STARTED)
    fed.units(100, Moment.INTERRUPTED, utterance=6)
    assert len(fed.cues) == 3


def test_a_sound_without_a_text_has_no_cues(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(100, Moment.STARTED)
    fed.units(100, Moment.STARTED, utterance=8)
    assert len(fed.cues) == 3


def test_a_process_that_begins_in_the_middle_shows_the_rest(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.captions.fed(mark_of(7, Moment.STARTED, 50), 0)
    fed.number = 1
    fed.units(60)
    assert fed.cues == [(0, 1000, "Second."), (1000, 2000, "Third.")]


def test_a_new_timeline_goes_on_with_what_is_being_said(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.units(45, Moment.STARTED)
    fed.captions.begin_timeline()
    fed.number = 0
    assert fed.cues == []
    fed.units(60)
    assert fed.cues == [(0, 1200, "Second."), (1200, 2200, "Third.")]


@pytest.mark.parametrize(
    "left", ["", "[]", '{"cues": [[1]], "seconds": 2}', '{"cues": [], "seconds": 1}', "\ud7ff"]
)
def test_lines_that_cannot_be_read_are_none(tmp_path: Path, left: str) -> None:
    path = tmp_path / "1.cues"
    assert read_lines(path) == ()
    path.write_text(left, "utf-8")
    assert read_lines(path) == ()


def test_the_last_line_can_be_read(tmp_path: Path) -> None:
    leave(tmp_path, seconds=3.1)
    *_, last = read_lines(tmp_path / "7.cues")
    assert last.until == last.at + SHORTEST_SECONDS


# --- files ---------------------------------------------------------------------------------------


class Stream:
    """A picture and its captions on a real folder."""

    def __init__(
        self, folder: Path, captions: Captions, past: dict[str, Past], msn: int = 1
    ) -> None:
        self.folder = folder
        self.store = StreamStore(folder, 10**8)
        self.store.open(("v0", CAPTIONS))
        run = f"r{msn}"
        calendar = Calendar(Era(msn, START_MS, run), resumed=bool(past))
        shared = (Layout(TIMING, 7), calendar, self.store)
        self.video = Rendition("v0", TIMING.video, *shared, past.get("v0", Past()))
        self.video.set_init(b"init", Track("avc1.64001f", 90_000), run)
        listed = past.get(CAPTIONS, Past())
        self.text = CaptionRendition(self.video, captions, *shared, listed, None, None)
        self.video.peers, self.text.peers = [self.text], [self.video]

    def play(self, units: int) -> None:
        for _ in range(units):
            ordinal = self.video.segmenter.next_frame
            self.video.add(picture(ordinal, TIMING.segment_frames, TIMING.video.frame_ticks))

    def read(self, name: str) -> str:
        return (self.folder / CAPTIONS / name).read_text("utf-8")

    def first_shown(self, span: Fraction) -> dict[str, tuple[Fraction, Fraction]]:
        """Of each text: where the first file of that length with it begins, and where its cue."""
        found: dict[str, tuple[Fraction, Fraction]] = {}
        is_part = span < TIMING.segment_seconds
        names = {
            (int(msn) - 1) * TIMING.segment_seconds + int(index or 0) * span: path
            for path in (self.folder / CAPTIONS).glob("*.vtt")
            for msn, index in re.findall(r"-(\d+)(?:\.(\d+))?\.vtt$", path.name)
            if bool(index) == is_part
        }
        for at, path in sorted(names.items()):
            for cue in read_webvtt(path.read_bytes()).cues:
                found.setdefault(cue.text, (at, cue.start))
        return found

    def texts(self, name: str) -> list[str]:
        found = read_webvtt((self.folder / CAPTIONS / name).read_bytes())
        assert found.faults == ()
        return [cue.text for cue in found.cues]


def spoken(folder: Path) -> Stream:
    """A stream that is 12 units silent, then says the text."""
    fed = Fed(folder)
    stream = Stream(folder / "live", fed.captions, {})
    fed.units(12)
    fed.units(300, Moment.STARTED)
    return stream


def test_captions_are_cut_where_the_picture_is(tmp_path: Path) -> None:
    stream = spoken(tmp_path)
    stream.play(2 * 50 + 7)
    video = read_media_playlist((tmp_path / "live/v0" / PLAYLIST_NAME).read_bytes())
    text = read_media_playlist(stream.read(PLAYLIST_NAME).encode())
    assert [(s.msn, s.duration, s.wall) for s in video.segments] == [
        (s.msn, s.duration, s.wall) for s in text.segments
    ]
    assert video.position == text.position == (3, 0)
    assert video.control == text.control
    (report,) = video.reports
    assert (report.last_msn, report.last_part) == text.position, "as fresh as the host (44)"
    assert all(s.map_uri is None for s in text.segments)
    assert text.version == 3


def test_a_part_has_what_is_shown_while_it_plays(tmp_path: Path) -> None:
    stream = spoken(tmp_path)
    stream.play(3 * 50)
    # 0.48 s + 0.05 s: the first part that is shown while it is said ends at 0.6 s.
    by_part = [stream.texts(f"r1-1.{index}.vtt") for index in range(10)]
    assert by_part == [[], [], *[["First."]] * 7, ["First.", "Second."]]
    assert stream.texts("r1-1.vtt") == ["First.", "Second."]
    assert stream.texts("r1-2.vtt") == ["Second.", "Third."], "one spans both segments"


@settings(deadline=None, max_examples=20)
@given(
    lead=st.integers(0, 40),
    late=st.dictionaries(st.integers(0, 119), st.integers(1, 12), max_size=5),
    ahead=st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_each_cue_is_in_the_very_part_in_which_it_begins_and_in_its_segment(
    lead: int, late: dict[int, int], ahead: list[int]
) -> None:
    """Whatever is repeated, and however far the encoder is behind what it is fed."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        fed = Fed(folder)
        stream = Stream(folder / "live", fed.captions, {})
        fed.units(lead)
        for unit in range(120):
            fed.repeated(late.get(unit, 0))
            fed.units(1, Moment.STARTED if unit == 0 else None)
            behind = ahead[unit % len(ahead)]
            stream.play(max(0, fed.number - behind - stream.video.segmenter.next_frame))
        stream.play(fed.number - stream.video.segmenter.next_frame)
        stream.video.end()
        for span in (TIMING.video.part_seconds, TIMING.segment_seconds):
            first = stream.first_shown(span)
            assert list(first) == [text for _, text in CUES]
            assert all(at <= begins < at + span for at, begins in first.values()), first


def test_a_flood_of_cues_keeps_to_the_bound(tmp_path: Path) -> None:
    class Flood(Captions):
        def between(self, start: Fraction, end: Fraction) -> list[Cue]:
            return [Cue(f"u{n}", 0, 10**9, f"{n}") for n in range(100)]

    stream = Stream(tmp_path / "live", Flood(tmp_path, FPS), {})
    stream.play(50)
    assert stream.texts("r1-1.vtt") == [str(n) for n in range(93, 100)], "the newest"


def test_a_process_that_takes_over_closes_the_segment(tmp_path: Path) -> None:
    stream = spoken(tmp_path)
    stream.play(50 + 30)
    names = ("v0", CAPTIONS)
    store = StreamStore(tmp_path / "live", 10**8)
    store.open(names)
    resume = take_over(store, names, TIMING.segment_seconds)
    assert resume.first_msn == 3
    assert stream.texts("r1-2.vtt") == ["Second."]
    after = Stream(tmp_path / "live", Captions(tmp_path, FPS), dict(resume.past), 3)
    after.play(60)
    text = after.read(PLAYLIST_NAME)
    assert text.index("r1-2.vtt") < text.index("#EXT-X-DISCONTINUITY\n") < text.index("r3-3.vtt")
    assert "#EXT-X-MAP" not in text


def test_the_end_stands_in_both(tmp_path: Path) -> None:
    stream = spoken(tmp_path)
    stream.play(50 + 7)
    stream.video.end()
    stream.text.end()
    text = read_media_playlist(stream.read(PLAYLIST_NAME).encode())
    assert text.ended
    assert [segment.duration for segment in text.segments] == [2, Fraction(7, 25)]
