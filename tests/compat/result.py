"""What is known of one player after it has played."""

from __future__ import annotations

from dataclasses import dataclass

PLAY_SECONDS = 20
FPS = 25


@dataclass(frozen=True, slots=True)
class Playing:
    """As the player, or the page around it, has seen it.

    Attributes:
        version: of the player.
        started_seconds: from opening the page, or starting the program, to the first movement.
        played_seconds: of media, in PLAY_SECONDS of wall clock; jumps do not count.
        stalls: times the media clock stood still for a quarter of a second or more.
        pictures: that were shown; None where the player does not say.
        latency_seconds: the median of wall clock minus PROGRAM-DATE-TIME of what is shown; None
            where neither the player nor its requests tell.
        errors: whatever the player called an error, in its own words.
        loads: how often the page had to load the stream until it started.
    """

    version: str
    started_seconds: float
    played_seconds: float
    stalls: int
    pictures: int | None
    latency_seconds: float | None
    errors: tuple[str, ...]
    loads: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """A player's line in the table; requests as they were seen before the origin."""

    name: str
    host: str
    playing: Playing
    parts: int
    held_reloads: int
    rungs: tuple[str, ...]
    refused: tuple[str, ...]
    late_parts: bool  # the stream itself was late meanwhile, whoever played it

    @property
    def takes_low_latency(self) -> bool:
        """Parts and held reloads, and no few of them by chance."""
        return min(self.parts, self.held_reloads) > PLAY_SECONDS
