"""ffmpeg's fragmented MP4 on a pipe, read as one init segment and a stream of samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

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

# Both outputs are shifted by this much (-output_ts_offset), so that the AAC priming, which lies
# before the first sample, has a time above zero: below, ffmpeg wraps it to 2^64 - 1024.
TIMESTAMP_OFFSET_SECONDS = 10
# styp: segment type; prft: wall clock stamps; sidx and free carry nothing we need.
_SKIPPED = frozenset({"styp", "prft", "sidx", "free", "mfra"})


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
        self._shift = self._base_ticks - TIMESTAMP_OFFSET_SECONDS * track.timescale_hz
        return Init(self._ftyp + bytes(moov.raw), track)

    def _read_mdat(self, mdat: Box) -> Iterator[Sample]:
        if self._moof is None or self._defaults is None:
            raise BadBox("mdat", mdat.offset, "comes before its moof or before any moov")
        moof, self._moof = self._moof, None
        for sample in read_fragment(moof, mdat, self._defaults):
            yield replace(sample, dts_ticks=sample.dts_ticks + self._shift)
