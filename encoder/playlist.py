"""HLS playlists: values in, text out; and back out of the text what a server must know.

Rule numbers are those of the project's rule list; sections are RFC 8216bis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cached_property, lru_cache

from encoder.gzipped import deflated, gzipped

# EXT-X-MAP asks for 6, EXT-X-SKIP for 9; no higher than needed (rule 3).
VERSION, VERSION_WITH_SKIP = 6, 9
# MPEG-TS and WebVTT need no more than EXTINF with decimals.
TS_VERSION = VTT_VERSION = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Texts that are packed once for the parts of a segment: up to three of each rendition of a ladder.
_KEPT_PACKED = 32


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One EXT-X-PART."""

    uri: str
    duration: Fraction
    independent: bool


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment and the tags that stand before it; ``uri`` is empty while it is in progress."""

    msn: int
    uri: str
    duration: Fraction
    map_uri: str
    wall_ms: int  # EXT-X-PROGRAM-DATE-TIME of its first frame, milliseconds since 1970 UTC
    discontinuity: bool = False
    parts: tuple[PartEntry, ...] = ()
    gap: bool = False  # its media is missing (19)
    # Its lines by what decides how they read: the next part's playlist repeats nearly all of them.
    _texts: dict[tuple[str, bool], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def text(self, map_uri: str, *, with_parts: bool) -> str:
        """Its lines, rendered once.

        Args:
            map_uri: what EXT-X-MAP says before it; empty: nothing yet.
            with_parts: whether its parts are listed.
        """
        key = (map_uri, with_parts)
        if key not in self._texts:
            lines = segment_lines([self], map_uri, self.msn if with_parts else None)
            self._texts[key] = _joined(lines)
        return self._texts[key]

    def forget_texts(self) -> None:
        """It is farther from the end than what is rendered for each part."""
        self._texts.clear()


@dataclass(frozen=True, slots=True)
class RenditionReport:
    """One EXT-X-RENDITION-REPORT: how far another rendition is."""

    uri: str
    last_msn: int
    last_part: int | None


@dataclass(frozen=True)
class ServerControl:
    """What stays the same for the life of a stream (rule 24)."""

    target_duration: int
    hold_back: int
    part_target: Fraction | None  # None: plain HLS
    part_hold_back: Fraction | None
    can_skip_until: int | None = None  # seconds; None: no delta updates

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Its tags."""
        offers = ["CAN-BLOCK-RELOAD=YES"]  # plain HLS too: a client may ask for the next segment
        if self.part_hold_back is not None:
            offers.append(f"PART-HOLD-BACK={_seconds(self.part_hold_back)}")
        offers.append(f"HOLD-BACK={self.hold_back}.0")
        if self.can_skip_until is not None:
            offers.append(f"CAN-SKIP-UNTIL={self.can_skip_until}.0")
        lines = [
            f"#EXT-X-TARGETDURATION:{self.target_duration}",
            f"#EXT-X-SERVER-CONTROL:{','.join(offers)}",
        ]
        if self.part_target is not None:
            lines.append(f"#EXT-X-PART-INF:PART-TARGET={_seconds(self.part_target)}")
        return tuple(lines)


class Block:
    """Lines of some complete segments that list no parts any more: rendered and packed once (8).

    Args:
        entries: at least one segment.
        map_uri: what EXT-X-MAP says before the first of them; empty: nothing yet.
    """

    def __init__(self, entries: tuple[SegmentEntry, ...], map_uri: str) -> None:
        self.entries = entries
        self._map_uri = map_uri

    @cached_property
    def text(self) -> bytes:
        """The lines."""
        return _text(segment_lines(self.entries, self._map_uri))

    @cached_property
    def packed(self) -> bytes:
        """The lines as deflated bytes that stand anywhere in a deflate stream."""
        return deflated(self.text)


@dataclass(frozen=True, slots=True)
class Older:
    """Segments before those a :class:`MediaPlaylist` names; a long window is mostly these.

    All of them end farther from the end than parts are listed and than a delta may skip.
    """

    blocks: tuple[Block, ...]
    count: int
    has_discontinuity: bool


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """Everything one rendering of a media playlist shows."""

    control: ServerControl
    segments: tuple[SegmentEntry, ...]  # complete ones, oldest first
    current: SegmentEntry | None = None  # in progress; its parts are listed
    discontinuity_sequence: int = 0
    hint_uri: str = ""
    reports: tuple[RenditionReport, ...] = ()
    ended: bool = False
    version: int = VERSION
    older: Older | None = None  # what stands before ``segments``

    @property
    def first_msn(self) -> int:
        """EXT-X-MEDIA-SEQUENCE."""
        if self.older:
            return self.older.blocks[0].entries[0].msn
        first = self.segments[0] if self.segments else self.current
        return first.msn if first else 1


@dataclass(frozen=True, slots=True)
class AudioMedia:
    """The one EXT-X-MEDIA of type AUDIO."""

    uri: str
    codecs: str
    channels: int
    language: str = "und"


@dataclass(frozen=True, slots=True)
class SubtitleMedia:
    """The one EXT-X-MEDIA of type SUBTITLES: what is spoken, in its own language."""

    uri: str
    language: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One EXT-X-STREAM-INF. Bit rates are bits a second, sound and boxes included."""

    uri: str
    codecs: str
    width: int
    height: int
    fps: int
    bandwidth: int
    average_bandwidth: int


def render_multivariant(
    audio: AudioMedia,
    variants: tuple[Variant, ...],
    iframes: tuple[Variant, ...] = (),
    subtitles: SubtitleMedia | None = None,
) -> str:
    """The multivariant playlist (rules 11, 47, 49, 50).

    Args:
        audio: the sound.
        variants: the pictures; their rates include the sound.
        iframes: key frames alone; their rates do not.
        subtitles: the captions; None: there are none.
    """
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Sound",'
        f'LANGUAGE="{audio.language}",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="{audio.channels}",'
        f'URI="{audio.uri}"',
    ]
    lines += [_subtitles(subtitles)] if subtitles else []
    group = ',SUBTITLES="captions"' if subtitles else ""
    for variant in variants:
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={variant.bandwidth},"
            f"AVERAGE-BANDWIDTH={variant.average_bandwidth},"
            f'CODECS="{variant.codecs},{audio.codecs}",'
            f"RESOLUTION={variant.width}x{variant.height},"
            f'FRAME-RATE={variant.fps:.3f},AUDIO="audio"{group}',
            variant.uri,
        ]
    lines += [
        f"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={iframe.bandwidth},"
        f"AVERAGE-BANDWIDTH={iframe.average_bandwidth},"
        f'CODECS="{iframe.codecs}",RESOLUTION={iframe.width}x{iframe.height},URI="{iframe.uri}"'
        for iframe in iframes
    ]
    return "\n".join(lines) + "\n"


def _subtitles(media: SubtitleMedia) -> str:
    """Nobody gets them unasked; who has asked his phone for captions does."""
    return (
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="Captions",'
        f'LANGUAGE="{media.language}",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,'
        'CHARACTERISTICS="public.accessibility.transcribes-spoken-dialog",'
        f'URI="{media.uri}"'
    )


def render_ts_multivariant(variants: tuple[Variant, ...]) -> str:
    """The multivariant playlist of muxed MPEG-TS: codecs and rates with sound."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{TS_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for variant in variants:
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={variant.bandwidth},"
            f"AVERAGE-BANDWIDTH={variant.average_bandwidth},"
            f'CODECS="{variant.codecs}",RESOLUTION={variant.width}x{variant.height},'
            f"FRAME-RATE={variant.fps:.3f}",
            variant.uri,
        ]
    return "\n".join(lines) + "\n"


def render_media_playlist(playlist: MediaPlaylist, *, delta: bool = False) -> str:
    """One media playlist. Part tags stand within three target durations of the end (29).

    Args:
        playlist: what to show.
        delta: leave out the segments beyond the skip boundary (42); without any, the whole
            playlist is the answer to a request for a delta too.
    """
    return Forms(playlist).plain(delta=delta).decode()


class Forms:
    """A media playlist whole and as a delta, plain and packed, with the work that these share.

    What stands before the segment in progress is the same for all of its parts: it is packed once.
    """

    def __init__(self, playlist: MediaPlaylist) -> None:
        self._playlist = playlist
        behind = _open_seconds(playlist)
        self._skipped = _beyond_skip_boundary(playlist, behind)
        in_older = playlist.older.count if playlist.older else 0
        named, skipped = playlist.segments, max(0, self._skipped - in_older)
        with_parts = _segments_with_parts(playlist, behind)
        # What only the whole playlist lists of them, what both do, and what changes with each part.
        self._early = _settled(named[:skipped], self._map_uri(0), with_parts)
        self._late = _settled(named[skipped:], self._map_uri(skipped), with_parts)
        self._open = self._open_text(with_parts)

    @property
    def has_delta(self) -> bool:
        """Whether a delta leaves anything out: else it is the whole playlist, byte for byte."""
        return bool(self._skipped)

    def plain(self, *, delta: bool = False) -> bytes:
        """UTF-8."""
        return self._joined(*self._before_open(delta=delta))

    def both(self, *, delta: bool = False) -> tuple[bytes, bytes]:
        """UTF-8 and gzip."""
        head, older, late = self._before_open(delta=delta)
        whole = self._joined(head, older, late)
        pieces = [_packed_once(head), *(block.packed for block in older)]
        pieces += [_packed_once(late)] if late else []
        return whole, gzipped(whole, *pieces, self._packed_open)

    def _joined(self, head: bytes, older: tuple[Block, ...], late: bytes) -> bytes:
        return b"".join((head, *(block.text for block in older), late, self._open))

    @cached_property
    def _packed_open(self) -> bytes:
        # What both list stands before it in both, and can be referred to.
        return deflated(self._open, after=self._late)

    def _before_open(self, *, delta: bool) -> tuple[bytes, tuple[Block, ...], bytes]:
        """The head, older segments, and newer ones; without older ones these belong to the head."""
        skipped = self._skipped if delta else 0
        head = self._head(skipped)
        late = self._late if skipped else self._early + self._late
        older = self._playlist.older
        if older is None or skipped:
            return head + late, (), b""
        return head, older.blocks, late

    def _head(self, skipped: int) -> bytes:
        version = VERSION_WITH_SKIP if skipped else self._playlist.version
        lines = ["#EXTM3U", f"#EXT-X-VERSION:{version}", *_header(self._playlist)]
        if skipped:
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
        return _text(lines)

    def _open_text(self, with_parts: int | None) -> bytes:
        current = self._playlist.current
        map_uri = self._map_uri(len(self._playlist.segments))
        lines = segment_lines([current], map_uri, with_parts) if current else []
        return _text([*lines, *_ending(self._playlist)])

    def _map_uri(self, place: int) -> str:
        """What EXT-X-MAP says before the named segment at that place; empty: nothing yet."""
        if place:
            return self._playlist.segments[place - 1].map_uri
        older = self._playlist.older
        return older.blocks[-1].entries[-1].map_uri if older else ""


def _settled(segments: tuple[SegmentEntry, ...], map_uri: str, with_parts: int | None) -> bytes:
    texts = []
    for segment in segments:
        listed = with_parts is not None and segment.msn >= with_parts
        texts.append(segment.text(map_uri, with_parts=listed))
        map_uri = segment.map_uri
    return "".join(texts).encode()


@lru_cache(maxsize=_KEPT_PACKED)
def _packed_once(data: bytes) -> bytes:
    return deflated(data)


def segment_lines(
    segments: Iterable[SegmentEntry], map_uri: str, with_parts: int | None = None
) -> list[str]:
    """Lines of segments.

    Args:
        segments: in order.
        map_uri: what EXT-X-MAP says before the first of them; empty: nothing yet.
        with_parts: parts are listed from this msn on; None: nowhere.
    """
    lines: list[str] = []
    for segment in segments:
        lines += _before_segment(segment, map_uri)
        map_uri = segment.map_uri
        if with_parts is not None and segment.msn >= with_parts:
            lines += [_part(part) for part in segment.parts]
        if segment.gap:
            lines.append("#EXT-X-GAP")
        if segment.uri:
            lines += [f"#EXTINF:{_seconds(segment.duration)},", segment.uri]
    return lines


def _ending(playlist: MediaPlaylist) -> list[str]:
    if playlist.ended:
        return ["#EXT-X-ENDLIST"]
    if playlist.control.part_target is None:
        return []
    hint = f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{playlist.hint_uri}"'
    return [hint, *(_report(report) for report in playlist.reports)]


def render_iframes_playlist(playlist: MediaPlaylist, lengths: Mapping[int, int]) -> str:
    """The key frames of segments (§4.4.3.6).

    Args:
        playlist: the segments, and the constant tags of their media playlist without parts.
        lengths: by msn, how many of a segment's first bytes are its key frame; where that is not
            known the key frame is missing (19).
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-I-FRAMES-ONLY", *_header(playlist)]
    map_uri = ""
    for segment in playlist.segments:
        lines += _before_segment(segment, map_uri)
        map_uri = segment.map_uri
        lines.append(f"#EXTINF:{_seconds(segment.duration)},")
        length = None if segment.gap else lengths.get(segment.msn)
        lines += ["#EXT-X-GAP" if length is None else f"#EXT-X-BYTERANGE:{length}@0", segment.uri]
    lines += _ending(playlist)
    return _text(lines).decode()


def _text(lines: Iterable[str]) -> bytes:
    return _joined(lines).encode()


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _header(playlist: MediaPlaylist) -> list[str]:
    lines = [*playlist.control.lines, f"#EXT-X-MEDIA-SEQUENCE:{playlist.first_msn}"]
    if playlist.discontinuity_sequence or _has_discontinuity(playlist):  # rule 17
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}")
    return lines


def _has_discontinuity(playlist: MediaPlaylist) -> bool:
    named = (*playlist.segments, *([playlist.current] if playlist.current else ()))
    in_older = playlist.older is not None and playlist.older.has_discontinuity
    return in_older or any(segment.discontinuity for segment in named)


def _open_seconds(playlist: MediaPlaylist) -> Fraction:
    """Length of the segment in progress, as far as it is listed."""
    parts = playlist.current.parts if playlist.current else ()
    return sum((part.duration for part in parts), Fraction())


def _beyond_skip_boundary(playlist: MediaPlaylist, behind: Fraction) -> int:
    """How many of the oldest segments end farther from the playlist's end than may be skipped."""
    boundary = playlist.control.can_skip_until
    if boundary is None or playlist.ended:
        return 0
    older = playlist.older.count if playlist.older else 0
    for place in range(len(playlist.segments) - 1, -1, -1):
        if behind > boundary:
            return older + place + 1
        behind += playlist.segments[place].duration
    return older


def _segments_with_parts(playlist: MediaPlaylist, behind: Fraction) -> int | None:
    """MSN of the oldest segment whose parts are still listed (rule 29); None: no parts at all."""
    if playlist.control.part_target is None:
        return None
    msn = playlist.current.msn if playlist.current else math.inf
    for segment in reversed(playlist.segments):
        if behind >= 3 * playlist.control.target_duration:
            break
        behind, msn = behind + segment.duration, segment.msn
    return int(msn) if msn != math.inf else 0


def _before_segment(segment: SegmentEntry, map_uri: str) -> list[str]:
    """Tags that stand before a segment's first part (rules 14, 18)."""
    lines = ["#EXT-X-DISCONTINUITY"] if segment.discontinuity else []
    if segment.map_uri != map_uri:
        lines.append(f'#EXT-X-MAP:URI="{segment.map_uri}"')
    return [*lines, f"#EXT-X-PROGRAM-DATE-TIME:{format_wall_time(segment.wall_ms)}"]


def _part(part: PartEntry) -> str:
    independent = ",INDEPENDENT=YES" if part.independent else ""
    return f'#EXT-X-PART:DURATION={_seconds(part.duration)},URI="{part.uri}"{independent}'


def _report(report: RenditionReport) -> str:
    part = "" if report.last_part is None else f",LAST-PART={report.last_part}"
    return f'#EXT-X-RENDITION-REPORT:URI="{report.uri}",LAST-MSN={report.last_msn}{part}'


def _seconds(value: Fraction) -> str:
    return f"{float(value):.5f}"


def format_wall_time(wall_ms: int) -> str:
    """ISO 8601 with milliseconds and a time zone (rule 14)."""
    moment = _EPOCH + timedelta(milliseconds=wall_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{wall_ms % 1000:03d}Z"
