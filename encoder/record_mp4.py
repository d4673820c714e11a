"""A recording as one MP4: best picture and sound, the same samples as on the air.

It is fragmented while it grows, so that it plays at any instant, and stays so at the end: an index
for seeking (mfra) and the duration (mehd) are added in place. Making it progressive would write
all of it a second time and ask for twice the room.

Each fragment is written behind the header of a `free` box that covers it, which then is cut back
to nothing by one write of four bytes: a process that is killed in between leaves a box that
players skip, not half a fragment.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from encoder.boxes import HEADER_BYTES, Box, BoxStream, box, children, find, full_box, unpack
from encoder.ladder import BEST_RUNG
from encoder.playlist import SegmentEntry
from encoder.recording_files import create_numbered, write_at

SOUND = "a0"
_TRACKS = {BEST_RUNG: 1, SOUND: 2}
_BRANDS = b"iso6\0\0\0\0iso6mp41"
# mehd with 64 bits of duration (ISO/IEC 14496-12, 8.8.2); until the end a free box keeps its place.
_MEHD_BYTES = 20
# Track id: where it stands in tkhd by version, in trex, in tfhd (8.3.2, 8.8.3, 8.8.7).
_TKHD_ID, _TREX_ID, _TFHD_ID, _MFHD_SEQUENCE = {0: 12, 1: 20}, 4, 4, 4
_MVHD_TIMESCALE = {0: 12, 1: 20}


@dataclass
class _File:
    """An open file, and what its index will say."""

    handle: int
    size: int
    mehd_at: int
    timescale_hz: int  # of the movie
    fragments: int = 0
    seconds: dict[str, Fraction] = field(default_factory=dict)  # by rendition
    index: list[tuple[int, int]] = field(default_factory=list)  # time and place of each key frame


class Mp4Writer:
    """Writes ``<stem>.mp4``; where the parameters change, ``<stem>-2.mp4`` and so on.

    Every method may raise OSError; the file plays up to what was written before.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.path = folder / f"{stem}.mp4"
        self._folder, self._stem = folder, stem
        self._inits: dict[str, bytes] = {}
        self._file: _File | None = None

    def resume(self) -> dict[str, int]:
        """After a crash: a file of its own, for the time line begins anew."""
        return {}

    def init(self, name: str, _uri: str, data: bytes) -> int:
        """An init segment; one that differs from the last ends the file."""
        if name in _TRACKS and self._inits.get(name) != data:
            self.end()
            self._inits[name] = data
        return 0

    def segment(self, name: str, entry: SegmentEntry, data: bytes) -> int:
        """Append a segment; returns the bytes written."""
        if name not in _TRACKS or not data or len(self._inits) < len(_TRACKS):
            return 0
        sequence = self._file.fragments + 1 if self._file else 1
        fragments, times = renumbered(data, _TRACKS[name], sequence)
        file = self._file = self._file or self._begin()
        cover = struct.pack(">I4s", HEADER_BYTES + len(fragments), b"free")
        write_at(file.handle, cover + fragments, file.size)
        write_at(file.handle, struct.pack(">I", HEADER_BYTES), file.size)
        if name == BEST_RUNG:
            file.index.append((times[0], file.size + HEADER_BYTES))
        file.size += len(cover) + len(fragments)
        file.fragments += len(times)
        file.seconds[name] = file.seconds.get(name, Fraction()) + entry.duration
        return len(cover) + len(fragments)

    def multivariant(self, _text: str) -> int:
        """A file has no such thing."""
        return 0

    def end(self) -> int:
        """Add index and duration and close the file; returns the bytes written."""
        file, self._file = self._file, None
        if file is None:
            return 0
        try:
            index = movie_index(file.index)
            write_at(file.handle, index, file.size)
            duration = round(max(file.seconds.values(), default=Fraction()) * file.timescale_hz)
            write_at(file.handle, _mehd(duration), file.mehd_at)
        finally:
            os.close(file.handle)
        return len(index)

    def _begin(self) -> _File:
        head, mehd_at, timescale_hz = movie_header(self._inits[BEST_RUNG], self._inits[SOUND])
        self.path, handle = create_numbered(self._folder, self._stem, ".mp4")
        write_at(handle, head, 0)
        return _File(handle, len(head), mehd_at, timescale_hz)


def movie_header(video: bytes, audio: bytes) -> tuple[bytes, int, int]:
    """ftyp and moov of two one-track init segments, the sound as track 2.

    Returns:
        The bytes, the place in them that mehd will take, and the movie's timescale in hertz.

    Raises:
        BadBox: one of them is not an init segment.
    """
    movie, sound = (_moov(data) for data in (video, audio))
    mvhd = find(movie, "mvhd")
    version = unpack("I", mvhd)[0] >> 24
    (timescale_hz,) = unpack("I", mvhd, _MVHD_TIMESCALE[version])
    mvhd_bytes = bytes(mvhd.raw[:-4]) + struct.pack(">I", len(_TRACKS) + 1)  # next_track_ID
    place = box("free", bytes(_MEHD_BYTES - HEADER_BYTES))
    trexes = [_with_id(find(each, "mvex/trex"), _TREX_ID, n) for n, each in _tracks(movie, sound)]
    mvex = box("mvex", place, *trexes)
    moov = box("moov", mvhd_bytes, *(_trak(each, n) for n, each in _tracks(movie, sound)), mvex)
    head = box("ftyp", _BRANDS) + moov
    return head, len(head) - len(mvex) + HEADER_BYTES, timescale_hz


def renumbered(data: bytes, track: int, sequence: int) -> tuple[bytes, list[int]]:
    """The fragments of a segment as those of another track, counted from ``sequence`` on.

    Returns:
        The bytes, and the decode time of each fragment.

    Raises:
        BadBox: the segment is not moof and mdat, one after the other.
    """
    changed = bytearray(data)
    times: list[int] = []
    for each in BoxStream().feed(data):
        if each.kind != "moof":
            continue
        _put(changed, find(each, "mfhd"), _MFHD_SEQUENCE, sequence + len(times))
        _put(changed, find(each, "traf/tfhd"), _TFHD_ID, track)
        times.append(unpack("Q", find(each, "traf/tfdt"), 4)[0])
    return bytes(changed), times


def movie_index(entries: list[tuple[int, int]]) -> bytes:
    """mfra: where the key frames of the picture are, as decode time and place of their moof."""
    rows = b"".join(struct.pack(">2Q3B", time, place, 1, 1, 1) for time, place in entries)
    numbers_are_bytes = 0  # lengths of traf, trun and sample number, minus one
    fields = struct.pack(">3I", _TRACKS[BEST_RUNG], numbers_are_bytes, len(entries))
    tfra = full_box("tfra", 1, 0, fields, rows)
    mfro_bytes = 16
    size = struct.pack(">I", HEADER_BYTES + len(tfra) + mfro_bytes)
    return box("mfra", tfra, full_box("mfro", 0, 0, size))


def _mehd(duration: int) -> bytes:
    return full_box("mehd", 1, 0, struct.pack(">Q", duration))


def _moov(init: bytes) -> Box:
    whole = Box("file", 0, memoryview(init), memoryview(init))
    return find(whole, "moov")


def _tracks(movie: Box, sound: Box) -> list[tuple[int, Box]]:
    return [(_TRACKS[BEST_RUNG], movie), (_TRACKS[SOUND], sound)]


def _trak(moov: Box, track: int) -> bytes:
    parts = []
    for child in children(find(moov, "trak")):
        if child.kind == "tkhd":
            version = unpack("I", child)[0] >> 24
            parts.append(_with_id(child, _TKHD_ID[version], track))
        else:
            parts.append(bytes(child.raw))
    return box("trak", *parts)


def _with_id(each: Box, at: int, track: int) -> bytes:
    data = bytearray(each.payload)
    each.require(at + 4)
    struct.pack_into(">I", data, at, track)
    return box(each.kind, data)


def _put(data: bytearray, inside: Box, at: int, value: int) -> None:
    inside.require(at + 4)
    struct.pack_into(">I", data, inside.offset + HEADER_BYTES + at, value)
