"""ffmpeg's fragmented MP4 on a pipe, read as one init segment and a stream of samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from encoder.boxes import (
    Box,
    BoxStream,
    Sample,
    SampleDefaults,
    children,
    find,
    read_fragment,
    read_sample_defaults,
)
from encoder.codecs import Track, read_moov
from encoder.errors import BadBox
from encoder.fragment_shape import FragmentShape, shape_of

# Both outputs are shifted by this much (-output_ts_offset), so that the AAC priming, which lies
# before the first sample, has a time above zero: below, ffmpeg wraps it to 2^64 - 1024.
TIMESTAMP_OFFSET_SECONDS = 10
# styp: segment type; prft: wall clock stamps; sidx and free carry nothing we need.
_SKIPPED = frozenset({"styp", "prft", "sidx", "free", "mfra"})
# Those of a track differ as key frames do from others; of more than these none is remembered.
_SHAPES_KEPT = 4


@dataclass(frozen=True, slots=True)
class Init:
    """An init segment as published: ftyp and moov, no samples, no edit list (52, 57)."""

    data: bytes
    track: Track


class FragmentReader:
    """Feed it what the pipe gives; it yields one :class:`Init`, then samples.

    Sample times are shifted so that the run's first input frame or PCM sample is at ``base_ticks``;
    AAC priming comes out before it.
    """

    def __init__(self, base_ticks: int) -> None:
        self._base_ticks = base_ticks
        self._boxes = BoxStream()
        self._ftyp = b""
        self._defaults: SampleDefaults | None = None
        self._shift = 0
        self._moof: Box | None = None
        self._shapes: dict[int, FragmentShape] = {}  # by size of the moof

    def feed(self, data: bytes) -> Iterator[Init | Sample]:
        """Take some bytes.

        Raises:
            BadBox: not the fragmented MP4 that was asked for; nothing after it is read.
        """
        for box in self._boxes.feed(data):
            if box.kind == "ftyp":
                self._ftyp = bytes(box.raw)
            elif box.kind == "moov":
                yield self._read_moov(box)
            elif box.kind == "moof":
                self._moof = box
            elif box.kind == "mdat":
                yield from self._read_mdat(box)
            elif box.kind not in _SKIPPED:
                raise BadBox(box.kind, box.offset, "is no box of a fragmented MP4")

    def _read_moov(self, moov: Box) -> Init:
        for child in children(find(moov, "trak")):
            if child.kind == "edts":
                raise BadBox("edts", child.offset, "is an edit list; players disagree on those")
        track = read_moov(moov)
        self._defaults = read_sample_defaults(moov)
        self._shapes.clear()  # they hold the old defaults
        self._shift = self._base_ticks - TIMESTAMP_OFFSET_SECONDS * track.timescale_hz
        return Init(self._ftyp + bytes(moov.raw), track)

    def _read_mdat(self, mdat: Box) -> Iterator[Sample]:
        if self._moof is None or self._defaults is None:
            raise BadBox("mdat", mdat.offset, "comes before its moof or before any moov")
        moof, self._moof = self._moof, None
        shape = self._shapes.get(len(moof.raw))
        sample = shape.read(moof, mdat) if shape else None
        if sample is not None:
            yield self._shifted(sample)
            return
        yield from map(self._shifted, read_fragment(moof, mdat, self._defaults))
        if shape or len(self._shapes) < _SHAPES_KEPT:
            self._remember(shape_of(moof, self._defaults))

    def _shifted(self, sample: Sample) -> Sample:
        return Sample(sample.dts_ticks + self._shift, sample.is_sync, sample.data)

    def _remember(self, shape: FragmentShape | None) -> None:
        if shape is not None:
            self._shapes[shape.size] = shape
