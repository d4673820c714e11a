"""Init segments and fragments as a player's demuxer would read them (rules 52 to 59).

Reads more than our own encoder writes (several tracks, composition offsets, edit lists), since it
judges foreign media too. Damaged bytes raise :class:`encoder.errors.BadBox`, nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from encoder.boxes import Box, BoxStream, children, find, unpack
from encoder.codecs import read_moov
from encoder.errors import BadBox

_BASE_IS_MOOF, _NON_SYNC = 0x20000, 0x10000
_VISUAL_ENTRY_BYTES, _STSD_FIELDS_BYTES = 78, 8
_NAL_SPS = 7


@dataclass(frozen=True, slots=True)
class InitTrack:
    """One trak and its trex."""

    track_id: int
    kind: str  # 'vide', 'soun' or what hdlr says
    timescale_hz: int
    default_duration: int
    default_size: int
    default_flags: int


@dataclass(frozen=True, slots=True)
class Init:
    """An init segment."""

    kinds: tuple[str, ...]  # of its top-level boxes
    tracks: tuple[InitTrack, ...]
    entry: str  # sample entry of the first track
    codecs: str  # RFC 6381; empty where we cannot tell
    width: int
    height: int
    sps: tuple[bytes, ...]  # of the avcC
    has_mvex: bool
    durations: tuple[str, ...]  # boxes with a duration that is not 0
    samples: int  # listed in stts and stsz
    edits: tuple[str, ...]  # edit lists that shift the media

    @property
    def is_video(self) -> bool:
        """Whether its first track is pictures."""
        return self.tracks[0].kind == "vide"

    @property
    def timescale_hz(self) -> int:
        """Of its first track."""
        return self.tracks[0].timescale_hz


@dataclass(frozen=True, slots=True)
class Frame:
    """One sample."""

    dts_ticks: int
    duration_ticks: int
    cts_ticks: int
    is_sync: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Run:
    """One traf."""

    track_id: int
    tfdt_ticks: int | None
    base_is_moof: bool
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Fragments:
    """A part or a segment: what its moofs and mdats hold."""

    runs: tuple[Run, ...]
    stray_bytes: int  # of an mdat that belong to no sample

    def of(self, track_id: int) -> tuple[Run, ...]:
        """The runs of one track."""
        return tuple(run for run in self.runs if run.track_id == track_id)

    def frames(self, track_id: int) -> tuple[Frame, ...]:
        """All samples of one track."""
        return tuple(frame for run in self.of(track_id) for frame in run.frames)


def seconds(frames: tuple[Frame, ...], timescale_hz: int) -> Fraction:
    """What the samples last."""
    return Fraction(sum(frame.duration_ticks for frame in frames), timescale_hz)


# --- init segments ------------------------------------------------------------------------------


def read_init(data: bytes) -> Init:
    """Read an init segment.

    Raises:
        BadBox: it is none.
    """
    top = _top_boxes(data)
    moov = next((box for box in top if box.kind == "moov"), None)
    if moov is None:
        raise BadBox("moov", len(data), "is missing in the init segment")
    traks = [box for box in children(moov) if box.kind == "trak"]
    if not traks:
        raise BadBox("moov", moov.offset, "has no track")
    mvex = next((box for box in children(moov) if box.kind == "mvex"), None)
    entry = _sample_entry(traks[0])
    codecs, width, height = _codecs(moov)
    return Init(
        kinds=tuple(box.kind for box in top),
        tracks=tuple(_track(trak, mvex) for trak in traks),
        entry=entry.kind,
        codecs=codecs,
        width=width,
        height=height,
        sps=_sps_of_avcc(entry),
        has_mvex=mvex is not None,
        durations=tuple(_durations(moov, traks)),
        samples=sum(_listed_samples(trak) for trak in traks),
        edits=tuple(edit for trak in traks for edit in _edits(trak)),
    )


def _top_boxes(data: bytes) -> list[Box]:
    boxes = list(BoxStream().feed(data))
    read = sum(len(box.raw) for box in boxes)
    if read != len(data):
        raise BadBox("?", read, f"{len(data) - read} bytes are no whole box")
    return boxes


def _optional(box: Box, path: str) -> Box | None:
    try:
        return find(box, path)
    except BadBox:
        return None


def _track(trak: Box, mvex: Box | None) -> InitTrack:
    tkhd = find(trak, "tkhd")
    track_id = unpack("I", tkhd, 20 if _version(tkhd) else 12)[0]
    mdhd = find(trak, "mdia/mdhd")
    timescale_hz = unpack("I", mdhd, 20 if _version(mdhd) else 12)[0]
    if not timescale_hz:
        raise BadBox("mdhd", mdhd.offset, "has a timescale of 0")
    hdlr = find(trak, "mdia/hdlr")
    hdlr.require(12)
    kind = bytes(hdlr.payload[8:12]).decode("latin-1")
    trexes = [unpack("6I", box) for box in children(mvex) if box.kind == "trex"] if mvex else []
    defaults = next((row[3:] for row in trexes if row[1] == track_id), (0, 0, 0))
    return InitTrack(track_id, kind, timescale_hz, *defaults)


def _version(box: Box) -> int:
    return unpack("B", box)[0]


def _sample_entry(trak: Box) -> Box:
    stsd = find(trak, "mdia/minf/stbl/stsd")
    entry = next(children(stsd, _STSD_FIELDS_BYTES), None)
    if entry is None:
        raise BadBox("stsd", stsd.offset, "has no sample entry")
    return entry


def _codecs(moov: Box) -> tuple[str, int, int]:
    try:
        track = read_moov(moov)
    except BadBox:  # a codec we do not stream ourselves
        return "", 0, 0
    return track.codecs, track.width, track.height


def _sps_of_avcc(entry: Box) -> tuple[bytes, ...]:
    if entry.kind not in ("avc1", "avc3"):
        return ()
    config = find_in_entry(entry, "avcC")
    if config is None or len(config.payload) < 7:
        return ()
    payload, at, found = bytes(config.payload), 6, []
    for _ in range(payload[5] & 0x1F):
        size = int.from_bytes(payload[at : at + 2], "big")
        found.append(payload[at + 2 : at + 2 + size])
        at += 2 + size
    return tuple(found)


def find_in_entry(entry: Box, kind: str) -> Box | None:
    """A box inside a visual sample entry."""
    return next((box for box in children(entry, _VISUAL_ENTRY_BYTES) if box.kind == kind), None)


def _durations(moov: Box, traks: list[Box]) -> Iterator[str]:
    """Rule 52: boxes whose duration is not 0."""
    places = [("mvhd", find(moov, "mvhd"), 16, 24)]
    for trak in traks:
        places.append(("tkhd", find(trak, "tkhd"), 20, 28))
        places.append(("mdhd", find(trak, "mdia/mdhd"), 16, 24))
    for name, box, narrow, wide in places:
        is_wide = _version(box)
        duration = unpack("Q" if is_wide else "I", box, wide if is_wide else narrow)[0]
        unknown = 2**64 - 1 if is_wide else 2**32 - 1
        if duration not in (0, unknown):
            yield f"{name} says {duration}"


def _listed_samples(trak: Box) -> int:
    total = 0
    for path, at in (("mdia/minf/stbl/stts", 4), ("mdia/minf/stbl/stsz", 8)):
        table = _optional(trak, path)
        total += unpack("I", table, at)[0] if table else 0
    return total


def _edits(trak: Box) -> Iterator[str]:
    """Rule 57: an edit that starts elsewhere than at media time 0."""
    elst = _optional(trak, "edts/elst")
    if elst is None:
        return
    wide = _version(elst)
    row = "QqI" if wide else "IiI"
    (count,) = unpack("I", elst, 4)
    for index in range(min(count, 16)):
        _duration, media_time, _rate = unpack(row, elst, 8 + index * struct.calcsize(">" + row))
        if media_time != 0:
            yield f"edit {index} starts at media time {media_time}"


# --- fragments ----------------------------------------------------------------------------------


def read_fragments(data: bytes, init: Init) -> Fragments:
    """Read a part or a segment.

    Raises:
        BadBox: it is none.
    """
    runs: list[Run] = []
    stray = 0
    boxes = _top_boxes(data)
    for index, moof in enumerate(boxes):
        if moof.kind != "moof":
            continue
        mdat = boxes[index + 1] if index + 1 < len(boxes) else None
        if mdat is None or mdat.kind != "mdat":
            raise BadBox("moof", moof.offset, "has no mdat behind it")
        found = [_run(traf, moof, mdat, init) for traf in children(moof) if traf.kind == "traf"]
        runs += found
        used = sum(len(frame.data) for run in found for frame in run.frames)
        stray += len(mdat.payload) - used
    if not runs:
        raise BadBox("moof", 0, "is missing")
    return Fragments(tuple(runs), stray)


def read_key_frame(data: bytes, init: Init) -> tuple[Frame, int]:
    """The first sample of an I-frame range, and how many bytes of the range follow it.

    The range may end in the middle of its mdat: other packagers cut it behind the key frame.

    Raises:
        BadBox: it does not begin with a moof, or the sample is not all there.
    """
    moof = next(BoxStream().feed(data), None)
    if moof is None or moof.kind != "moof":
        raise BadBox(moof.kind if moof else "?", 0, "is where a moof should be")
    rest = memoryview(data)[len(moof.raw) :]
    if bytes(rest[4:8]) != b"mdat":
        raise BadBox("moof", 0, "has no mdat behind it")
    mdat = Box("mdat", len(moof.raw), rest[8:], rest)
    traf = find(moof, "traf")
    tfhd, trun = find(traf, "tfhd"), find(traf, "trun")
    flags, _track = unpack("2I", tfhd)
    defaults = _defaults(tfhd, flags, init.tracks[0])
    start = unpack("Q" if _version(tfdt := find(traf, "tfdt")) else "I", tfdt, 4)[0]
    frame = next(_trun(trun, start, defaults, 0, len(moof.raw), mdat), None)
    if frame is None:
        raise BadBox("trun", trun.offset, "lists no sample")
    return frame, len(mdat.payload) - len(frame.data)


def _run(traf: Box, moof: Box, mdat: Box, init: Init) -> Run:
    tfhd = find(traf, "tfhd")
    flags, track_id = unpack("2I", tfhd)
    track = next((t for t in init.tracks if t.track_id == track_id), init.tracks[0])
    defaults = _defaults(tfhd, flags, track)
    base = unpack("Q", tfhd, 8)[0] - moof.offset if flags & 1 else 0
    tfdt = _optional(traf, "tfdt")
    start = unpack("Q" if _version(tfdt) else "I", tfdt, 4)[0] if tfdt else None
    frames: list[Frame] = []
    for trun in children(traf):
        if trun.kind == "trun":
            dts = frames[-1].dts_ticks + frames[-1].duration_ticks if frames else start or 0
            frames += _trun(trun, dts, defaults, base, len(moof.raw), mdat)
    return Run(track_id, start, bool(flags & _BASE_IS_MOOF), tuple(frames))


def _defaults(tfhd: Box, flags: int, track: InitTrack) -> tuple[int, int, int]:
    at = 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    values = []
    inherited = (track.default_duration, track.default_size, track.default_flags)
    for bit, value in zip((0x8, 0x10, 0x20), inherited, strict=True):
        if flags & bit:
            value, at = unpack("I", tfhd, at)[0], at + 4
        values.append(value)
    return values[0], values[1], values[2]


def _trun(
    trun: Box, dts: int, defaults: tuple[int, int, int], base: int, moof_bytes: int, mdat: Box
) -> Iterator[Frame]:
    flags, count = unpack("2I", trun)
    at = 8
    media = moof_bytes + len(mdat.raw) - len(mdat.payload)  # where the mdat's payload begins
    place = 0
    if flags & 0x1:
        place, at = base + unpack("i", trun, at)[0] - media, at + 4
    first_flags = None
    if flags & 0x4:
        first_flags, at = unpack("I", trun, at)[0], at + 4
    for index in range(count):
        values = list(defaults)
        for field, bit in enumerate((0x100, 0x200, 0x400)):
            if flags & bit:
                values[field], at = unpack("I", trun, at)[0], at + 4
        cts = 0
        if flags & 0x800:
            cts, at = unpack("i" if _version(trun) else "I", trun, at)[0], at + 4
        duration, size, own = values
        if index == 0 and first_flags is not None:
            own = first_flags
        if not size:  # a damaged count would give millions of empty samples
            raise BadBox("trun", trun.offset, "has a sample of no bytes")
        if place < 0 or place + size > len(mdat.payload):
            raise BadBox("trun", trun.offset, f"{size} bytes at {place} leave the mdat")
        data = bytes(mdat.payload[place : place + size])
        yield Frame(dts, duration, cts, not own & _NON_SYNC, data)
        dts, place = dts + duration, place + size


def in_band_sps(sample: bytes) -> Iterator[bytes]:
    """The SPS NAL units of an AVC sample (4-byte NAL lengths)."""
    at = 0
    while at + 4 < len(sample):
        size = int.from_bytes(sample[at : at + 4], "big")
        if sample[at + 4] & 0x1F == _NAL_SPS:
            yield sample[at + 4 : at + 4 + size]
        at += 4 + size
