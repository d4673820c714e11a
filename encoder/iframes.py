"""I-frame playlists: for each segment the bytes of its IDR, for scrubbing and for thumbnails (50).

The segmenter writes the IDR of a segment as a fragment of its own, at the segment's start. So a
range holds one whole moof and mdat with one sample: no player has to cope with an mdat that is
cut short.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from encoder.errors import BadBox
from encoder.playlist import MediaPlaylist, ServerControl, render_iframes_playlist
from encoder.rates import RateMeter, Weight
from encoder.timing import Timing

IFRAMES_NAME = "iframes.m3u8"
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
    """What the I-frame playlist of one video rendition says of each segment.

    Args:
        timing: of the stream.
        window_segments: complete segments in the playlist.
    """

    def __init__(self, timing: Timing, window_segments: int) -> None:
        # No parts in it, and nothing can be skipped: clients read it for its newest entries.
        self._control = ServerControl(timing.target_duration, timing.hold_back, None, None)
        self._lengths: dict[str, int] = {}
        self.meter = RateMeter(timing.target_duration, window_segments)

    def take(self, uri: str, head: bytes, size: int, seconds: Fraction) -> None:
        """Learn where the IDR of a segment lies.

        Args:
            uri: of the segment.
            head: its first bytes: ``IDR_HEAD_BYTES``, or all.
            size: in bytes.
            seconds: its duration.

        Raises:
            BadBox: the segment does not begin with a fragment.
        """
        self._lengths[uri] = length = first_fragment_bytes(head, size)
        self.meter.add(Weight(8 * length, seconds))

    def render(self, host: MediaPlaylist) -> str:
        """The I-frame playlist beside a media playlist."""
        listed = {segment.uri for segment in host.segments}
        self._lengths = {uri: n for uri, n in self._lengths.items() if uri in listed}
        return render_iframes_playlist(host, self._control, self._lengths)
