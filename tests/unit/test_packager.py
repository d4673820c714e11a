"""The history of a stream's folder, as a player that never blinks would see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pytest

from encoder.boxes import Sample, SampleDefaults, read_fragment
from encoder.codecs import Track, is_idr
from encoder.iframes import IFRAMES_NAME
from encoder.packager import (
    PLAYLIST_NAME,
    Calendar,
    Era,
    Layout,
    Past,
    Rendition,
    disk_bound_bytes,
)
from encoder.playlist_reader import read_position, read_segments
from encoder.store import StreamStore
from encoder.timing import Timing, plan
from tests.unit.samples import boxes, picture, sound

START_MS = 1_782_907_200_123
VIDEO_KBIT, AUDIO_KBIT = 700, 64
ENTRY = re.compile(
    r"((?:#EXT-X-DISCONTINUITY\n)?)(?:#EXT-X-MAP:.*\n)?#EXT-X-PROGRAM-DATE-TIME:(.*)\n"
    r"(?:#EXT-X-PART:.*\n)*#EXTINF:(.*),\n(.*)\n"
)


@dataclass(frozen=True)
class Seen:
    """One complete segment in a playlist."""

    uri: str
    extinf: str
    date_ms: int
    discontinuity: bool


@dataclass(frozen=True)
class View:
    """One playlist as published, the other rendition's, and the files that were there then."""

    text: str
    peer_text: str
    media_seconds: Fraction
    files: frozenset[str]

    @cached_property
    def segments(self) -> dict[int, Seen]:
        first = int(re.findall(r"MEDIA-SEQUENCE:(\d+)", self.text)[0])
        entries = ENTRY.findall(self.text)
        return {
            first + n: Seen(uri, extinf, milliseconds(date), bool(broken))
            for n, (broken, date, extinf, uri) in enumerate(entries)
        }

    @cached_property
    def uris(self) -> set[str]:
        """Everything that is listed; the hint is not: it does not exist yet."""
        named = re.findall(r'#EXT-X-(?:MAP|PART):.*URI="([^"]*)"', self.text)
        return {*named, *(seen.uri for seen in self.segments.values())}

    @cached_property
    def parts(self) -> list[str]:
        return re.findall(r'#EXT-X-PART:.*URI="([^"]*)"', self.text)

    @property
    def hint(self) -> str:
        return read_position(self.text).hint_uri


@dataclass
class Stream:
    """Two renditions on a real folder, fed with synthetic frames of the nominal size."""

    folder: Path
    timing: Timing
    window: int = 7
    history: dict[str, list[View]] = field(default_factory=lambda: {"v0": [], "a0": []})
    largest_bytes: int = 0

    def __post_init__(self) -> None:
        bound = disk_bound_bytes(self.timing, self.window, [VIDEO_KBIT], AUDIO_KBIT)
        self.store = StreamStore(self.folder, bound)
        self.store.open(("v0", "a0"))
        self.calendar = Calendar(Era(1, START_MS, "r"))
        shared = (Layout(self.timing, self.window), self.calendar, self.store)
        self.video = Rendition("v0", self.timing.video, *shared)
        self.audio = Rendition("a0", self.timing.audio, *shared)
        self.video.peers, self.audio.peers = [self.audio], [self.video]
        self.video.set_init(b"video init", Track("avc1.64001f", 90_000), "r")
        self.audio.set_init(b"audio init", Track("mp4a.40.2", 48_000), "r")

    def play(self, seconds: float) -> None:
        """Feed both renditions in the order in which an encoder gives their frames."""
        end = float(self.video_seconds) + seconds
        while float(self.video_seconds) < end:
            self.add(self.video, self.next_picture())
            while self.audio_seconds < self.video_seconds:
                self.add(self.audio, self.next_sound())

    def add(self, rendition: Rendition, sample: Sample) -> None:
        rendition.add(sample)
        self.largest_bytes = max(self.largest_bytes, self.store.used_bytes)
        self.look(rendition)

    def look(self, rendition: Rendition) -> None:
        """Note the playlist if it has changed."""
        path, peer_path = (
            self.folder / each.name / PLAYLIST_NAME for each in (rendition, *rendition.peers)
        )
        views = self.history[rendition.name]
        text, peer_text = (
            each.read_text("utf-8") if each.exists() else "" for each in (path, peer_path)
        )
        if text and (not views or views[-1].text != text):
            files = frozenset(file.name for file in path.parent.iterdir())
            seconds = self.video_seconds if rendition is self.video else self.audio_seconds
            views.append(View(text, peer_text, seconds, files))

    @property
    def video_seconds(self) -> Fraction:
        return self.video.segmenter.next_frame * self.timing.video.frame_seconds

    @property
    def audio_seconds(self) -> Fraction:
        return self.audio.segmenter.next_frame * self.timing.audio.frame_seconds

    def next_picture(self) -> Sample:
        number = self.video.segmenter.next_frame
        size = VIDEO_KBIT * 125 // self.timing.fps
        return picture(number, self.timing.segment_frames, self.timing.video.frame_ticks, size)

    def next_sound(self) -> Sample:
        size = int(AUDIO_KBIT * 125 * self.timing.audio.frame_seconds)
        return sound(self.audio.segmenter.next_frame, size)


def milliseconds(date: str) -> int:
    return round(datetime.fromisoformat(date).timestamp() * 1000)


def make_stream(
    folder: Path, *, part: float | None = 0.2, segment: float = 2.0, window: int = 7, fps: int = 25
) -> Stream:
    timing = plan(fps=fps, audio_rate_hz=48_000, part_seconds=part, segment_seconds=segment)
    return Stream(folder, timing, window)


PROFILES = {
    "low": lambda folder: make_stream(folder),
    "ultra": lambda folder: make_stream(folder, part=0.12, window=6),
    "plain": lambda folder: make_stream(folder, part=None),
    # A target duration of 2 s: six of them are longer than the window.
    "odd": lambda folder: make_stream(folder, segment=1.5, fps=30),
}


@pytest.fixture(scope="module", params=PROFILES)
def stream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """Forty seconds of each profile."""
    made = PROFILES[request.param](tmp_path_factory.mktemp("live"))
    made.play(40)
    return made


def both(stream: Stream) -> Iterator[tuple[Rendition, list[View]]]:
    for rendition in (stream.video, stream.audio):
        yield rendition, stream.history[rendition.name]


def test_rules_6_7_the_window_slides_by_what_leaves(stream: Stream) -> None:
    for rendition, views in both(stream):
        assert len(views) > 10, rendition.name
        for before, after in pairwise(views):
            assert list(after.segments) == list(range(min(after.segments), max(after.segments) + 1))
            removed = min(after.segments) - min(before.segments)
            grown = len(after.segments) - len(before.segments)
            assert removed in (0, 1)
            assert (removed, grown) in ((0, 0), (0, 1), (1, 0))
        assert len(views[-1].segments) == stream.window
        full = [view for view in views if min(view.segments) > 1]
        for view in full:
            listed = sum(Fraction(seen.extinf) for seen in view.segments.values())
            assert listed >= 3 * stream.timing.target_duration


def test_rule_8_a_segment_never_changes(stream: Stream) -> None:
    for _rendition, views in both(stream):
        known: dict[int, Seen] = {}
        for view in views:
            for msn, seen in view.segments.items():
                assert known.setdefault(msn, seen) == seen


def test_rule_7_parts_are_only_ever_added_at_the_end(stream: Stream) -> None:
    for _rendition, views in both(stream):
        order: list[str] = []
        for view in views:
            order += [uri for uri in view.parts if uri not in order]
            assert view.parts == order[len(order) - len(view.parts) :]


def test_rule_14_media_time_and_wall_time_run_together(stream: Stream) -> None:
    for _rendition, views in both(stream):
        every = {msn: seen for view in views for msn, seen in view.segments.items()}
        media_ms = Fraction(0)
        for _msn, seen in sorted(every.items()):
            assert abs(seen.date_ms - START_MS - media_ms) <= 1
            media_ms += Fraction(seen.extinf) * 1000


def test_rule_14_no_date_is_later_than_the_first_sample(stream: Stream) -> None:
    """Packets of sound begin between milliseconds. hls.js 1.7.4 places a segment by its date: half
    of one too late, and what it has buffered seems to end before the segment does. Then it loads
    no part of the next one until that is whole, and stands still for a second.
    """
    for timing, (_rendition, views) in zip(
        (stream.timing.video, stream.timing.audio), both(stream), strict=True
    ):
        for view in views:
            for msn, seen in view.segments.items():
                exact_ms = 1000 * timing.segment_start(msn - 1) * timing.frame_seconds
                assert 0 <= START_MS + exact_ms - seen.date_ms < 1


def test_rule_31_what_is_listed_is_there(stream: Stream) -> None:
    for _rendition, views in both(stream):
        for view in views:
            assert view.uris <= view.files


def test_rule_32_the_hint_becomes_the_next_part(stream: Stream) -> None:
    for rendition, views in both(stream):
        for before, after in pairwise(views):
            if stream.timing.low_latency:
                assert before.hint == after.parts[-1], rendition.name
                assert before.hint not in before.files
            else:
                assert before.hint == ""


def fetchable_for(views: list[View], listed: str, uri: str) -> tuple[Fraction, Fraction] | None:
    """When a URI left the list named ``listed``, and for how long its file stayed after that."""
    last = max(n for n, view in enumerate(views) if uri in getattr(view, listed))
    later = views[last + 1 :]
    if not later:
        return None
    gone = next((v.media_seconds for v in later if uri not in v.files), None)
    left = later[0].media_seconds
    return left, (later[-1].media_seconds if gone is None else gone) - left


def test_rule_29_parts_stay_for_three_target_durations_more(stream: Stream) -> None:
    for _rendition, views in both(stream):
        gone = 0
        for uri in {uri for view in views for uri in view.parts}:
            times = fetchable_for(views, "uris", uri)
            if times and times[0] + 3 * stream.timing.target_duration < views[-1].media_seconds:
                assert times[1] >= 3 * stream.timing.target_duration
                gone += 1
        assert bool(gone) == stream.timing.low_latency


def test_rule_30_segments_stay_for_themselves_and_a_playlist(stream: Stream) -> None:
    for _rendition, views in both(stream):
        gone = 0
        for uri, length in {(s.uri, s.extinf) for v in views for s in v.segments.values()}:
            listed = (v.segments.values() for v in views if uri in v.uris)
            longest = max(sum(Fraction(seen.extinf) for seen in each) for each in listed)
            # One playlist can be longer than another by one AAC frame; EXTINF is rounded.
            asked = Fraction(length) + longest - Fraction(22, 1000)
            times = fetchable_for(views, "uris", uri)
            if times and times[0] + asked < views[-1].media_seconds:
                assert times[1] >= asked
                gone += 1
        assert gone


def test_the_bound_holds_at_the_nominal_rate_and_nothing_is_left_behind(stream: Stream) -> None:
    """Twice as long a stream takes no byte more: whatever is published goes again."""
    assert stream.largest_bytes < stream.store.limit_bytes
    after_40_s, files_after_40_s = stream.largest_bytes, on_disk(stream)
    stream.play(40)
    assert stream.largest_bytes <= after_40_s * 1.02
    assert len(on_disk(stream)) <= len(files_after_40_s) * 1.05 + 1
    assert stream.store.used_bytes == sum(path.stat().st_size for path in on_disk(stream))


def on_disk(stream: Stream) -> list[Path]:
    return [path for path in stream.folder.rglob("*") if path.is_file()]


def test_rule_44_reports_tell_how_far_the_other_rendition_is(stream: Stream) -> None:
    for rendition, views in both(stream):
        uri = f'"../{rendition.peers[0].name}/{PLAYLIST_NAME}"'
        for view in (each for each in views if each.peer_text):
            at = read_position(view.peer_text)
            msn, part = (
                (at.last_msn + 1, at.parts - 1) if at.parts else (at.last_msn, at.last_parts - 1)
            )
            tag = f"#EXT-X-RENDITION-REPORT:URI={uri},LAST-MSN={msn},LAST-PART={part}\n"
            assert view.text.count("RENDITION-REPORT") == int(stream.timing.low_latency)
            assert (tag in view.text) == stream.timing.low_latency


def test_no_playlist_before_its_first_complete_segment(tmp_path: Path) -> None:
    """hls.js takes a playlist that has only parts for an empty one."""
    stream = make_stream(tmp_path / "live")
    stream.play(1.9)
    assert (stream.folder / "v0" / "r-1.8.m4s").exists()
    assert not (stream.folder / "v0" / PLAYLIST_NAME).exists()
    stream.play(0.2)
    assert stream.history["v0"][0].segments.keys() == {1}


def test_rules_16_17_an_era_begins_at_the_same_msn_in_both_renditions(tmp_path: Path) -> None:
    stream = make_stream(tmp_path / "live")
    stream.play(5)
    stream.calendar.begin(Era(4, START_MS + 3000, "r"))
    stream.play(7)
    for rendition, views in both(stream):
        segments = views[-1].segments
        assert [msn for msn, seen in segments.items() if seen.discontinuity] == [4]
        ideal = {msn: START_MS + 2000 * (msn - 1) + 3000 * (msn >= 4) for msn in segments}
        assert all(abs(segments[msn].date_ms - ideal[msn]) <= 11 for msn in segments)
        assert "#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in views[-1].text, rendition.name
    stream.play(16)
    for _rendition, views in both(stream):
        assert "#EXT-X-DISCONTINUITY\n" not in views[-1].text
        assert "#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in views[-1].text
        sequences = [read_position(view.text).discontinuity_sequence for view in views]
        assert sequences == sorted(sequences)
        assert set(sequences) == {0, 1}


def test_an_era_that_has_not_begun_yet_takes_a_later_correction() -> None:
    calendar = Calendar(Era(1, 0, "r"))
    calendar.begin(Era(5, 1000, "r"))
    calendar.begin(Era(5, 3000, "r"))
    assert [calendar.at(msn).anchor_ms for msn in (1, 4, 5, 9)] == [0, 0, 3000, 3000]
    assert [msn for msn in range(1, 9) if calendar.starts_at(msn)] == [5]


def test_the_end_is_the_last_word(tmp_path: Path) -> None:
    stream = make_stream(tmp_path / "live")
    stream.play(4.3)
    for rendition, views in both(stream):
        rendition.end()
        stream.look(rendition)
        assert views[-1].text.endswith("r-3.m4s\n#EXT-X-ENDLIST\n")
        assert "PRELOAD-HINT" not in views[-1].text
        assert views[-1].uris <= views[-1].files
    assert stream.history["v0"][-1].segments[3].extinf == "0.32000"


RANGE = re.compile(r"#EXT-X-BYTERANGE:(\d+)@0\n(.*)\n")


def key_frames(folder: Path) -> dict[str, bytes]:
    """By segment, what its entry in the I-frame playlist leads to."""
    found = RANGE.findall((folder / "v0" / IFRAMES_NAME).read_text("utf-8"))
    return {uri: (folder / "v0" / uri).read_bytes()[: int(length)] for length, uri in found}


def test_50_the_i_frame_playlist_leads_to_the_key_frame_of_each_segment(stream: Stream) -> None:
    host = (stream.folder / "v0" / PLAYLIST_NAME).read_text("utf-8")
    frames = key_frames(stream.folder)
    assert list(frames) == [s.uri for s in stream.history["v0"][-1].segments.values()]
    for data in frames.values():
        moof, mdat = boxes(data)
        (frame,) = read_fragment(moof, mdat, SampleDefaults(0, 0, 0))
        assert frame.is_sync
        assert is_idr(frame.data)
    text = (stream.folder / "v0" / IFRAMES_NAME).read_text("utf-8")
    assert "#EXT-X-PART" not in text
    for tag in ("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-TARGETDURATION", "#EXT-X-MAP"):
        assert re.findall(f"{tag}.*", text) == re.findall(f"{tag}.*", host)
    dates = re.findall("#EXT-X-PROGRAM-DATE-TIME.*", text)
    assert dates == re.findall("#EXT-X-PROGRAM-DATE-TIME.*", host)[: len(dates)]
    assert not (stream.folder / "a0" / IFRAMES_NAME).exists()


def test_50_key_frames_of_a_dead_process_are_found_again(tmp_path: Path) -> None:
    stream = make_stream(tmp_path / "live")
    stream.play(9)
    before = key_frames(stream.folder)
    (stream.folder / "v0" / "r-3.m4s").unlink()
    _, listed = read_segments((stream.folder / "v0" / PLAYLIST_NAME).read_text("utf-8"))
    past = Past(tuple(replace(entry, parts=()) for entry in listed if entry.uri))
    calendar = Calendar(Era(6, START_MS + 20_000, "s"), resumed=True)
    layout = Layout(stream.timing, stream.window)
    successor = Rendition("v0", stream.timing.video, layout, calendar, stream.store, past)
    successor.set_init(b"init", Track("avc1.64001f", 90_000), "s")
    for number in range(stream.timing.segment_frames):
        successor.add(picture(number, 50, stream.timing.video.frame_ticks))
    after = key_frames(stream.folder)
    assert list(after) == ["r-1.m4s", "r-2.m4s", "r-4.m4s", "s-6.m4s"]
    assert {uri: after[uri] for uri in ("r-1.m4s", "r-2.m4s", "r-4.m4s")}.items() <= before.items()
    text = (stream.folder / "v0" / IFRAMES_NAME).read_text("utf-8")
    assert "#EXT-X-GAP\nr-3.m4s\n" in text  # 19: what is gone is told
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    successor.end()
    assert (stream.folder / "v0" / IFRAMES_NAME).read_text().endswith("s-6.m4s\n#EXT-X-ENDLIST\n")
