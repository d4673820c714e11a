"""What multivariant and media playlists say, as values. Reading them: :mod:`client.reader`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from client.syntax import Fault

# Noted beside the tags: it asks for a version of its own (rule 3).
REMOVED_DATERANGES = "RECENTLY-REMOVED-DATERANGES"


@dataclass(frozen=True, slots=True)
class Part:
    """One EXT-X-PART."""

    uri: str
    duration: Fraction
    independent: bool = False
    gap: bool = False
    byterange: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment with what applies to it; ``uri`` is empty while it is in progress."""

    msn: int
    uri: str
    duration: Fraction
    map_uri: str | None = None
    map_byterange: str = ""
    wall: Fraction | None = None  # its own PROGRAM-DATE-TIME, seconds since 1970
    discontinuity: bool = False
    gap: bool = False
    byterange: str = ""
    key: str = ""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerControl:
    """EXT-X-SERVER-CONTROL."""

    can_block_reload: bool = False
    can_skip_until: Fraction | None = None
    can_skip_dateranges: bool = False
    hold_back: Fraction | None = None
    part_hold_back: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """One EXT-X-PRELOAD-HINT."""

    kind: str
    uri: str
    byterange_start: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One EXT-X-RENDITION-REPORT."""

    uri: str
    last_msn: int | None
    last_part: int | None


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """One media playlist as it was served."""

    version: int
    target_duration: int | None
    media_sequence: int
    discontinuity_sequence: int | None
    playlist_type: str
    independent: bool
    part_target: Fraction | None
    control: ServerControl
    has_control: bool
    segments: tuple[Segment, ...]  # complete ones
    open: Segment | None  # in progress: its parts are listed, its URI is not
    hints: tuple[Hint, ...]
    reports: tuple[Report, ...]
    skipped: int
    ended: bool
    tags: frozenset[str]
    faults: tuple[Fault, ...]

    @property
    def every(self) -> tuple[Segment, ...]:
        """Complete segments and the one in progress."""
        return (*self.segments, self.open) if self.open else self.segments

    @property
    def last_msn(self) -> int:
        """Of the newest complete segment."""
        return self.media_sequence + self.skipped + len(self.segments) - 1

    @property
    def position(self) -> tuple[int, int]:
        """Msn and part index of the newest part; a whole segment counts as its last part."""
        if self.open and self.open.parts:
            return self.open.msn, len(self.open.parts) - 1
        if not self.segments:
            return self.last_msn, -1
        return self.segments[-1].msn, max(0, len(self.segments[-1].parts) - 1)

    @property
    def ending(self) -> tuple[str, int]:
        """By what it ends: last segment, and parts behind it. Needs no trust in its numbers."""
        return self.segments[-1].uri if self.segments else "", len(
            self.open.parts if self.open else ()
        )

    @property
    def has_parts(self) -> bool:
        """Whether it is a low-latency playlist."""
        return any(segment.parts for segment in self.every)

    @property
    def seconds(self) -> Fraction:
        """Listed duration."""
        return sum((s.duration for s in self.segments), Fraction())

    @property
    def hint(self) -> Hint | None:
        """The hinted part."""
        return next((hint for hint in self.hints if hint.kind == "PART"), None)

    def has(self, msn: int, part: int | None) -> bool:
        """Whether it answers ``_HLS_msn`` and ``_HLS_part`` (rule 36)."""
        if msn <= self.last_msn:
            if msn < self.last_msn or part is None:
                return True
            listed = len(self.segments[-1].parts) if self.segments else 0
            # Past the last part means part 0 of the next segment.
            return not listed or part < listed or bool(self.open and self.open.parts)
        in_progress = self.open is not None and self.open.msn == msn
        return in_progress and part is not None and part < len(self.open.parts if self.open else ())


@dataclass(frozen=True, slots=True)
class Variant:
    """One EXT-X-STREAM-INF and its URI."""

    uri: str
    bandwidth: int | None
    average_bandwidth: int | None
    codecs: str | None
    resolution: str | None
    frame_rate: str
    audio: str | None
    subtitles: str | None


@dataclass(frozen=True, slots=True)
class Media:
    """One EXT-X-MEDIA."""

    kind: str | None
    uri: str | None
    group_id: str | None
    name: str | None
    language: str | None
    channels: str | None
    default: bool
    autoselect: bool


@dataclass(frozen=True, slots=True)
class IFrameStream:
    """One EXT-X-I-FRAME-STREAM-INF."""

    uri: str
    bandwidth: int | None
    codecs: str | None


@dataclass(frozen=True, slots=True)
class Multivariant:
    """A multivariant playlist."""

    version: int
    independent: bool
    variants: tuple[Variant, ...]
    media: tuple[Media, ...]
    iframes: tuple[IFrameStream, ...]
    faults: tuple[Fault, ...]
