"""Everything that was seen of a stream, as values: what the rules judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from urllib.parse import urlsplit

from client.fetch import Answer, resolve
from client.media import Fragments, Frame, Init, read_fragments, read_init
from client.playlists import MediaPlaylist, Multivariant
from client.timeline import Known, Timeline, merge
from encoder.errors import BadBox


@dataclass(frozen=True, slots=True)
class Address:
    """A file, or a range of one."""

    url: str
    byterange: str = ""  # "length@offset"

    @property
    def range_header(self) -> dict[str, str]:
        """How to ask for it."""
        if not self.byterange:
            return {}
        length, _, offset = self.byterange.partition("@")
        return {"Range": f"bytes={int(offset)}-{int(offset) + int(length) - 1}"}

    @property
    def name(self) -> str:
        """For people."""
        return "/".join(urlsplit(self.url).path.split("/")[-2:]).lstrip("/") + self.byterange


@dataclass(frozen=True, eq=False)
class Resource:
    """An init segment, a segment or a part, and each answer to a request for it."""

    address: Address
    kind: str  # "init", "segment", "part"
    answers: tuple[Answer, ...]
    _parsed: dict[int, Fragments | str] = field(default_factory=dict)

    @property
    def first(self) -> Answer:
        """The first answer."""
        return self.answers[0]

    @property
    def body(self) -> bytes | None:
        """Its bytes, if the first answer had them."""
        return self.first.body if self.first.status in (200, 206) else None

    @cached_property
    def init(self) -> Init | str:
        """Read as an init segment; text: why it cannot be."""
        try:
            return read_init(self.body or b"")
        except BadBox as error:
            return str(error)

    def fragments(self, init: Init) -> Fragments | str:
        """Read as fragments; text: why it cannot be."""
        found = self._parsed.get(id(init))
        if found is None:
            try:
                found = read_fragments(self.body or b"", init)
            except BadBox as error:
                found = str(error)
            self._parsed[id(init)] = found
        return found


@dataclass(frozen=True, slots=True)
class Reload:
    """One answer to a request for a media playlist, and what the request waited for."""

    answer: Answer
    playlist: MediaPlaylist | None
    msn: int | None = None
    part: int | None = None

    @property
    def at(self) -> float:
        """When it had come."""
        return self.answer.done_at


@dataclass(frozen=True, eq=False)
class Rendition:
    """One media playlist and its history."""

    name: str
    url: str
    reloads: tuple[Reload, ...]

    @cached_property
    def snapshots(self) -> list[Reload]:
        """Those answers that were playlists."""
        return [reload for reload in self.reloads if reload.playlist is not None]

    @cached_property
    def playlists(self) -> list[MediaPlaylist]:
        """All playlists in their order."""
        return [reload.playlist for reload in self.reloads if reload.playlist is not None]

    @cached_property
    def timeline(self) -> Timeline:
        """Its segments."""
        return merge(self.snapshots)

    @property
    def last(self) -> MediaPlaylist:
        """The newest playlist."""
        return self.playlists[-1]

    @property
    def target_duration(self) -> int:
        """As first told."""
        return self.playlists[0].target_duration or 1

    @property
    def part_target(self) -> Fraction | None:
        """As first told."""
        return next((p.part_target for p in self.playlists if p.part_target), None)

    @property
    def has_parts(self) -> bool:
        """Whether it is low latency."""
        return any(playlist.has_parts for playlist in self.playlists)

    def address(self, uri: str, byterange: str = "") -> Address | None:
        """Where a URI of this playlist leads."""
        url = resolve(self.url, uri)
        return Address(url, byterange) if url and uri else None


@dataclass(frozen=True, eq=False)
class Observation:
    """A stream over some seconds."""

    url: str
    first: Answer  # to the address we were given
    multivariant: Multivariant | None  # None: the address is that of a media playlist
    renditions: tuple[Rendition, ...]
    media: Mapping[Address, Resource]
    seconds: float
    notes: tuple[str, ...] = ()
    iframes: tuple[Rendition, ...] = ()  # I-frame playlists, each as it was at the end

    def resource(self, rendition: Rendition, uri: str, byterange: str = "") -> Resource | None:
        """What was fetched for a URI."""
        address = rendition.address(uri, byterange)
        return self.media.get(address) if address else None

    def init_of(self, rendition: Rendition, known: Known) -> Init | None:
        """The init segment of a segment, if it could be read."""
        if known.map_uri is None:
            return None
        found = self.resource(rendition, known.map_uri, known.map_byterange)
        return found.init if found and isinstance(found.init, Init) else None

    def first_init(self, rendition: Rendition) -> Init | None:
        """Of the oldest segment that has one."""
        inits = (self.init_of(rendition, known) for known in rendition.timeline.segments)
        return next((init for init in inits if init), None)

    def segment_frames(self, rendition: Rendition, known: Known) -> tuple[Frame, ...] | None:
        """Samples of a whole segment (its first track), if it was fetched and can be read."""
        return self._frames(rendition, known, known.uri, known.byterange)

    def part_frames(
        self, rendition: Rendition, known: Known, index: int
    ) -> tuple[Frame, ...] | None:
        """Samples of a part (its first track)."""
        part = known.parts[index]
        return self._frames(rendition, known, part.uri, part.byterange)

    def _frames(
        self, rendition: Rendition, known: Known, uri: str, byterange: str
    ) -> tuple[Frame, ...] | None:
        init = self.init_of(rendition, known)
        found = self.resource(rendition, uri, byterange) if uri else None
        if init is None or found is None or found.body is None:
            return None
        fragments = found.fragments(init)
        if isinstance(fragments, str):
            return None
        return fragments.frames(init.tracks[0].track_id) or None

    def is_video(self, rendition: Rendition) -> bool:
        """Whether a rendition carries pictures."""
        init = self.first_init(rendition)
        return init is not None and init.is_video

    @property
    def low_latency(self) -> tuple[Rendition, ...]:
        """Renditions with parts."""
        return tuple(rendition for rendition in self.renditions if rendition.has_parts)

    @property
    def ended(self) -> bool:
        """Whether the stream has ended."""
        return any(rendition.last.ended for rendition in self.renditions)

    def fragment_files(self) -> Iterator[tuple[Rendition, Known, Resource, Init]]:
        """Each fetched segment and part with its init segment."""
        for rendition in self.renditions:
            for known in rendition.timeline.segments:
                init = self.init_of(rendition, known)
                uris = [(known.uri, known.byterange)] if known.uri else []
                uris += [(part.uri, part.byterange) for part in known.parts]
                for uri, byterange in uris:
                    found = self.resource(rendition, uri, byterange)
                    if init and found and found.body is not None:
                        yield rendition, known, found, init
