"""Samples in, parts and segments out: pure arithmetic on frame ordinals (rules 5, 22, 23, 27)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from encoder.boxes import Sample, write_fragment
from encoder.codecs import is_random_access
from encoder.errors import StreamBroken
from encoder.timing import TrackTiming


@dataclass(frozen=True, slots=True)
class Part:
    """One CMAF chunk; the first of a video segment is two, its IDR apart (I-frame playlists)."""

    msn: int
    index: int
    start_ticks: int
    frames: int
    duration: Fraction  # seconds
    independent: bool  # starts with an IDR (rule 28); every AAC frame does
    ends_segment: bool  # and so may be short (rule 23)
    data: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """One whole segment: the concatenation of its parts, byte for byte (rule 27)."""

    msn: int
    start_ticks: int
    duration: Fraction  # seconds
    data: bytes
    samples: tuple[Sample, ...] = ()


class Segmenter:
    """Cuts one rendition. Frame ordinals count from the start of the stream's timeline."""

    def __init__(self, timing: TrackTiming, first_msn: int, *, is_video: bool) -> None:
        self._timing = timing
        self._first_msn = first_msn
        self._is_video = is_video
        self.codecs = "avc1"  # of the track, once its init segment is known
        self._sequence = 0
        self._next_frame = 0
        self._index = 0  # of the segment in progress, from 0
        self._end_frame = timing.segment_start(1)  # of that segment, not included
        self._samples: list[Sample] = []
        self._taken: list[Sample] = []  # of the whole segment
        self._parts: list[Part] = []

    @property
    def next_frame(self) -> int:
        """Ordinal of the next frame the timeline needs."""
        return self._next_frame

    @property
    def next_ticks(self) -> int:
        """Time of that frame."""
        return self._next_frame * self._timing.frame_ticks

    @property
    def msn(self) -> int:
        """Media sequence number of the segment in progress."""
        return self._first_msn + self._index

    @property
    def at_segment_start(self) -> bool:
        """Whether the next sample opens a segment."""
        return not self._samples and not self._parts

    def add(self, sample: Sample) -> Iterator[Part | Segment]:
        """Take the next frame; yield the part it completes, then the segment it completes.

        Raises:
            StreamBroken: its time does not continue the track (rule 54), or a video segment
                would not start with an IDR (rule 55). Nothing was published.
        """
        self._require_continuity(sample)
        self._samples.append(sample)
        self._next_frame += 1
        ends_segment = self._next_frame == self._end_frame
        if ends_segment or len(self._samples) == self._timing.part_frames:
            yield self._cut_part(ends_segment=ends_segment)
        if ends_segment:
            yield self._cut_segment()

    def flush(self) -> Iterator[Part | Segment]:
        """End of the stream: what is pending becomes a last, short part and segment."""
        if self._samples:
            yield self._cut_part(ends_segment=True)
        if self._parts:
            yield self._cut_segment()

    def _require_continuity(self, sample: Sample) -> None:
        if sample.dts_ticks != self.next_ticks:
            problem = f"frame at {sample.dts_ticks} ticks, expected {self.next_ticks}"
            raise StreamBroken(problem, rule=54)
        if (
            self._is_video
            and self.at_segment_start
            and not (sample.is_sync and is_random_access(self.codecs, sample.data))
        ):
            raise StreamBroken(f"segment {self.msn} does not start with an IDR", rule=55)

    def _cut_part(self, *, ends_segment: bool) -> Part:
        samples, self._samples = self._samples, []
        self._taken += samples
        part = Part(
            msn=self.msn,
            index=len(self._parts),
            start_ticks=samples[0].dts_ticks,
            frames=len(samples),
            duration=len(samples) * self._timing.frame_seconds,
            independent=samples[0].is_sync,
            ends_segment=ends_segment,
            data=self._write(samples),
        )
        self._parts.append(part)
        return part

    def _write(self, samples: list[Sample]) -> bytes:
        apart = 1 if self._is_video and not self._parts else 0
        chunks = []
        for run in filter(None, (samples[:apart], samples[apart:])):
            self._sequence += 1
            chunks.append(write_fragment(self._sequence, run, self._timing.frame_ticks))
        return b"".join(chunks)

    def _cut_segment(self) -> Segment:
        parts, self._parts = self._parts, []
        samples, self._taken = tuple(self._taken), []
        segment = Segment(
            msn=self.msn,
            start_ticks=parts[0].start_ticks,
            duration=sum((part.duration for part in parts), Fraction()),
            data=b"".join(part.data for part in parts),
            samples=samples,
        )
        self._index += 1
        self._end_frame = self._timing.segment_start(self._index + 1)
        return segment
