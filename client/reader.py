"""Multivariant and media playlists, read strictly and without any trust.

Independent of what our own origin writes: the draft is the reference. Breaches that one playlist
shows by itself are kept as faults with their rule; what takes several is for ``client.rules``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from client.playlists import (
    REMOVED_DATERANGES,
    Hint,
    IFrameStream,
    Media,
    MediaPlaylist,
    Multivariant,
    Part,
    Report,
    Segment,
    ServerControl,
    Variant,
)
from client.syntax import Attributes, Faults, Line, decimal, integer, lines, wall_time

_MEDIA_HEADER = {
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
}
_MEDIA_TAGS = _MEDIA_HEADER | {
    "EXTINF",
    "EXT-X-BYTERANGE",
    "EXT-X-DISCONTINUITY",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXT-X-BITRATE",
    "EXT-X-PART",
    "EXT-X-DATERANGE",
    "EXT-X-SKIP",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
}
_MULTIVARIANT_TAGS = {
    "EXT-X-MEDIA",
    "EXT-X-STREAM-INF",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-CONTENT-STEERING",
}
_EITHER_ONCE = {"EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START"}
_MAX_VERSION = 1000
_MAX_SKIPPED = 10**9


def is_multivariant(body: bytes) -> bool:
    """Whether a playlist is one, judged by its tags."""
    found = {line.name for line in lines(body, Faults())}
    return bool(found & _MULTIVARIANT_TAGS) and not found & {"EXTINF", "EXT-X-TARGETDURATION"}


def _count_tags(all_lines: list[Line], foreign: set[str], kind: str, faults: Faults) -> None:
    """Rule 2."""
    seen: dict[str, int] = {}
    for line in all_lines:
        if line.name in foreign:
            faults.add(line.number, 2, f"{line.name} in a {kind} playlist")
        if line.name in _MEDIA_HEADER | _EITHER_ONCE and line.name in seen:
            faults.add(line.number, 2, f"{line.name} stands on line {seen[line.name]} already")
        seen.setdefault(line.name, line.number)


def _version(line: Line, faults: Faults) -> int:
    return min(integer(line.value, line, faults) or 1, _MAX_VERSION)


# --- multivariant -------------------------------------------------------------------------------


def read_multivariant(body: bytes) -> Multivariant:
    """Read a multivariant playlist; never raises."""
    faults = Faults()
    every = list(lines(body, faults))
    _count_tags(every, _MEDIA_TAGS, "multivariant", faults)
    version, variants, media, iframes = 1, [], [], []
    pending: Line | None = None
    for line in every:
        if pending and line.name:
            faults.add(pending.number, 1, "EXT-X-STREAM-INF without a URI behind it")
            pending = None
        if line.name == "EXT-X-VERSION":
            version = _version(line, faults)
        elif line.name == "EXT-X-STREAM-INF":
            pending = line
        elif line.name == "EXT-X-MEDIA":
            media.append(_media(Attributes(line, faults)))
        elif line.name == "EXT-X-I-FRAME-STREAM-INF":
            iframes.append(_iframe_stream(Attributes(line, faults)))
        elif not line.name:
            if pending:
                variants.append(_variant(line.value, Attributes(pending, faults)))
            pending = None
    if pending:
        faults.add(pending.number, 1, "EXT-X-STREAM-INF without a URI behind it")
    independent = any(line.name == "EXT-X-INDEPENDENT-SEGMENTS" for line in every)
    found = tuple(faults.found)
    return Multivariant(version, independent, tuple(variants), tuple(media), tuple(iframes), found)


def _iframe_stream(attributes: Attributes) -> IFrameStream:
    return IFrameStream(
        uri=attributes.quoted("URI") or "",
        bandwidth=attributes.integer("BANDWIDTH"),
        codecs=attributes.quoted("CODECS"),
    )


def _variant(uri: str, attributes: Attributes) -> Variant:
    return Variant(
        uri=uri,
        bandwidth=attributes.integer("BANDWIDTH"),
        average_bandwidth=attributes.integer("AVERAGE-BANDWIDTH"),
        codecs=attributes.quoted("CODECS"),
        resolution=attributes.word("RESOLUTION"),
        frame_rate=attributes.text("FRAME-RATE"),
        audio=attributes.quoted("AUDIO"),
        subtitles=attributes.quoted("SUBTITLES"),
    )


def _media(attributes: Attributes) -> Media:
    return Media(
        kind=attributes.word("TYPE"),
        uri=attributes.quoted("URI"),
        group_id=attributes.quoted("GROUP-ID"),
        name=attributes.quoted("NAME"),
        language=attributes.quoted("LANGUAGE"),
        channels=attributes.quoted("CHANNELS"),
        default=attributes.yes("DEFAULT"),
        autoselect=attributes.yes("AUTOSELECT"),
    )


# --- media --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Walks the lines of a media playlist once."""

    faults: Faults
    version: int = 1
    numbers: dict[str, int] = field(default_factory=dict)
    playlist_type: str = ""
    part_target: Fraction | None = None
    control: ServerControl = field(default_factory=ServerControl)
    segments: list[Segment] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    skipped: int = 0
    tags: set[str] = field(default_factory=set)
    next: Segment = field(default_factory=lambda: Segment(0, "", Fraction()))
    parts: list[Part] = field(default_factory=list)
    extinf: Line | None = None

    def take(self, line: Line) -> None:
        self.tags.add(line.name)
        if not line.name:
            self._uri(line)
        elif line.name in _HANDLERS:
            _HANDLERS[line.name](self, line)
        elif line.name in _PER_SEGMENT:
            self._before_parts(line)
            self.next = _PER_SEGMENT[line.name](self, line)

    def _uri(self, line: Line) -> None:
        if self.extinf is None:
            self.faults.add(line.number, 1, f"{line.value[:60]!r} has no EXTINF before it")
        self.segments.append(replace(self.next, uri=line.value, parts=tuple(self.parts)))
        self.next = replace(
            self.next,
            duration=Fraction(),
            wall=None,
            discontinuity=False,
            gap=False,
            byterange="",
        )
        self.extinf, self.parts = None, []

    def _before_parts(self, line: Line) -> None:
        """Rule 18: what applies to a segment stands before its first part."""
        if self.parts:
            self.faults.add(line.number, 18, f"{line.name} behind a part of its segment")

    def number(self, line: Line) -> None:
        value = integer(line.value, line, self.faults)
        if value is not None:
            self.numbers.setdefault(line.name, value)
        if line.name != "EXT-X-TARGETDURATION" and (self.segments or self.parts):
            self.faults.add(line.number, 2, f"{line.name} behind the first segment")

    def read_version(self, line: Line) -> None:
        self.version = _version(line, self.faults)

    def read_type(self, line: Line) -> None:
        self.playlist_type = line.value

    def read_control(self, line: Line) -> None:
        attributes = Attributes(line, self.faults)
        self.control = ServerControl(
            attributes.yes("CAN-BLOCK-RELOAD"),
            attributes.decimal("CAN-SKIP-UNTIL"),
            attributes.yes("CAN-SKIP-DATERANGES"),
            attributes.decimal("HOLD-BACK"),
            attributes.decimal("PART-HOLD-BACK"),
        )

    def read_part_inf(self, line: Line) -> None:
        self.part_target = Attributes(line, self.faults).decimal("PART-TARGET")
        if not self.part_target:
            self.faults.add(line.number, 21, "EXT-X-PART-INF without a PART-TARGET")

    def read_extinf(self, line: Line) -> None:
        number, comma, _title = line.value.partition(",")
        if not comma:
            self.faults.add(line.number, 1, "EXTINF without its comma")
        if self.extinf is not None:
            self.faults.add(line.number, 12, "EXTINF behind EXTINF: no URI between")
        self.extinf = line
        duration = decimal(number, line, self.faults) or Fraction()
        self.next = replace(self.next, duration=duration)

    def read_part(self, line: Line) -> None:
        attributes = Attributes(line, self.faults)
        uri, duration = attributes.quoted("URI"), attributes.decimal("DURATION")
        if uri is None or duration is None:
            self.faults.add(line.number, 1, "EXT-X-PART without URI or DURATION")
        part = Part(
            uri or "",
            duration or Fraction(),
            attributes.yes("INDEPENDENT"),
            attributes.yes("GAP"),
            attributes.quoted("BYTERANGE") or "",
        )
        self.parts.append(part)

    def read_hint(self, line: Line) -> None:
        attributes = Attributes(line, self.faults)
        kind, uri = attributes.word("TYPE"), attributes.quoted("URI")
        if kind is None or uri is None:
            self.faults.add(line.number, 1, "EXT-X-PRELOAD-HINT without TYPE or URI")
        start = attributes.integer("BYTERANGE-START")
        self.hints.append(Hint(kind or "", uri or "", start))

    def read_report(self, line: Line) -> None:
        attributes = Attributes(line, self.faults)
        self.reports.append(
            Report(
                attributes.quoted("URI") or "",
                attributes.integer("LAST-MSN"),
                attributes.integer("LAST-PART"),
            )
        )

    def read_skip(self, line: Line) -> None:
        attributes = Attributes(line, self.faults)
        self.skipped = min(attributes.integer("SKIPPED-SEGMENTS") or 0, _MAX_SKIPPED)
        if REMOVED_DATERANGES in attributes:
            self.tags.add(REMOVED_DATERANGES)

    def finish(self) -> MediaPlaylist:
        numbers, ended = self.numbers, "EXT-X-ENDLIST" in self.tags
        if self.extinf is not None:
            self.faults.add(self.extinf.number, 12, "EXTINF without the URI behind it")
        target_duration = numbers.get("EXT-X-TARGETDURATION")
        if not target_duration:
            self.faults.add(0, 4, "EXT-X-TARGETDURATION is missing or 0")
        first = numbers.get("EXT-X-MEDIA-SEQUENCE", 0) + self.skipped
        pending = replace(self.next, parts=tuple(self.parts))
        every = [replace(s, msn=first + n) for n, s in enumerate([*self.segments, pending])]
        return MediaPlaylist(
            version=self.version,
            target_duration=target_duration,
            media_sequence=numbers.get("EXT-X-MEDIA-SEQUENCE", 0),
            discontinuity_sequence=numbers.get("EXT-X-DISCONTINUITY-SEQUENCE"),
            playlist_type=self.playlist_type,
            independent="EXT-X-INDEPENDENT-SEGMENTS" in self.tags,
            part_target=self.part_target,
            control=self.control,
            has_control="EXT-X-SERVER-CONTROL" in self.tags,
            segments=tuple(every[:-1]),
            open=every[-1] if every[-1].parts else None,
            hints=tuple(self.hints),
            reports=tuple(self.reports),
            skipped=self.skipped,
            ended=ended,
            tags=frozenset(self.tags),
            faults=tuple(self.faults.found),
        )


def _with_map(reader: _Reader, line: Line) -> Segment:
    attributes = Attributes(line, reader.faults)
    uri = attributes.quoted("URI")
    if not uri:
        reader.faults.add(line.number, 10, "EXT-X-MAP without a URI")
    byterange = attributes.quoted("BYTERANGE") or ""
    return replace(reader.next, map_uri=uri or None, map_byterange=byterange)


_HANDLERS = {
    "EXT-X-VERSION": _Reader.read_version,
    "EXT-X-TARGETDURATION": _Reader.number,
    "EXT-X-MEDIA-SEQUENCE": _Reader.number,
    "EXT-X-DISCONTINUITY-SEQUENCE": _Reader.number,
    "EXT-X-PLAYLIST-TYPE": _Reader.read_type,
    "EXT-X-PART-INF": _Reader.read_part_inf,
    "EXT-X-SERVER-CONTROL": _Reader.read_control,
    "EXTINF": _Reader.read_extinf,
    "EXT-X-PART": _Reader.read_part,
    "EXT-X-PRELOAD-HINT": _Reader.read_hint,
    "EXT-X-RENDITION-REPORT": _Reader.read_report,
    "EXT-X-SKIP": _Reader.read_skip,
}
_PER_SEGMENT: dict[str, Callable[[_Reader, Line], Segment]] = {
    "EXT-X-DISCONTINUITY": lambda r, _: replace(r.next, discontinuity=True),
    "EXT-X-MAP": _with_map,
    "EXT-X-KEY": lambda r, line: replace(r.next, key=line.value),
    "EXT-X-PROGRAM-DATE-TIME": lambda r, line: replace(r.next, wall=wall_time(line, r.faults)),
}


def read_media_playlist(body: bytes) -> MediaPlaylist:
    """Read a media playlist; never raises."""
    faults = Faults()
    every = list(lines(body, faults))
    _count_tags(every, _MULTIVARIANT_TAGS, "media", faults)
    reader = _Reader(faults)
    for line in every:
        if line.name == "EXT-X-GAP":  # the draft lets it stand anywhere before its URI
            reader.next = replace(reader.next, gap=True)
        elif line.name == "EXT-X-BYTERANGE":
            reader.next = replace(reader.next, byterange=line.value)
        reader.take(line)
    return reader.finish()
