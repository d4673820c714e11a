"""What a probe works on, and the questions that several probes ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from client.fetch import Answer, Fetch
from client.observation import Observation, Rendition, Resource
from client.observe import with_query
from client.playlists import MediaPlaylist
from client.reader import read_media_playlist

# "At once", over a slow link. A busy machine makes any one answer late, but hardly three: one that
# is quick proves that nothing is held.
AT_ONCE_SECONDS = 1.0
AT_ONCE_TRIES = 3
# CORS answers may depend on who asks.
ORIGIN = {"Origin": "https://player.example"}


# Names without ``_HLS_``.
Directives = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Site:
    """A stream that was watched and may now be asked."""

    fetch: Fetch
    observation: Observation
    http2: Callable[[str], Answer | None]  # None: it is plain http

    @property
    def rendition(self) -> Rendition:
        """The one that is asked: the first."""
        return self.observation.renditions[0]

    @property
    def blocks(self) -> bool:
        """Whether blocking reloads are offered."""
        return self.rendition.last.control.can_block_reload

    @property
    def ended(self) -> bool:
        """Whether the rendition that is asked has ended."""
        return self.rendition.last.ended

    def ask(self, directives: Directives | None = None, *, method: str = "GET") -> Answer:
        """Ask for the media playlist with some directives, such as ``{"msn": 7}``."""
        query = {f"_HLS_{name}": value for name, value in (directives or {}).items()}
        seconds = 4 * min(self.rendition.target_duration, 30) + 5
        url = with_query(self.rendition.url, query)
        return self.fetch(url, method=method, headers=ORIGIN, seconds=seconds)

    def now(self) -> MediaPlaylist | None:
        """The playlist as it is now."""
        answer = self.ask()
        return read_media_playlist(answer.body) if answer.status == 200 else None

    def newest(self, kind: str) -> Resource | None:
        """A fetched file of a kind that is surely there still."""
        found = [
            resource
            for resource in self.observation.media.values()
            if resource.kind == kind and resource.body
        ]
        listed = (
            self.rendition.address(self.rendition.last.segments[-1].uri)
            if (kind == "segment" and self.rendition.last.segments)
            else None
        )
        return next((r for r in found if r.address == listed), found[-1] if found else None)

    def unknown_url(self) -> str:
        """A file next to the media that nobody ever listed."""
        return self.rendition.url.split("?")[0].rpartition("/")[0] + "/0-no-such-file.m4s"


def query(directives: Directives) -> str:
    """Directives as they stand in the address."""
    return "&".join(f"_HLS_{name}={value}" for name, value in directives.items())


def is_late(answer: Answer, again: Callable[[], Answer]) -> Iterator[str]:
    """Whether an answer that should come at once took long, and did so each time.

    Args:
        answer: of the first try.
        again: asks for the same in the state of things by then.
    """
    fastest = answer.seconds
    for _ in range(AT_ONCE_TRIES - 1):
        if fastest <= AT_ONCE_SECONDS:
            return
        fastest = min(fastest, again().seconds)
    if fastest > AT_ONCE_SECONDS:
        yield f"it took {fastest:.2f} s"
