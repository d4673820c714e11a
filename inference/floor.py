"""Whose turn it is among those who speak live: one speaks, and nobody else."""

from __future__ import annotations

from inference.errors import InferenceError
from inference.live import LiveLine
from rawmedia import MediaFormat


class FloorTaken(InferenceError):
    """Somebody else speaks, or is about to."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; connect later, or with ?interrupt=1")


class Floor:
    """Given to one speaker at a time; the queue's lock guards it.

    Args:
        media: of the stream.
        jitter_seconds: that are gathered before a speaker is heard.
    """

    def __init__(self, media: MediaFormat, jitter_seconds: float) -> None:
        self._media, self._jitter_seconds = media, jitter_seconds
        self._speaker: LiveLine | None = None

    @property
    def is_held(self) -> bool:
        """Whether somebody has it who is not heard yet."""
        speaker = self._speaker
        if speaker is None or speaker.has_begun:
            return False
        return speaker.is_open or speaker.is_ready

    def require_free(self) -> None:
        """See that nobody has it.

        Raises:
            FloorTaken: somebody has.
        """
        if self._speaker is not None and self._speaker.is_open:
            raise FloorTaken("somebody speaks through this face already")
        if self.is_held:  # he has gone, and his last words would go with the floor
            raise FloorTaken("somebody's last words are still to be said")

    def give(self, number: int, rate_hz: int) -> LiveLine:
        """To a new speaker."""
        self._speaker = LiveLine(number, rate_hz, self._media, self._jitter_seconds)
        return self._speaker

    def take(self) -> LiveLine | None:
        """The speaker, as soon as there is enough of him to begin."""
        speaker = self._speaker
        if speaker is None or not speaker.is_ready:
            return None
        speaker.has_begun = True
        return speaker

    def put_back(self, speaker: LiveLine) -> bool:
        """He was taken too early; False: the floor is somebody else's by now."""
        if self._speaker is not speaker:
            return False
        speaker.has_begun = False
        return True

    def take_away(self) -> list[int]:
        """Nobody has it any more; the number of who was not heard yet."""
        speaker, self._speaker = self._speaker, None
        if speaker is None:
            return []
        unheard = not speaker.has_begun and (speaker.is_open or speaker.is_ready)
        speaker.interrupt()
        return [speaker.number] if unheard else []
