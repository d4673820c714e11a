"""An encoder process that takes over from one that died: viewers see one stream that paused.

What was listed stays listed. The segment that was in progress is closed with the parts that were
published of it; where a rendition is a segment behind the others, an EXT-X-GAP stands for what
never came (19). The new process goes on behind an EXT-X-DISCONTINUITY (16) with the next msn.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import PurePath

from encoder.archive import Archive
from encoder.packager import PLAYLIST_NAME, Past
from encoder.playlist import SegmentEntry
from encoder.playlist_reader import read_segments
from encoder.store import StreamStore
from encoder.webvtt import VTT_SUFFIX, join_webvtt
from logs import event

log = logging.getLogger(__name__)

# 2026-01-01T00:00:00Z. Counted from 1970 the numbers would not fit in 31 bits.
NUMBERS_BEGAN_SECONDS = 1_767_225_600
NUMBERS_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a stream goes on. Without a past it is a new one."""

    first_msn: int = 1
    past: Mapping[str, Past] = field(default_factory=dict)  # by rendition


def msn_by_clock(wall_seconds: float) -> int:
    """The first media sequence number of a stream that takes nothing over.

    A reload that names a number may be kept for 12 s, in browsers and by caches (63): a run that
    counted from 1 again would be answered for with playlists of the run before. A run has begun two
    segments when it begins, as the first lies in the past, and then begins one a second at most. So
    when it has run for half a second, whoever comes next begins beyond all of its numbers. Until
    2043 they stay below 2**31, for players that count in 32 bits.

    A clock that was set back between two runs gives lower numbers, as each restart did while all
    runs began at 1. At worst they are those of the last seconds again, and for 12 s a cache may
    answer with the run before, as it did after a restart in a run's first seconds.

    Args:
        wall_seconds: since 1970, UTC.

    Returns:
        1 or more, as hls.js takes 0 for "no blocking"; 1 where the clock tells a time before 2026.
    """
    return 1 + max(0, int((wall_seconds - NUMBERS_BEGAN_SECONDS) * NUMBERS_PER_SECOND))


def take_over(
    store: StreamStore,
    renditions: Sequence[str],
    segment_seconds: Fraction,
    archive: Archive | None = None,
) -> Resume:
    """Read what a dead process left in an opened store, and make it ours.

    Args:
        store: of the stream.
        renditions: names of all of them; where one is missing the stream begins anew.
        segment_seconds: length of a segment, for those that never came.
        archive: where the older segments are, opened.
    """
    try:
        left = {
            name: read_segments((store.folder / name / PLAYLIST_NAME).read_text("utf-8"))
            for name in renditions
        }
    except (OSError, ValueError):
        return Resume()  # nothing there, or nothing of ours
    if not all(segments for _, segments in left.values()):
        return Resume()
    first_msn = 1 + max(segments[-1].msn for _, segments in left.values())
    breaks = {
        segment.msn: segment
        for _, segments in left.values()
        for segment in segments
        if segment.discontinuity
    }
    past = {}
    for name, (discontinuities, segments) in left.items():
        whole = [_closed(store, name, segment) for segment in segments]
        while whole[-1].msn + 1 < first_msn:
            whole.append(_gap_after(whole[-1], segment_seconds, breaks))
        past[name] = Past(tuple(whole), discontinuities)
        _adopt(store, name, whole, archive)
    event(log, "stream_resumed", level=logging.WARNING, msn=first_msn, folder=store.folder)
    return Resume(first_msn, past)


def _closed(store: StreamStore, name: str, segment: SegmentEntry) -> SegmentEntry:
    """A segment as it is listed from now on: whole. Its parts stay listed (29).

    hls.js that misses the parts it has just played loads none any more until the next segment is
    complete.
    """
    if segment.uri:
        there = all((store.folder / name / part.uri).is_file() for part in segment.parts)
        return segment if there else replace(segment, parts=())  # 31
    stem, _, suffix = segment.parts[0].uri.rpartition(".0.")
    uri = f"{stem}.{suffix}"
    closed = replace(
        segment, uri=uri, duration=sum((p.duration for p in segment.parts), Fraction())
    )
    try:
        files = [(store.folder / name / part.uri).read_bytes() for part in segment.parts]
    except OSError:
        return replace(closed, gap=True, parts=())
    media = join_webvtt(files) if suffix == VTT_SUFFIX else b"".join(files)
    store.publish(f"{name}/{uri}", media)
    return closed


def _gap_after(
    previous: SegmentEntry, segment_seconds: Fraction, breaks: Mapping[int, SegmentEntry]
) -> SegmentEntry:
    msn = previous.msn + 1
    wall_ms = previous.wall_ms + math.floor(previous.duration * 1000)
    if msn in breaks:  # 16: in all renditions, though this one had not come to it
        wall_ms = breaks[msn].wall_ms
    return replace(
        previous,
        msn=msn,
        uri=f"{previous.uri.rpartition('-')[0]}-{msn}{PurePath(previous.uri).suffix}",
        duration=segment_seconds,
        wall_ms=wall_ms,
        discontinuity=msn in breaks,
        gap=True,
    )


def _adopt(
    store: StreamStore, name: str, segments: Sequence[SegmentEntry], archive: Archive | None
) -> None:
    for segment in segments:
        store.adopt(f"{name}/{segment.uri}")
        store.adopt(f"{name}/{segment.map_uri}")
        for part in segment.parts:
            store.adopt(f"{name}/{part.uri}")
        if archive:
            archive.adopt(f"{name}/{segment.uri}")
