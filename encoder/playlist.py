"""HLS playlists: values in, text out; and back out of the text what a server must know.

Rule numbers are those of the project's rule list; sections are RFC 8216bis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

# EXT-X-MAP asks for 6, EXT-X-SKIP for 9; no higher than needed (rule 3).
VERSION, VERSION_WITH_SKIP = 6, 9
# MPEG-TS needs no more than EXTINF with decimals.
TS_VERSION = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


@dataclass(frozen=True, slots=True)
class RenditionReport:
    """One EXT-X-RENDITION-REPORT: how far another rendition is."""

    uri: str
    last_msn: int
    last_part: int | None


@dataclass(frozen=True, slots=True)
class ServerControl:
    """What stays the same for the life of a stream (rule 24)."""

    target_duration: int
    hold_back: int
    part_target: Fraction | None  # None: plain HLS
    part_hold_back: Fraction | None
    can_skip_until: int | None = None  # seconds; None: no delta updates


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


@dataclass(frozen=True, slots=True)
class AudioMedia:
    """The one EXT-X-MEDIA of type AUDIO."""

    uri: str
    codecs: str
    channels: int
    language: str = "und"


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
    audio: AudioMedia, variants: tuple[Variant, ...], iframes: tuple[Variant, ...] = ()
) -> str:
    """The multivariant playlist (rules 11, 47, 49, 50).

    Args:
        audio: the sound.
        variants: the pictures; their rates include the sound.
        iframes: key frames alone; their rates do not.
    """
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Sound",'
        f'LANGUAGE="{audio.language}",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="{audio.channels}",'
        f'URI="{audio.uri}"',
    ]
    for variant in variants:
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={variant.bandwidth},"
            f"AVERAGE-BANDWIDTH={variant.average_bandwidth},"
            f'CODECS="{variant.codecs},{audio.codecs}",'
            f"RESOLUTION={variant.width}x{variant.height},"
            f'FRAME-RATE={variant.fps:.3f},AUDIO="audio"',
            variant.uri,
        ]
    lines += [
        f"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={iframe.bandwidth},"
        f"AVERAGE-BANDWIDTH={iframe.average_bandwidth},"
        f'CODECS="{iframe.codecs}",RESOLUTION={iframe.width}x{iframe.height},URI="{iframe.uri}"'
        for iframe in iframes
    ]
    return "\n".join(lines) + "\n"


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
    control = playlist.control
    every = playlist.segments + ((playlist.current,) if playlist.current else ())
    skipped = _beyond_skip_boundary(playlist) if delta else 0
    version = VERSION_WITH_SKIP if skipped else playlist.version
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{version}", *_header(playlist, every)]
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    with_parts = _segments_with_parts(playlist)
    map_uri = every[skipped - 1].map_uri if skipped else ""
    for segment in every[skipped:]:
        lines += _before_segment(segment, map_uri)
        map_uri = segment.map_uri
        if control.part_target is not None and segment.msn >= with_parts:
            lines += [_part(part) for part in segment.parts]
        if segment.gap:
            lines.append("#EXT-X-GAP")
        if segment.uri:
            lines += [f"#EXTINF:{_seconds(segment.duration)},", segment.uri]
    if playlist.ended:
        lines.append("#EXT-X-ENDLIST")
    elif control.part_target is not None:
        lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{playlist.hint_uri}"')
        lines += [_report(report) for report in playlist.reports]
    return "\n".join(lines) + "\n"


def render_iframes_playlist(
    host: MediaPlaylist, control: ServerControl, lengths: Mapping[str, int]
) -> str:
    """The key frames of a media playlist's segments (§4.4.3.6).

    Args:
        host: the media playlist.
        control: constant tags: those of ``host`` without parts.
        lengths: by segment URI, how many of its first bytes are its key frame; where that is not
            known the key frame is missing (19).
    """
    playlist = replace(host, control=control, current=None)
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-I-FRAMES-ONLY"]
    lines += _header(playlist, host.segments)
    map_uri = ""
    for segment in host.segments:
        lines += _before_segment(segment, map_uri)
        map_uri = segment.map_uri
        lines.append(f"#EXTINF:{_seconds(segment.duration)},")
        length = None if segment.gap else lengths.get(segment.uri)
        lines += ["#EXT-X-GAP" if length is None else f"#EXT-X-BYTERANGE:{length}@0", segment.uri]
    if host.ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _header(playlist: MediaPlaylist, every: tuple[SegmentEntry, ...]) -> list[str]:
    control = playlist.control
    offers = ["CAN-BLOCK-RELOAD=YES"]  # plain HLS too: a client may ask for the next segment
    if control.part_hold_back is not None:
        offers.append(f"PART-HOLD-BACK={_seconds(control.part_hold_back)}")
    offers.append(f"HOLD-BACK={control.hold_back}.0")
    if control.can_skip_until is not None:
        offers.append(f"CAN-SKIP-UNTIL={control.can_skip_until}.0")
    lines = [
        f"#EXT-X-TARGETDURATION:{control.target_duration}",
        f"#EXT-X-SERVER-CONTROL:{','.join(offers)}",
    ]
    if control.part_target is not None:
        lines.append(f"#EXT-X-PART-INF:PART-TARGET={_seconds(control.part_target)}")
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{every[0].msn if every else 1}")
    if playlist.discontinuity_sequence or any(s.discontinuity for s in every):  # rule 17
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}")
    return lines


def _beyond_skip_boundary(playlist: MediaPlaylist) -> int:
    """How many of the oldest segments end farther from the playlist's end than may be skipped."""
    boundary = playlist.control.can_skip_until
    if boundary is None or playlist.ended:
        return 0
    open_parts = playlist.current.parts if playlist.current else ()
    behind = sum((part.duration for part in open_parts), Fraction())
    for place in range(len(playlist.segments) - 1, -1, -1):
        if behind > boundary:
            return place + 1
        behind += playlist.segments[place].duration
    return 0


def _segments_with_parts(playlist: MediaPlaylist) -> int:
    """MSN of the oldest segment whose parts are still listed (rule 29)."""
    behind = (
        sum((p.duration for p in playlist.current.parts), Fraction()) if playlist.current else 0
    )
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


# --- reading it back ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """How far a media playlist is: all that a blocking reload has to be compared with."""

    last_msn: int  # of the newest complete segment
    last_parts: int  # parts of that segment that are listed
    parts: int  # parts of segment last_msn + 1 that are listed
    target_duration: int
    part_target: Fraction | None
    hint_uri: str
    ended: bool
    discontinuity_sequence: int = 0  # of the newest segment


_NUMBER_TAGS = {
    name: re.compile(rf"^#EXT-X-{name}:(\d+)$", re.MULTILINE)
    for name in ("MEDIA-SEQUENCE", "TARGETDURATION")
}
_DISCONTINUITY_SEQUENCE = re.compile(r"^#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)$", re.MULTILINE)
_SKIPPED = re.compile(r"^#EXT-X-SKIP:SKIPPED-SEGMENTS=(\d+)$", re.MULTILINE)
_PART_TARGET = re.compile(r"^#EXT-X-PART-INF:PART-TARGET=([\d.]+)$", re.MULTILINE)
_HINT = re.compile(r'^#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]*)"$', re.MULTILINE)


def read_position(text: str) -> Position:
    """Read one of our own media playlists. The text is the truth: there is no second file.

    Raises:
        ValueError: the text is not a media playlist of ours.
    """
    numbers = {}
    for name, pattern in _NUMBER_TAGS.items():
        match = pattern.search(text)
        if match is None:
            raise ValueError(f"no {name} in the playlist")
        numbers[name] = int(match[1])
    skipped = _SKIPPED.search(text)
    complete = text.count("\n#EXTINF:") + (int(skipped[1]) if skipped else 0)
    before, _extinf, tail = text.rpartition("\n#EXTINF:")
    tail = tail if complete else text
    last = before.rpartition("\n#EXTINF:")[2]
    part_target, hint = _PART_TARGET.search(text), _HINT.search(text)
    slid_out = _DISCONTINUITY_SEQUENCE.search(text)
    return Position(
        last_msn=numbers["MEDIA-SEQUENCE"] + complete - 1,
        last_parts=last.count("\n#EXT-X-PART:") if complete else 0,
        parts=tail.count("\n#EXT-X-PART:"),
        target_duration=numbers["TARGETDURATION"],
        part_target=Fraction(part_target[1]) if part_target else None,
        hint_uri=hint[1] if hint else "",
        ended=text.rstrip().endswith("#EXT-X-ENDLIST"),
        discontinuity_sequence=(int(slid_out[1]) if slid_out else 0)
        + text.count("\n#EXT-X-DISCONTINUITY\n"),
    )


_PART_LINE = re.compile(r'#EXT-X-PART:DURATION=([\d.]+),URI="([^"]*)"(,INDEPENDENT=YES)?')


def read_segments(text: str) -> tuple[int, tuple[SegmentEntry, ...]]:
    """Read back one of our own media playlists, whole.

    Returns:
        EXT-X-DISCONTINUITY-SEQUENCE, and the segments; one in progress has no URI.

    Raises:
        ValueError: the text is not a media playlist of ours.
    """
    msn = read_position(text).last_msn + 1 - text.count("\n#EXTINF:")
    slid_out = _DISCONTINUITY_SEQUENCE.search(text)
    entries: list[SegmentEntry] = []
    map_uri = ""
    draft = fresh = SegmentEntry(msn, "", Fraction(), "", 0)
    for line in text.splitlines():
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-DISCONTINUITY":
            draft = replace(draft, discontinuity=True)
        elif tag == "#EXT-X-MAP":
            map_uri = value.partition('"')[2].rstrip('"')
        elif tag == "#EXT-X-PROGRAM-DATE-TIME":
            draft = replace(draft, wall_ms=_wall_ms(value))
        elif tag == "#EXT-X-GAP":
            draft = replace(draft, gap=True)
        elif tag == "#EXTINF":
            draft = replace(draft, duration=Fraction(value.rstrip(",")))
        elif match := _PART_LINE.fullmatch(line):
            part = PartEntry(match[2], Fraction(match[1]), bool(match[3]))
            draft = replace(draft, parts=(*draft.parts, part))
        elif line and not line.startswith("#"):
            entries.append(replace(draft, uri=line, map_uri=map_uri))
            draft = fresh = replace(fresh, msn=fresh.msn + 1)
    if draft.parts:
        entries.append(replace(draft, map_uri=map_uri))
    return (int(slid_out[1]) if slid_out else 0), tuple(entries)


def _wall_ms(text: str) -> int:
    since = datetime.fromisoformat(text) - _EPOCH
    return since // timedelta(milliseconds=1)
