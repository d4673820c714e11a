"""I-frame playlists: for each segment the bytes of its IDR, for scrubbing and for thumbnails (50).

The segmenter writes the IDR of a segment as a fragment of its own, at the segment's start. So a
range holds one whole moof and mdat with one sample: no player has to cope with an mdat that is
cut short.
"""

from __future__ import annotations

import struct
from collections import deque

from encoder.errors import BadBox
from encoder.playlist import MediaPlaylist, SegmentEntry, ServerControl, render_iframes_playlist
from encoder.rates import RateMeter, Weight
from encoder.timing import Timing

IFRAMES_NAME = "iframes.m3u8"
# Segments in it at most: it is rendered anew for each of them.
LONGEST = 450
# The moof of one sample and the header of its mdat end before this.
IDR_HEAD_BYTES = 512
_BOX_HEADER = struct.Struct(">I4s")


def first_fragment_bytes(head: bytes, size: int) -> int:
    """Length of the first moof with its mdat.

    Args:
        head: the file's first bytes, the header of that mdat among them.
        size: of the whole file.

    Raises:
        BadBox: the file begins with something else.
    """
    end = 0
    for wanted in (b"moof", b"mdat"):
        header = head[end : end + _BOX_HEADER.size]
        length, kind = _BOX_HEADER.unpack(header.ljust(_BOX_HEADER.size, b"\0"))
        if kind != wanted or end + length > size:
            raise BadBox(kind.decode("latin-1"), end, f"is no whole {wanted.decode()}")
        end += length
    return int(end)


class IFrames:
    """What the I-frame playlist of one video rendition lists.

    Args:
        timing: of the stream.
        discontinuity_sequence: of the first segment that it will be told of.
    """

    def __init__(self, timing: Timing, discontinuity_sequence: int) -> None:
        # No parts in it, and nothing can be skipped: clients read it for its newest entries.
        self._control = ServerControl(timing.target_duration, timing.hold_back, None, None)
        self._entries: deque[SegmentEntry] = deque()
        self._lengths: dict[int, int] = {}
        self._discontinuity_sequence = discontinuity_sequence
        self.meter = RateMeter(timing.target_duration, LONGEST)

    def take(self, entry: SegmentEntry, head: bytes, size: int) -> None:
        """Learn where the IDR of the next segment lies.

        Args:
            entry: the segment.
            head: its first bytes: ``IDR_HEAD_BYTES``, or all.
            size: in bytes.

        Raises:
            BadBox: the segment does not begin with a fragment; it is listed as a gap.
        """
        self._entries.append(entry)
        if len(self._entries) > LONGEST:
            self._forget_first()
        self._lengths[entry.msn] = length = first_fragment_bytes(head, size)
        self.meter.add(Weight(8 * length, entry.duration))

    def render(self, host: MediaPlaylist) -> str:
        """The I-frame playlist beside a media playlist."""
        while self._entries and self._entries[0].msn < host.first_msn:
            self._forget_first()
        playlist = MediaPlaylist(
            self._control,
            tuple(self._entries),
            discontinuity_sequence=self._discontinuity_sequence,
            ended=host.ended,
        )
        return render_iframes_playlist(playlist, self._lengths)

    def _forget_first(self) -> None:
        old = self._entries.popleft()
        self._lengths.pop(old.msn, None)
        self._discontinuity_sequence += old.discontinuity  # 17
