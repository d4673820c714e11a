"""From ffmpeg's bytes to published files: one :class:`Rendition` each for picture and sound.

Per part: one media file, one rendering of one playlist, one rename each (work per part, never per
viewer). What leaves the window stays fetchable as long as rules 29 and 30 ask, then goes.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from encoder.archive import WAITING_WINDOWS, Archive
from encoder.boxes import Sample
from encoder.codecs import Track
from encoder.errors import EncoderError, StreamBroken
from encoder.gzipped import deflated, gzipped
from encoder.iframes import IDR_HEAD_BYTES, IFRAMES_NAME, LONGEST, IFrames
from encoder.playlist import (
    VERSION,
    Forms,
    MediaPlaylist,
    PartEntry,
    RenditionReport,
    SegmentEntry,
    ServerControl,
)
from encoder.publish import both_forms
from encoder.rates import RateMeter, Weight
from encoder.recorder import Recorder
from encoder.segmenter import Part, Segment, Segmenter
from encoder.store import StreamStore
from encoder.timing import SHORTEST_PART, Timing, TrackTiming
from encoder.webvtt import HEADER_BYTES, LONGEST_CUE_BYTES, most_cues
from encoder.window import Window

# One playlist in four forms, rendered once per part for all viewers: whole or delta (42), plain
# or gzip (62). The first is written last: who waits for it finds the others as new.
PLAYLIST_NAME, DELTA_NAME = "media.m3u8", "delta.m3u8"
# moof, its table and the playlist line of a part: measured well below this.
_PART_OVERHEAD_BYTES = 400
# Lines of a segment in a playlist, and of all parts, hints and headers: measured below these.
SEGMENT_LINES_BYTES, _PARTS_LINES_BYTES = 170, 12 * 1024
# A constrained rate still swings within its buffer; the bound must not cut a legal stream.
RATE_HEADROOM = 2


def disk_bound_bytes(
    timing: Timing,
    window_segments: int,
    video_kbit: Sequence[int],
    audio_kbit: int,
    archived_segments: int = 0,
    *,
    captions: bool = False,
) -> int:
    """The most a stream may hold on tmpfs, from the arithmetic of what is kept.

    Segments: the window, one in progress, and what left it for a segment plus a playlist more
    (rule 30); with an archive some wait for it too. Parts: three target durations listed, three
    more and a part kept (rule 29), one segment in progress. All at twice the nominal rate, plus
    boxes and playlists.

    Args:
        timing: of the stream.
        window_segments: complete segments in a playlist, as far as they are on tmpfs.
        video_kbit: rate of each rung of the ladder.
        audio_kbit: rate of the sound.
        archived_segments: further ones in the playlist, whose files are elsewhere.
        captions: whether there is a rendition of them.
    """
    segments = 2 * window_segments + 2
    if archived_segments:
        segments += WAITING_WINDOWS * window_segments + 1
    part_seconds = _parts_stay(timing) + timing.segment_seconds if timing.low_latency else 0
    seconds = segments * timing.segment_seconds + part_seconds
    video_parts = len(video_kbit) * seconds / timing.video.part_seconds
    parts = math.ceil(video_parts + seconds / timing.audio.part_seconds)
    media = math.ceil(seconds * (sum(video_kbit) + audio_kbit) * 125 * RATE_HEADROOM)
    # Each playlist stands in four forms at most, none larger than the plain whole one, and the
    # one of key frames in two.
    listed = window_segments + archived_segments
    playlist = listed * SEGMENT_LINES_BYTES + _PARTS_LINES_BYTES
    playlists = 4 * (len(video_kbit) + 1 + captions) * playlist
    playlists += 2 * len(video_kbit) * min(listed, LONGEST) * SEGMENT_LINES_BYTES
    if captions:
        part_bytes, segment_bytes = longest_captions_bytes(timing)
        media += segments * segment_bytes
        media += math.ceil(part_seconds / timing.video.part_seconds) * part_bytes
    return media + parts * _PART_OVERHEAD_BYTES + playlists


def longest_captions_bytes(timing: Timing) -> tuple[int, int]:
    """Of a part of captions, and of a segment."""
    spans = (timing.video.part_seconds, timing.segment_seconds)
    part, segment = (most_cues(span) * LONGEST_CUE_BYTES + HEADER_BYTES for span in spans)
    return part, segment


def _parts_stay(timing: Timing) -> Fraction:
    """How long part files outlive their segment's end, in media time (rule 29).

    Listed for three target durations and up to one part more, then fetchable for three.
    """
    return 6 * timing.target_duration + timing.part_target


@dataclass(frozen=True, slots=True)
class Era:
    """From which msn on an init segment and a wall clock anchor hold."""

    first_msn: int
    anchor_ms: int  # wall time of media time zero, milliseconds since 1970 UTC
    run: str  # names the encoder run in every URI: a URI never gets other bytes


class Calendar:
    """The eras of a stream, shared by its renditions so that they change at the same msn (16)."""

    def __init__(self, first: Era, *, resumed: bool = False) -> None:
        self._eras = [first]
        self._broken = set() if not resumed else {first.first_msn}

    @property
    def newest(self) -> Era:
        """The era that holds for all later segments."""
        return self._eras[-1]

    def begin(self, era: Era) -> None:
        """Add an era. Its first segment carries EXT-X-DISCONTINUITY."""
        if era.first_msn <= self.newest.first_msn:
            self._eras[-1] = replace(era, first_msn=self.newest.first_msn)
        else:
            self._eras.append(era)
            self._broken.add(era.first_msn)

    def at(self, msn: int) -> Era:
        """The era a segment belongs to."""
        return next(
            era for era in reversed(self._eras) if era.first_msn <= msn or era is self._eras[0]
        )

    def starts_at(self, msn: int) -> bool:
        """Whether a segment is the first of an era, the first one of a new stream excepted."""
        return msn in self._broken


@dataclass(frozen=True)
class Layout:
    """What is the same for both renditions of a stream."""

    timing: Timing
    window_segments: int

    @cached_property
    def control(self) -> ServerControl:
        """The constant tags."""
        timing = self.timing
        window = self.window_segments * timing.segment_seconds
        return ServerControl(
            timing.target_duration,
            timing.hold_back,
            timing.part_target if timing.low_latency else None,
            timing.part_hold_back if timing.low_latency else None,
            # Offered only where something can ever be skipped.
            timing.can_skip_until if window > timing.can_skip_until else None,
        )


@dataclass(frozen=True, slots=True)
class Past:
    """What a crashed process listed in a rendition's playlist, to be listed on."""

    segments: tuple[SegmentEntry, ...] = ()
    discontinuity_sequence: int = 0  # of the first of them


class Rendition:
    """One rendition: reads fragmented MP4, publishes init, parts, segments and its playlist."""

    suffix = "m4s"
    version = VERSION  # of its playlist

    def __init__(
        self,
        name: str,
        track_timing: TrackTiming,
        layout: Layout,
        calendar: Calendar,
        store: StreamStore,
        past: Past = Past(),
        archive: Archive | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.name = name
        self.track: Track | None = None
        self.peers: list[Rendition] = []
        # Told of each segment when it is published: what else is made of the same samples.
        self.followers: list[Callable[[SegmentEntry, Segment], None]] = []
        # Told of all that was published, before our playlist reports how far they are (44).
        self.companions: list[Callable[[Iterable[Part | Segment]], None]] = []
        self._layout = layout
        self._calendar = calendar
        self._store = store
        first_msn = calendar.newest.first_msn
        is_video = name.startswith("v")
        self.segmenter = Segmenter(track_timing, first_msn, is_video=is_video)
        self.meter = RateMeter(layout.timing.target_duration, layout.window_segments)
        self.iframes = IFrames(layout.timing, past.discontinuity_sequence) if is_video else None
        self._timing = track_timing
        self._archive, self._recorder = archive, recorder
        self._window = Window(layout.control, past.segments)
        # The newest segments of the window, whose files are not yet handed to the archive.
        self._ours = deque(past.segments)
        self._current: SegmentEntry | None = None
        # Files that go when the media time reaches their instant: a heap, soonest first.
        self._kept: list[tuple[Fraction, str]] = []
        for part in (part for segment in past.segments for part in segment.parts):
            self._keep(part.uri, _parts_stay(layout.timing))
        self._discontinuity_sequence = past.discontinuity_sequence
        self._ended = False
        # Parts so far, their bytes, and the frame after the newest.
        self.parts = self.media_bytes = self.end_frame = 0
        for segment in past.segments:
            self._weigh_again(segment)

    @property
    def complete_segments(self) -> int:
        """How many complete segments the playlist lists."""
        return len(self._window)

    def newest(self, count: int) -> tuple[int, tuple[SegmentEntry, ...]]:
        """The newest segments of the playlist, and the discontinuity sequence of the first (17)."""
        older = self._window.older
        blocks = older.blocks if older else ()
        every = [entry for block in blocks for entry in block.entries]
        every += self._window.newest
        left_out = every[:-count]
        broken = sum(entry.discontinuity for entry in left_out)
        return self._discontinuity_sequence + broken, tuple(every[-count:])

    @property
    def unbegun_msn(self) -> int:
        """The first segment of which nothing was published, whose tags can still be chosen."""
        return self.segmenter.msn + (self._current is not None)

    @property
    def end_seconds(self) -> Fraction:
        """Media time up to which frames have come, those of a part in progress too."""
        return self._media_seconds()

    @property
    def listed_seconds(self) -> Fraction:
        """How long the playlist is."""
        return self._window.seconds

    @property
    def report(self) -> RenditionReport | None:
        """How far this rendition is, for the playlists of the others (rule 44)."""
        uri = f"../{self.name}/{PLAYLIST_NAME}"
        if self._current and self._current.parts:
            return RenditionReport(uri, self._current.msn, len(self._current.parts) - 1)
        last = self._window.last
        if last:
            return RenditionReport(uri, last.msn, len(last.parts) - 1 if last.parts else None)
        return None

    def set_init(self, data: bytes, track: Track, run: str) -> None:
        """Publish the init segment of an encoder run."""
        self._store.publish(f"{self.name}/{run}-init.mp4", data)
        self.track = track
        self.segmenter.codecs = track.codecs
        if self._recorder:
            self._recorder.init(self.name, f"{run}-init.mp4", data)

    def add(self, sample: Sample) -> None:
        """Take the next frame; publish what it completes."""
        self.publish(self.segmenter.add(sample))

    def end(self) -> None:
        """Publish what is pending and close the playlist with ENDLIST."""
        self.publish(self.segmenter.flush())
        self._ended = True
        self._publish_playlist()

    def publish(self, finished: Iterable[Part | Segment]) -> None:
        """Publish parts and segments, and the playlist that lists them."""
        changed, published = False, []
        for item in finished:
            published.append(item)
            if isinstance(item, Part):
                self._take_part(item)
                self.parts += 1
                self.media_bytes += len(item.data)
                self.end_frame = self.segmenter.next_frame
                changed = self._layout.timing.low_latency
            else:
                self._take_segment(item)
                changed = True
        if not published:  # nearly every frame
            return
        for accompany in self.companions:
            accompany(published)
        if changed:
            self._publish_playlist()
            self._evict()

    def _take_part(self, part: Part) -> None:
        self._require_lawful(part)
        if self._current is None:
            self._current = self._open_segment(part)
        if not self._layout.timing.low_latency:
            return
        uri = self._part_uri(part.msn, part.index)
        self._store.publish(f"{self.name}/{uri}", part.data)
        entry = PartEntry(uri, part.duration, part.independent)
        self._current = replace(self._current, parts=(*self._current.parts, entry))

    def _require_lawful(self, part: Part) -> None:
        """Refuse what would break a MUST before it is written (22, 23).

        Raises:
            StreamBroken: a part longer than the part target, or a short one that is not the last
                of its segment.
        """
        timing = self._layout.timing
        if not timing.low_latency:
            return
        if part.duration > timing.part_target:
            problem = f"part of {part.duration} s exceeds {timing.part_target} s"
            raise StreamBroken(problem, rule=22)
        is_short = part.duration < SHORTEST_PART * timing.part_target
        if is_short and not (part.independent or part.ends_segment):
            raise StreamBroken(f"part of {part.duration} s is too short", rule=23)

    def _open_segment(self, part: Part) -> SegmentEntry:
        era = self._calendar.at(part.msn)
        start_ms = Fraction(part.start_ticks * 1000, self._timing.timescale_hz)
        return SegmentEntry(
            msn=part.msn,
            uri="",
            duration=Fraction(),
            map_uri=self._map_uri(era),
            # Down, never up: hls.js places sound by its dates, and where a segment seems to end
            # after what was buffered of it, no part of the next is loaded before that is whole.
            wall_ms=era.anchor_ms + math.floor(start_ms),
            discontinuity=self._calendar.starts_at(part.msn),
        )

    def _take_segment(self, segment: Segment) -> None:
        assert self._current is not None
        if math.floor(segment.duration + Fraction(1, 2)) > self._layout.timing.target_duration:
            problem = f"segment of {segment.duration} s exceeds the target duration"
            raise StreamBroken(problem, rule=4)
        uri = f"{self._calendar.at(segment.msn).run}-{segment.msn}.{self.suffix}"
        self._store.publish(f"{self.name}/{uri}", segment.data)
        entry = replace(self._current, uri=uri, duration=segment.duration)
        for part in self._current.parts:
            self._keep(part.uri, _parts_stay(self._layout.timing))
        self._current = None
        if self._recorder:
            self._recorder.segment(self.name, entry, segment.data)
        self._window.append(entry)
        self._ours.append(entry)
        longest = self._layout.window_segments
        if self._archive:
            longest = self._hand_over(self._archive)
        while len(self._window) > longest and self._is_long_without_oldest():
            self._retire(self._window.popleft())
        self._window.note_length()
        self._weigh(entry, segment.data[:IDR_HEAD_BYTES], len(segment.data))
        for follow in self.followers:
            follow(entry, segment)

    def _hand_over(self, archive: Archive) -> int:
        """Older segments leave tmpfs; returns how many the playlist may list."""
        for name in archive.arrived():
            self._store.remove(name)
        while len(self._ours) > archive.live_segments:
            archive.take(f"{self.name}/{self._ours.popleft().uri}")
        return archive.live_segments if archive.is_short else self._layout.window_segments

    def _is_long_without_oldest(self) -> bool:
        """Rule 7: restarts may have left many short segments, and three TD must stay."""
        oldest = self._window.first
        left = self._window.seconds - (oldest.duration if oldest else 0)
        return left >= 3 * self._layout.timing.target_duration

    def _weigh_again(self, entry: SegmentEntry) -> None:
        """A segment of a dead process; what cannot be read any more is not worth a stream."""
        head, size = b"", 0
        with suppress(EncoderError):
            head, size = self._store.look(f"{self.name}/{entry.uri}", IDR_HEAD_BYTES)
        with suppress(EncoderError):
            self._weigh(entry, head, size)

    def _weigh(self, entry: SegmentEntry, head: bytes, size: int) -> None:
        if size:
            self.meter.add(Weight(8 * size, entry.duration))
        if self.iframes is not None:
            self.iframes.take(entry, head, size)

    def _retire(self, old: SegmentEntry) -> None:
        """A segment leaves the playlist; its file stays for rule 30."""
        stays = old.duration + self._window.longest_with(old.msn)
        self._discontinuity_sequence += old.discontinuity  # rule 17
        self._keep(old.uri, stays)
        following = self._window.first or self._current
        if following is None or following.map_uri != old.map_uri:
            self._keep(old.map_uri, stays)

    def _keep(self, uri: str, seconds: Fraction) -> None:
        heapq.heappush(self._kept, (self._media_seconds() + seconds, f"{self.name}/{uri}"))

    def _media_seconds(self) -> Fraction:
        return self.segmenter.next_frame * self._timing.frame_seconds

    def _evict(self) -> None:
        """Remove the files whose time is over."""
        now = self._media_seconds()
        while self._kept and self._kept[0][0] <= now:
            name = heapq.heappop(self._kept)[1]
            self._store.remove(name)
            if self._archive:
                self._archive.remove(name)

    def _publish_playlist(self) -> None:
        if not self._window:  # hls.js takes parts without a complete segment for an empty playlist
            return
        snapshot = self._snapshot()
        files: dict[str, bytes] = {}
        forms = Forms(snapshot)
        whole = forms.both()
        if snapshot.control.can_skip_until is not None:
            delta = forms.both(delta=True) if forms.has_delta else whole
            files |= both_forms(f"{self.name}/{DELTA_NAME}", *delta)
        if self.iframes is not None and (self._current is None or self._ended):
            text = self.iframes.render(snapshot).encode()
            files |= both_forms(f"{self.name}/{IFRAMES_NAME}", text, gzipped(text, deflated(text)))
        files |= both_forms(f"{self.name}/{PLAYLIST_NAME}", *whole)
        self._store.publish_together(files)

    def _snapshot(self) -> MediaPlaylist:
        reports = tuple(r for r in (peer.report for peer in self.peers) if r is not None)
        parts_open = len(self._current.parts) if self._current else 0
        return MediaPlaylist(
            control=self._layout.control,
            segments=self._window.newest,
            older=self._window.older,
            current=self._current,
            discontinuity_sequence=self._discontinuity_sequence,
            hint_uri=self._part_uri(self.segmenter.msn, parts_open),
            reports=reports,
            ended=self._ended,
            version=self.version,
        )

    def _part_uri(self, msn: int, index: int) -> str:
        return f"{self._calendar.at(msn).run}-{msn}.{index}.{self.suffix}"

    def _map_uri(self, era: Era) -> str:
        return f"{era.run}-init.mp4"
