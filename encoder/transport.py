"""Plain HLS of MPEG-TS beside the fMP4 renditions: the same encode, segments with the same msn.

A segment is written when both its pictures and its sound are complete. Old players and televisions
find it through a multivariant playlist of its own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction

from encoder.boxes import Box, BoxStream, Sample, read_fragment, read_sample_defaults
from encoder.codecs import read_init
from encoder.elementary import ADTS_BYTES, Adts, annex_b, parameter_sets
from encoder.errors import EncoderError, StoreUnwritable
from encoder.mpegts import AUDIO_PID, CLOCK_HZ, PACKET_BYTES, VIDEO_PID, TsMuxer, Unit
from encoder.packager import (
    PLAYLIST_NAME,
    RATE_HEADROOM,
    SEGMENT_LINES_BYTES,
    Layout,
    Rendition,
)
from encoder.playlist import (
    TS_VERSION,
    MediaPlaylist,
    SegmentEntry,
    ServerControl,
    render_media_playlist,
)
from encoder.publish import publish_text
from encoder.rates import RateMeter, Rates, Weight
from encoder.segmenter import Segment
from encoder.store import StreamStore
from encoder.timing import Timing

TS_MULTIVARIANT_NAME = "ts.m3u8"
# Frames of sound share a PES packet for about so long: alone, each would fill up two packets.
_SOUND_SECONDS = Fraction(1, 10)
_INIT_BYTES = 1 << 16


def ts_name(rendition: str) -> str:
    """The folder beside a video rendition: t0 for v0."""
    return "t" + rendition[1:]


def ts_overhead(timing: Timing) -> int:
    """The most bits a second that the transport stream adds to samples, 188 for 184 excepted.

    For each picture a PES header (14), a delimiter (6), a clock reference (8) and stuffing; for
    each PES packet of sound a header and stuffing, and the header of each frame; tables.
    """
    together = _frames_together(timing)
    frames = 1 / timing.audio.frame_seconds
    pictures = timing.fps * (28 + 184)
    sound = frames / together * (14 + 184) + frames * ADTS_BYTES
    tables = 2 * 184 / timing.segment_seconds + 64 / timing.segment_seconds
    return int(8 * (pictures + sound + tables)) + 1


def ts_bound(video: Rates, audio: Rates, timing: Timing) -> Rates:
    """What a muxed segment can weigh, by what its samples can."""
    samples, more = video + audio, ts_overhead(timing)
    return Rates(*((rate + more) * PACKET_BYTES // 184 for rate in (samples.peak, samples.average)))


def ts_disk_bound_bytes(
    timing: Timing, window_segments: int, video_kbit: Sequence[int], audio_kbit: int
) -> int:
    """The most that these renditions may hold on tmpfs, as ``disk_bound_bytes`` counts.

    Args:
        timing: of the stream.
        window_segments: complete segments in a playlist.
        video_kbit: rate of each rung of the ladder.
        audio_kbit: rate of the sound, which each of them carries.
    """
    seconds = (2 * window_segments + 2) * timing.segment_seconds
    kbit = sum(video_kbit) + len(video_kbit) * (audio_kbit + ts_overhead(timing) // 1000 + 1)
    media = math.ceil(seconds * kbit * 125 * RATE_HEADROOM * PACKET_BYTES / 184)
    playlists = 2 * len(video_kbit) * window_segments * SEGMENT_LINES_BYTES
    return media + playlists


def _frames_together(timing: Timing) -> int:
    return max(1, int(_SOUND_SECONDS / timing.audio.frame_seconds))


@dataclass(slots=True)
class Halves:
    """The pictures and the sound of one segment, as they come."""

    pictures: tuple[SegmentEntry, Sequence[Sample]] | None = None
    sound: tuple[SegmentEntry, Sequence[Sample]] | None = None


@dataclass(slots=True)
class TsRendition:
    """The muxed media playlist of one rung.

    Args:
        video: the rung.
        audio: the sound.
        layout: of the stream.
        store: of the stream.
    """

    video: Rendition
    audio: Rendition
    layout: Layout
    store: StreamStore
    name: str = field(init=False)
    meter: RateMeter = field(init=False)
    _muxer: TsMuxer = field(default_factory=TsMuxer)
    _halves: dict[int, Halves] = field(default_factory=dict)
    _window: deque[SegmentEntry] = field(default_factory=deque)
    _kept: deque[tuple[Fraction, str]] = field(default_factory=deque)
    _discontinuity_sequence: int = 0

    def __post_init__(self) -> None:
        timing = self.layout.timing
        self.name = ts_name(self.video.name)
        self.meter = RateMeter(timing.target_duration, self.layout.window_segments)

    def start(self) -> None:
        """Take over what a crashed process listed, and follow the two renditions."""
        count = self.layout.window_segments
        self._discontinuity_sequence, listed = self.video.newest(count)
        sounds = {entry.msn: entry for entry in self.audio.newest(count + 1)[1]}
        for entry in listed:
            self._list(self._taken_over(entry, sounds.get(entry.msn)))
        if self._window:
            self._publish(ended=False)
        self.video.followers.append(self._take_pictures)
        self.audio.followers.append(self._take_sound)

    @property
    def complete_segments(self) -> int:
        """How many segments the playlist lists."""
        return len(self._window)

    def end(self) -> None:
        """Write what has pictures, and close the playlist with ENDLIST."""
        for msn in sorted(self._halves):
            halves = self._halves.pop(msn)
            if halves.pictures is not None:
                self._mux(*halves.pictures, halves.sound)
        if self._window:
            self._publish(ended=True)

    def _take_pictures(self, entry: SegmentEntry, segment: Segment) -> None:
        halves = self._halves.setdefault(entry.msn, Halves())
        halves.pictures = entry, segment.samples
        self._mux_if_whole(entry.msn, halves)

    def _take_sound(self, entry: SegmentEntry, segment: Segment) -> None:
        halves = self._halves.setdefault(entry.msn, Halves())
        halves.sound = entry, segment.samples
        self._mux_if_whole(entry.msn, halves)

    def _mux_if_whole(self, msn: int, halves: Halves) -> None:
        if halves.pictures is not None and halves.sound is not None:
            del self._halves[msn]
            self._mux(*halves.pictures, halves.sound)
            self._publish(ended=False)

    def _mux(
        self,
        entry: SegmentEntry,
        pictures: Sequence[Sample],
        sound: tuple[SegmentEntry, Sequence[Sample]] | None,
    ) -> None:
        units = self._picture_units(entry, pictures)
        units += self._sound_units(*sound) if sound is not None else []
        data = self._muxer.segment(units, is_break=entry.discontinuity)
        listed = _as_ts(entry)
        self.store.publish(f"{self.name}/{listed.uri}", data)
        self._list(listed)

    def _list(self, entry: SegmentEntry) -> None:
        self._window.append(entry)
        if not entry.gap:
            with suppress(StoreUnwritable):
                _head, size = self.store.look(f"{self.name}/{entry.uri}", 0)
                self.meter.add(Weight(8 * size, entry.duration))
        while len(self._window) > self.layout.window_segments:
            self._retire(self._window.popleft())

    def _retire(self, old: SegmentEntry) -> None:
        """A segment leaves the playlist; its file stays for rule 30."""
        now = self._media_seconds()
        window = sum((entry.duration for entry in self._window), Fraction())
        self._discontinuity_sequence += old.discontinuity
        self._kept.append((now + old.duration + window, f"{self.name}/{old.uri}"))
        while self._kept and self._kept[0][0] <= now:
            self.store.remove(self._kept.popleft()[1])

    def _media_seconds(self) -> Fraction:
        frame = self.layout.timing.video.frame_seconds
        return self.video.segmenter.next_frame * frame

    def _publish(self, *, ended: bool) -> None:
        timing = self.layout.timing
        playlist = MediaPlaylist(
            ServerControl(timing.target_duration, timing.hold_back, None, None),
            tuple(self._window),
            discontinuity_sequence=self._discontinuity_sequence,
            ended=ended,
            version=TS_VERSION,
        )
        text = render_media_playlist(playlist)
        publish_text(self.store, f"{self.name}/{PLAYLIST_NAME}", text)

    # --- samples --------------------------------------------------------------------------------

    def _moov(self, rendition: str, entry: SegmentEntry) -> Box:
        head, _size = self.store.look(f"{rendition}/{entry.map_uri}", _INIT_BYTES)
        return read_init(head)[1]

    def _picture_units(self, entry: SegmentEntry, samples: Sequence[Sample]) -> list[Unit]:
        sets = parameter_sets(self._moov(self.video.name, entry))
        scale = self.layout.timing.video.timescale_hz
        return [
            Unit(VIDEO_PID, _clock(s.dts_ticks, scale), annex_b(s.data, sets), s.is_sync)
            for s in samples
        ]

    def _sound_units(self, entry: SegmentEntry, samples: Sequence[Sample]) -> list[Unit]:
        adts = Adts.read(self._moov(self.audio.name, entry))
        scale = self.layout.timing.audio.timescale_hz
        together = _frames_together(self.layout.timing)
        runs = [samples[at : at + together] for at in range(0, len(samples), together)]
        return [
            Unit(
                AUDIO_PID,
                _clock(run[0].dts_ticks, scale),
                b"".join(adts.frame(sample.data) for sample in run),
            )
            for run in runs
        ]

    # --- taking over ----------------------------------------------------------------------------

    def _taken_over(self, entry: SegmentEntry, sound: SegmentEntry | None) -> SegmentEntry:
        """A segment of a crashed process: its file, or one made of the fMP4 it left, or a gap."""
        listed = _as_ts(entry)
        name = f"{self.name}/{listed.uri}"
        self.store.adopt(name)
        with suppress(EncoderError):
            self.store.look(name, 0)
            return listed
        with suppress(EncoderError, OSError):
            if not entry.gap and sound is not None and not sound.gap:
                units = self._picture_units(entry, self._samples(self.video.name, entry))
                units += self._sound_units(sound, self._samples(self.audio.name, sound))
                self.store.publish(name, self._muxer.segment(units, is_break=True))
                return listed
        return replace(listed, gap=True)

    def _samples(self, rendition: str, entry: SegmentEntry) -> list[Sample]:
        defaults = read_sample_defaults(self._moov(rendition, entry))
        data = (self.store.folder / rendition / entry.uri).read_bytes()
        boxes = list(BoxStream().feed(data))
        pairs = zip(boxes[::2], boxes[1::2], strict=True)
        return [sample for moof, mdat in pairs for sample in read_fragment(moof, mdat, defaults)]


def _as_ts(entry: SegmentEntry) -> SegmentEntry:
    return replace(entry, uri=entry.uri.removesuffix(".m4s") + ".ts", map_uri="", parts=())


def _clock(ticks: int, timescale_hz: int) -> int:
    return ticks * CLOCK_HZ // timescale_hz
