"""A whole live stream as pure arithmetic: which playlist and which media exist at an instant.

Independent of the encoder's own playlists, so that a fault common to both cannot hide. Segments
last 1 s (TD 1), parts 0.25 s; two variants and a sound rendition; the stream began at instant 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache, lru_cache

from tests.check import media
from tests.check.media import idr_sample

TARGET_DURATION = 1
PART_TARGET = Fraction(1, 4)
WINDOW = 10
SKIP_UNTIL = 6
_EPOCH = datetime(2026, 7, 1, 12, 0, 0, 123000, UTC)
_BASE_SECONDS = 10  # media time of instant 0
_JUMP_SECONDS = 100  # by how much media time jumps at a discontinuity
_OUTAGE = Fraction(3)  # wall time that a discontinuity loses


@dataclass(frozen=True)
class Track:
    """One rendition."""

    name: str
    kind: str
    timescale_hz: int
    frame_ticks: int
    part_frames: int
    segment_frames: Fraction
    size: int
    width: int = 0
    height: int = 0

    def start(self, msn: int) -> int:
        """Ordinal of a segment's first frame."""
        whole = self.segment_frames
        return (2 * whole.numerator * (msn - 1) + whole.denominator) // (2 * whole.denominator)

    @property
    def suffix(self) -> str:
        """Of its files."""
        return "vtt" if self.kind == "text" else "m4s"

    def seconds(self, frames: int) -> Fraction:
        """How long so many frames last."""
        return Fraction(frames * self.frame_ticks, self.timescale_hz)

    def parts(self, msn: int) -> list[tuple[int, int]]:
        """First frame and number of frames of each part."""
        first, end = self.start(msn), self.start(msn + 1)
        return [(at, min(self.part_frames, end - at)) for at in range(first, end, self.part_frames)]


CAPTIONS = Track("s0", "text", 1000, 50, 5, Fraction(20), 0)
TRACKS = (
    Track("v0", "vide", 90_000, 4500, 5, Fraction(20), 400, 640, 360),
    Track("v1", "vide", 90_000, 4500, 5, Fraction(20), 1200, 1280, 720),
    Track("a0", "soun", 48_000, 1024, 11, Fraction(48_000, 1024), 120),
    CAPTIONS,
)
BY_NAME = {track.name: track for track in TRACKS}

MULTIVARIANT = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Sound",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,\
CHANNELS="1",URI="a0/media.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="texts",NAME="English",LANGUAGE="en",DEFAULT=NO,\
AUTOSELECT=YES,FORCED=NO,URI="s0/media.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=120000,CODECS="avc1.64001f,mp4a.40.2",\
RESOLUTION=640x360,FRAME-RATE=20.000,AUDIO="audio",SUBTITLES="texts"
v0/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=260000,AVERAGE-BANDWIDTH=250000,CODECS="avc1.64001f,mp4a.40.2",\
RESOLUTION=1280x720,FRAME-RATE=20.000,AUDIO="audio",SUBTITLES="texts"
v1/media.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=40000,CODECS="avc1.64001f",RESOLUTION=640x360,\
URI="v0/iframes.m3u8"
"""


@dataclass(frozen=True)
class Stream:
    """What is published when.

    Args:
        parts: low latency; without, plain HLS.
        break_at: msn at which another encoder run begins, with a discontinuity.
        ends_with: msn of the last segment.
        window: segments listed.
        segments_with_parts: of those, with their parts.
    """

    parts: bool = True
    break_at: int = 10**9
    ends_with: int = 10**9
    window: int = WINDOW
    segments_with_parts: int = 3

    def last_msn(self, track: Track, now: Fraction) -> int:
        """Of the newest complete segment at an instant."""
        msn = max(0, math.floor(now) - 1)
        while msn < self.ends_with and track.seconds(track.start(msn + 2)) <= now:
            msn += 1
        return msn

    def parts_open(self, track: Track, now: Fraction) -> int:
        """Parts of the segment in progress."""
        msn = self.last_msn(track, now) + 1
        if not self.parts or msn > self.ends_with:
            return 0
        return sum(track.seconds(at + count) <= now for at, count in track.parts(msn))

    def ended(self, track: Track, now: Fraction) -> bool:
        """Whether ENDLIST stands."""
        return self.last_msn(track, now) >= self.ends_with

    def run(self, msn: int) -> str:
        """The encoder run a segment belongs to."""
        return "s" if msn >= self.break_at else "r"

    def next_change(self, track: Track, now: Fraction) -> Fraction | None:
        """When the playlist changes next."""
        if self.ended(track, now):
            return None
        msn = self.last_msn(track, now) + 1
        if self.parts:
            at, count = track.parts(msn)[self.parts_open(track, now)]
            return track.seconds(at + count)
        return track.seconds(track.start(msn + 1))

    # --- media ----------------------------------------------------------------------------------

    def media(self, track: Track, name: str) -> tuple[bytes, Fraction] | None:
        """A file and when it is published; None if it never is."""
        run, _, rest = name.partition("-")
        if name == f"{run}-init.mp4" and run in ("r", "s"):
            return _init(track), Fraction(0)
        numbers = rest.removesuffix(f".{track.suffix}").split(".")
        if not all(each.isdecimal() for each in numbers) or not name.endswith(track.suffix):
            return None
        msn = int(numbers[0])
        if self.run(msn) != run or not 0 < msn <= min(self.ends_with, 10_000):
            return None
        parts = track.parts(msn)
        if len(numbers) > 1:
            parts = parts[int(numbers[1]) : int(numbers[1]) + 1]
        if not parts:
            return None
        at, count = parts[-1]
        jump = _JUMP_SECONDS if run == "s" else 0
        end = track.seconds(at + count)
        if track is CAPTIONS:
            return webvtt(track.seconds(parts[0][0]), end, jump), end
        data = b"".join(_fragment(track, first, n, jump) for first, n in parts)
        return data, end

    # --- playlists ------------------------------------------------------------------------------

    @lru_cache(maxsize=4096)  # noqa: B019 - a few streams, and each is watched many times
    def playlist(self, track: Track, now: Fraction, *, skip: bool = False) -> str:
        """The media playlist at an instant."""
        last, opened = self.last_msn(track, now), self.parts_open(track, now)
        first = max(1, last - self.window + 1)
        lines = ["#EXTM3U", "#EXT-X-VERSION:9", *self._header(track, first, last)]
        skipped = max(0, last - SKIP_UNTIL - first + 1) if skip else 0
        if skipped:
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
        for msn in range(first + skipped, last + 1):
            with_parts = self.parts and msn > last - self.segments_with_parts
            lines += self._segment(track, msn, msn == first, len(track.parts(msn)) * with_parts)
            length = track.seconds(track.start(msn + 1) - track.start(msn))
            lines += [f"#EXTINF:{float(length):.5f},", f"{self.run(msn)}-{msn}.{track.suffix}"]
        if opened:
            lines += self._segment(track, last + 1, False, opened)
        if self.ended(track, now):
            lines.append("#EXT-X-ENDLIST")
        elif self.parts:
            lines += self._tail(track, now, last, opened)
        return "\n".join(lines) + "\n"

    def iframes(self, track: Track, now: Fraction) -> str:
        """The I-frame playlist; its ranges end with the IDR, in the middle of an mdat."""
        last = min(self.last_msn(track, now), self.ends_with)
        first = max(1, last - self.window + 1)
        lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-I-FRAMES-ONLY"]
        lines += [f"#EXT-X-TARGETDURATION:{TARGET_DURATION}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        if last + 1 >= self.break_at:
            lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{int(first > self.break_at)}")
        for msn in range(first, last + 1):
            lines += self._segment(track, msn, msn == first, 0)
            length = track.seconds(track.start(msn + 1) - track.start(msn))
            name = f"{self.run(msn)}-{msn}.m4s"
            found = self.media(track, name)
            assert found is not None
            media_bytes = found[0].index(b"mdat") + 4 + len(idr_sample(track.size))
            lines += [f"#EXTINF:{float(length):.5f},", f"#EXT-X-BYTERANGE:{media_bytes}@0", name]
        return "\n".join([*lines, "#EXT-X-ENDLIST"] if self.ended(track, now) else lines) + "\n"

    def _header(self, track: Track, first: int, last: int) -> Iterator[str]:
        yield f"#EXT-X-TARGETDURATION:{TARGET_DURATION}"
        low = f",PART-HOLD-BACK={float(3 * PART_TARGET)}" if self.parts else ""
        yield f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0,HOLD-BACK=3.0{low}"
        if self.parts:
            yield f"#EXT-X-PART-INF:PART-TARGET={float(PART_TARGET)}"
        yield f"#EXT-X-MEDIA-SEQUENCE:{first}"
        if last + 1 >= self.break_at:
            yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{int(first > self.break_at)}"

    def _segment(self, track: Track, msn: int, is_first: bool, parts: int) -> Iterator[str]:
        if msn == self.break_at:
            yield "#EXT-X-DISCONTINUITY"
        if (is_first or msn == self.break_at) and track is not CAPTIONS:
            yield f'#EXT-X-MAP:URI="{self.run(msn)}-init.mp4"'
        yield f"#EXT-X-PROGRAM-DATE-TIME:{self.date(track, msn)}"
        for index, (_at, count) in enumerate(track.parts(msn)[:parts]):
            length = float(track.seconds(count))
            free = ",INDEPENDENT=YES" if index == 0 or track.kind != "vide" else ""
            uri = f"{self.run(msn)}-{msn}.{index}.{track.suffix}"
            yield f'#EXT-X-PART:DURATION={length:.5f},URI="{uri}"{free}'

    def date(self, track: Track, msn: int) -> str:
        """PROGRAM-DATE-TIME of a segment."""
        lost = _OUTAGE if msn >= self.break_at else 0
        ms = round((track.seconds(track.start(msn)) + lost) * 1000)
        moment = _EPOCH + timedelta(milliseconds=ms)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

    def _tail(self, track: Track, now: Fraction, last: int, opened: int) -> Iterator[str]:
        if not opened and last + 1 == self.break_at and track is not CAPTIONS:
            yield '#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="s-init.mp4"'
        hinted = f"{self.run(last + 1)}-{last + 1}.{opened}.{track.suffix}"
        yield f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hinted}"'
        for other in TRACKS:
            if other is not track:
                msn, part = self.position(other, now)
                uri = f"../{other.name}/media.m3u8"
                yield f'#EXT-X-RENDITION-REPORT:URI="{uri}",LAST-MSN={msn},LAST-PART={part}'

    def position(self, track: Track, now: Fraction) -> tuple[int, int]:
        """Msn and index of the newest part."""
        last, opened = self.last_msn(track, now), self.parts_open(track, now)
        return (last + 1, opened - 1) if opened else (last, len(track.parts(last)) - 1)


def webvtt(start: Fraction, end: Fraction, jump_seconds: int) -> bytes:
    """What is written in a span of the stream: a line that is shown for 1.25 s of each 1.5 s."""
    ticks = 90_000 * (_BASE_SECONDS + jump_seconds)
    lines = ["WEBVTT", f"X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{ticks}", ""]
    for number in range(int(start / Fraction(3, 2)), int(end / Fraction(3, 2)) + 1):
        shown = number * Fraction(3, 2) + Fraction(1, 4), (number + 1) * Fraction(3, 2)
        if shown[0] < end and shown[1] > start:
            times = " --> ".join(f"00:{float(at):06.3f}" for at in shown)
            lines += [f"c{number}", times, f"Line <i>{number}</i> &amp; more", ""]
    return "\n".join(lines).encode()


@cache
def _init(track: Track) -> bytes:
    return media.init(track.kind, track.timescale_hz, width=track.width, height=track.height)


@cache
def _fragment(track: Track, first: int, count: int, jump_seconds: int) -> bytes:
    base = (_BASE_SECONDS + jump_seconds) * track.timescale_hz
    start = base + first * track.frame_ticks
    gop = int(track.segment_frames)
    return media.fragment(track.kind, first, count, track.frame_ticks, start, gop, track.size)
