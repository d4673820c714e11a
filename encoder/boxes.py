"""A small ISO BMFF (ISO/IEC 14496-12) reader and writer: what fragmented MP4 on a pipe needs."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from encoder.errors import BadBox

HEADER_BYTES = 8
# One frame of 4096x4096 video stays far below; a larger size field is damage, not media.
MAX_BOX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Box:
    """One box. ``offset`` is where it began in the stream; ``payload`` follows its header."""

    kind: str
    offset: int
    payload: memoryview
    raw: memoryview

    def require(self, count: int) -> None:
        """Check that the payload has ``count`` bytes.

        Raises:
            BadBox: it is shorter.
        """
        if len(self.payload) < count:
            raise BadBox(self.kind, self.offset, f"needs {count} bytes, has {len(self.payload)}")


class BoxStream:
    """Cuts a byte stream into top-level boxes, whatever the size of the pieces it is fed."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._offset = 0

    def feed(self, data: bytes) -> Iterator[Box]:
        """Take some bytes; yield each box that is now complete.

        Raises:
            BadBox: an impossible size or type.
        """
        self._pending += data
        while len(self._pending) >= HEADER_BYTES:
            size = _box_size(self._pending, self._offset)
            if len(self._pending) < size:
                return
            raw = memoryview(bytes(self._pending[:size]))
            kind, start = _kind_and_header(raw, self._offset)
            yield Box(kind, self._offset, raw[start:], raw)
            del self._pending[:size]
            self._offset += size


def children(box: Box, skip: int = 0) -> Iterator[Box]:
    """Yield the boxes inside a box, after ``skip`` bytes of its own fields.

    Raises:
        BadBox: a child reaches beyond its parent.
    """
    box.require(skip)
    rest, offset = box.payload[skip:], box.offset + len(box.raw) - len(box.payload) + skip
    while len(rest):
        if len(rest) < HEADER_BYTES:
            raise BadBox(box.kind, offset, f"{len(rest)} stray bytes at its end")
        size = _box_size(rest, offset)
        if size > len(rest):
            raise BadBox(box.kind, offset, f"a child of {size} bytes in {len(rest)}")
        kind, start = _kind_and_header(rest, offset)
        yield Box(kind, offset, rest[start:size], rest[:size])
        rest, offset = rest[size:], offset + size


def find(box: Box, path: str, skip: int = 0) -> Box:
    """The first descendant along a path such as ``"trak/mdia/mdhd"``.

    Raises:
        BadBox: there is none.
    """
    head, _, tail = path.partition("/")
    for child in children(box, skip):
        if child.kind == head:
            return find(child, tail) if tail else child
    raise BadBox(box.kind, box.offset, f"has no {head}")


def unpack(layout: str, box: Box, at: int = 0) -> tuple[int, ...]:
    """``struct.unpack_from`` on a payload, big-endian.

    Raises:
        BadBox: the payload is too short.
    """
    box.require(at + struct.calcsize(">" + layout))
    return struct.unpack_from(">" + layout, box.payload, at)


def box(kind: str, *parts: bytes | bytearray | memoryview) -> bytes:
    """Write one box around the given bytes."""
    body = b"".join(parts)
    return struct.pack(">I4s", HEADER_BYTES + len(body), kind.encode("ascii")) + body


def full_box(kind: str, version: int, flags: int, *parts: bytes) -> bytes:
    """Write one box with a version and 24 bits of flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _box_size(data: bytearray | memoryview, offset: int) -> int:
    size: int = struct.unpack_from(">I", data)[0]
    if size == 1 and len(data) >= 16:  # 64-bit size
        size = struct.unpack_from(">Q", data, HEADER_BYTES)[0]
        smallest = 16
    else:
        smallest = 16 if size == 1 else HEADER_BYTES
        size = 16 if size == 1 else size
    if not smallest <= size <= MAX_BOX_BYTES:
        raise BadBox("?", offset, f"size {size}: must be {smallest} to {MAX_BOX_BYTES}")
    return size


def _kind_and_header(raw: memoryview, offset: int) -> tuple[str, int]:
    name = bytes(raw[4:8])
    if not (name.isascii() and (kind := name.decode("ascii")).isprintable()):
        raise BadBox("?", offset, f"type {name!r} is not four printable characters")
    return kind, 16 if bytes(raw[:4]) == b"\0\0\0\1" else HEADER_BYTES


# --- fragments ----------------------------------------------------------------------------------

SYNC_FLAGS = 0x02000000  # sample_depends_on = 2: nothing
DEPENDENT_FLAGS = 0x01010000  # depends on others, is no sync sample
NON_SYNC = 0x00010000

TFHD_BASE_OFFSET, TFHD_DESCRIPTION = 0x1, 0x2
TFHD_DURATION, TFHD_SIZE, TFHD_FLAGS, TFHD_BASE_IS_MOOF = 0x8, 0x10, 0x20, 0x20000
TRUN_OFFSET, TRUN_FIRST_FLAGS = 0x1, 0x4
TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_CTS = 0x100, 0x200, 0x400, 0x800


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded frame. ``dts_ticks`` is on the track's timescale."""

    dts_ticks: int
    is_sync: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class SampleDefaults:
    """What holds for the samples that do not say it themselves (``trex``, then ``tfhd``)."""

    duration: int
    size: int
    flags: int


def read_sample_defaults(moov: Box) -> SampleDefaults:
    """Read ``mvex/trex`` of a one-track file.

    Raises:
        BadBox: there is none: not a fragmented file.
    """
    _version, _track, _description, *defaults = unpack("6I", find(moov, "mvex/trex"))
    return SampleDefaults(*defaults)


def read_fragment(moof: Box, mdat: Box, defaults: SampleDefaults) -> list[Sample]:
    """The samples of one moof and the mdat behind it, of one track.

    Raises:
        BadBox: a size or an offset that does not fit, or a composition offset (we encode
            without B-frames: decoding order is display order).
    """
    traf = find(moof, "traf")
    defaults = _read_tfhd(find(traf, "tfhd"), defaults)
    tfdt = find(traf, "tfdt")
    wide = unpack("I", tfdt)[0] >> 24
    (dts,) = unpack("Q" if wide else "I", tfdt, 4)
    mdat_start = len(moof.raw) + len(mdat.raw) - len(mdat.payload)
    return list(_read_trun(find(traf, "trun"), dts, defaults, mdat_start, mdat.payload))


def _read_tfhd(tfhd: Box, defaults: SampleDefaults) -> SampleDefaults:
    flags, _track = unpack("2I", tfhd)
    at = 8 + 8 * bool(flags & TFHD_BASE_OFFSET) + 4 * bool(flags & TFHD_DESCRIPTION)
    values = []
    for bit, inherited in zip(
        (TFHD_DURATION, TFHD_SIZE, TFHD_FLAGS),
        (defaults.duration, defaults.size, defaults.flags),
        strict=True,
    ):
        values.append(unpack("I", tfhd, at)[0] if flags & bit else inherited)
        at += 4 * bool(flags & bit)
    return SampleDefaults(*values)


def _read_trun(
    trun: Box, dts: int, defaults: SampleDefaults, mdat_start: int, media: memoryview
) -> Iterator[Sample]:
    flags, count = unpack("2I", trun)
    if flags & TRUN_CTS:
        raise BadBox("trun", trun.offset, "has composition offsets; encode without B-frames")
    fields = iter(_words(trun, 8))
    try:
        at = (next(fields) - mdat_start) if flags & TRUN_OFFSET else 0
        first_flags = next(fields) if flags & TRUN_FIRST_FLAGS else None
        for index in range(count):
            duration = next(fields) if flags & TRUN_DURATION else defaults.duration
            size = next(fields) if flags & TRUN_SIZE else defaults.size
            own = next(fields) if flags & TRUN_FLAGS else defaults.flags
            own = first_flags if index == 0 and first_flags is not None else own
            if not size:  # no media is empty; a damaged count would give millions of those
                raise BadBox("trun", trun.offset, "has a sample of no bytes")
            if at < 0 or at + size > len(media):
                raise BadBox("trun", trun.offset, f"{size} bytes at {at} leave the mdat")
            yield Sample(dts, not own & NON_SYNC, bytes(media[at : at + size]))
            dts, at = dts + duration, at + size
    except StopIteration as error:
        raise BadBox("trun", trun.offset, f"its table ends before {count} samples") from error


def _words(box: Box, start: int) -> tuple[int, ...]:
    return unpack(f"{(len(box.payload) - start) // 4}I", box, start)


def write_fragment(sequence: int, samples: Iterable[Sample], frame_ticks: int) -> bytes:
    """One moof and mdat: a CMAF chunk of samples that last ``frame_ticks`` each (rules 53, 57)."""
    run = list(samples)
    sync = [sample.is_sync for sample in run]
    only_first_differs = sync[1:] == [False] * (len(run) - 1)
    per_sample_flags = not only_first_differs and not all(sync)
    default_flags = SYNC_FLAGS if all(sync) else DEPENDENT_FLAGS

    trun_flags = TRUN_OFFSET | TRUN_SIZE
    first = b""
    if per_sample_flags:
        trun_flags |= TRUN_FLAGS
    elif sync[0] != all(sync):
        trun_flags |= TRUN_FIRST_FLAGS
        first = struct.pack(">I", SYNC_FLAGS)
    table = b"".join(_trun_row(sample, per_sample_flags) for sample in run)

    moof = bytearray(
        box(
            "moof",
            full_box("mfhd", 0, 0, struct.pack(">I", sequence & 0xFFFFFFFF)),
            box(
                "traf",
                full_box(
                    "tfhd",
                    0,
                    TFHD_BASE_IS_MOOF | TFHD_DURATION | TFHD_FLAGS,
                    struct.pack(">3I", 1, frame_ticks, default_flags),
                ),
                full_box("tfdt", 1, 0, struct.pack(">Q", run[0].dts_ticks)),
                full_box("trun", 1, trun_flags, struct.pack(">2I", len(run), 0), first, table),
            ),
        )
    )
    # Where the media begins, counted from the moof, is known now that this has its size.
    offset_at = len(moof) - len(table) - len(first) - 4
    struct.pack_into(">i", moof, offset_at, len(moof) + HEADER_BYTES)
    return bytes(moof) + box("mdat", *(sample.data for sample in run))


def _trun_row(sample: Sample, with_flags: bool) -> bytes:
    if not with_flags:
        return struct.pack(">I", len(sample.data))
    flags = SYNC_FLAGS if sample.is_sync else DEPENDENT_FLAGS
    return struct.pack(">2I", len(sample.data), flags)
