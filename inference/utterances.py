"""What a face is still to say: posted utterances, bounded in seconds, kept as files until said.

Handed from the thread that talks to the web processes to the one that renders. A file is named by
its utterance's number, and that plus ``.speaking`` while it is said: a worker that is started
anew goes on with what nobody has heard yet, and tells of what was cut off in the middle. Its
captions, where it was a text, stand beside it, and go when two more have begun.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.errors import FileRejected, InferenceError
from inference.floor import Floor, FloorTaken
from inference.line import Line, Spoken, line_of
from inference.live import LiveLine
from inference.speech import load_clip
from journal import Journal
from logs import event
from rawmedia import CUES_SUFFIX, MediaFormat

SPEAKING = ".speaking"
# Is there once anything was posted; a worker that comes later knows it by that.
EVER = "ever"

log = logging.getLogger(__name__)


class QueueFull(InferenceError):
    """No more can wait; ``wait_seconds`` until this utterance could."""

    def __init__(self, queued: float, limit: int, wait: float) -> None:
        super().__init__(
            f"{queued:.1f} s of speech wait to be said, {limit} s are the most "
            f"(setting speech_queue_seconds); ask again in {math.ceil(wait)} s"
        )
        self.wait_seconds = wait


class TooLong(InferenceError):
    """An utterance that no wait would make room for."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is told of an utterance when it is taken; seconds."""

    utterance: int
    starts_in: float
    duration: float
    queued: float  # everything that waits, this one included


class Utterances:
    """The queue of one face.

    Args:
        media: of the stream.
        folder: for their files.
        limit_seconds: of speech that may wait or be under way.
        journal: where it is told what becomes of them.
        jitter_seconds: that are gathered of somebody who speaks live.
    """

    def __init__(
        self,
        media: MediaFormat,
        folder: Path,
        limit_seconds: int,
        journal: Journal,
        jitter_seconds: float = 0.12,
    ) -> None:
        self.jitter_seconds = jitter_seconds
        self._media = media
        self._floor = Floor(media, jitter_seconds)
        self._folder = folder
        self._limit = limit_seconds
        self._journal = journal
        self._prepare: Callable[[Line], Line] = lambda line: line
        self._lock = threading.Lock()
        self._waiting: deque[Line] = deque()
        self._newest = self._taken = 0
        self._hush_below = 0
        self.any_was_posted = (folder / EVER).exists()  # to this worker or one before it
        # Told by the face: units to come before it begins with what waits, and of that what was
        # posted.
        self.units_left = self.posted_units_left = 0

    # --- from outside ----------------------------------------------------------------------------

    def add(self, path: Path, max_seconds: int, facts: dict[str, Any], *, interrupt: bool) -> Place:
        """Queue a sound file, which becomes ours; with ``interrupt`` in place of all before it.

        Raises:
            AudioRejected: it cannot be used.
            QueueFull, TooLong: there is no room for it.
        """
        line = self._loaded(path, max_seconds)
        seconds = self._seconds(line.units)
        if seconds > self._limit:
            raise TooLong(
                f"it lasts {seconds:.1f} s, {self._limit} s of speech are the most that can wait "
                "(setting speech_queue_seconds); cut it"
            )
        with self._lock:
            self._require_room(0.0 if interrupt else self._queued_seconds(), seconds)
            dropped = self._hush() if interrupt else []
            line = line.numbered(self._next_number())
            starts_in = self._starts_in(line, after=0 if interrupt else self.units_left)
            if facts.get("cues"):
                self._leave_cues(line.number, facts["cues"], seconds)
            path.rename(self._file(line.number))
            (self._folder / EVER).touch()
            self.any_was_posted = True
            self._waiting.append(line)
            place = Place(line.number, starts_in, seconds, self._queued_seconds())
        self._tell_dropped(dropped)
        told = {"starts_in_seconds": round(starts_in, 3), "duration_seconds": round(seconds, 3)}
        self._tell("speech_queued", line.number, **told, **facts)
        return place

    def hush(self) -> list[int]:
        """Nothing that was asked for up to now is said; which of it had to wait."""
        with self._lock:
            dropped = self._hush()
        self._tell_dropped(dropped)
        return dropped

    def queued_seconds(self) -> float:
        """Of speech that waits or is under way."""
        with self._lock:
            return self._queued_seconds()

    def number(self) -> int:
        """One for a change of the face: events, marks and later workers tell it from all others."""
        with self._lock:
            return self._next_number()

    def resume(self, max_seconds: int) -> None:
        """Go on where a worker before this one was ended."""
        for path in self._folder.glob(f"*{SPEAKING}"):
            path.unlink()
            self._tell("speech_lost", int(path.stem))
        queued = (path for path in self._folder.glob("*") if path.name.isdecimal())
        for number, path in sorted((int(path.name), path) for path in queued):
            try:
                line = self._loaded(path, max_seconds)
            except FileRejected:
                path.unlink()
                self._tell("speech_lost", number)
                continue
            self._newest = number
            self._waiting.append(line.numbered(number))

    # --- somebody who speaks live ----------------------------------------------------------------

    def open_live(self, rate_hz: int, *, interrupt: bool) -> LiveLine:
        """Somebody begins to speak; with ``interrupt`` in place of all that is said or waits.

        What is posted meanwhile waits until he is gone.

        Raises:
            FloorTaken: somebody speaks already, or something is said or waits.
        """
        with self._lock:
            if not interrupt:
                self._require_silence()
            dropped = self._hush() if interrupt else []
            live = self._floor.give(self._next_number(), rate_hz)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            # A successor of this worker tells by it that he was cut off.
            self._file(live.number).with_suffix(SPEAKING).touch()
            (self._folder / EVER).touch()
            self.any_was_posted = True
        self._tell_dropped(dropped)
        starts_in = round(self.jitter_seconds, 3)
        self._tell("speech_queued", live.number, live=True, starts_in_seconds=starts_in)
        return live

    def close_live(self, live: LiveLine) -> None:
        """He is gone."""
        live.finish()
        if not live.is_ready and not live.has_begun and not live.was_interrupted:
            self.never_began(live.number)

    def tell_live(self, kind: str, live: LiveLine) -> None:
        """An event with what became of his sound so far, in seconds."""
        self._tell(kind, live.number, **told_of(live))

    @property
    def somebody_waits(self) -> bool:
        """Whether somebody speaks who is not heard yet."""
        return self._floor.is_held

    def _require_silence(self) -> None:
        self._floor.require_free()
        if seconds := self._queued_seconds():
            raise FloorTaken(f"{seconds:.1f} s of speech are being said or wait")

    # --- from the face ---------------------------------------------------------------------------

    def prepare_with(self, prepare: Callable[[Line], Line]) -> None:
        """Have something done to each line when it is added: what draws has no time for it."""
        with self._lock:
            self._prepare = prepare
            self._waiting = deque(prepare(line) for line in self._waiting)

    @property
    def waiting(self) -> bool:
        """Whether there is something to say."""
        return bool(self._waiting) or self.somebody_waits

    @property
    def hush_below(self) -> int:
        """Utterances with a lower number are not to be said, and not to be gone on with."""
        return self._hush_below

    def take(self) -> Spoken | None:
        """The next one to say."""
        with self._lock:
            if self._floor.is_held:
                return self._floor.take()
            if not self._waiting:
                return None
            line = self._waiting.popleft()
            # The face counts it from now on.
            self.units_left = self.posted_units_left = line.units
        self._sweep_cues(line.number)
        with contextlib.suppress(FileNotFoundError):  # the stream is being removed
            self._file(line.number).rename(self._file(line.number).with_suffix(SPEAKING))
        return line

    def put_back(self, line: Spoken) -> None:
        """It was taken too early: it comes first again."""
        if isinstance(line, LiveLine):
            if not self._floor.put_back(line):
                self.never_began(line.number)
            return
        assert isinstance(line, Line)
        with self._lock:
            self._waiting.appendleft(line)
        with contextlib.suppress(FileNotFoundError):
            self._file(line.number).with_suffix(SPEAKING).rename(self._file(line.number))

    def done(self, number: int) -> None:
        """It has been said, or was cut off."""
        self._file(number).with_suffix(SPEAKING).unlink(missing_ok=True)

    def never_began(self, number: int) -> None:
        """It was taken, and then nobody heard of it."""
        self.done(number)
        self._tell_dropped([number])

    # ---------------------------------------------------------------------------------------------

    def _loaded(self, path: Path, max_seconds: int) -> Line:
        return self._prepare(line_of(load_clip(path, self._media, max_seconds), self._media))

    def _starts_in(self, line: Line, after: int) -> float:
        """Estimated: between two utterances the lips close and open again."""
        ways = line.ease * (2 * len(self._waiting) + (2 if after else 1))
        return self._seconds(after + ways + sum(each.units for each in self._waiting))

    def _hush(self) -> list[int]:
        dropped = [*self._floor.take_away(), *(line.number for line in self._waiting)]
        self._waiting.clear()
        self._hush_below = self._next_number()
        for number in dropped:
            self._file(number).unlink(missing_ok=True)
            self._file(number).with_suffix(CUES_SUFFIX).unlink(missing_ok=True)
            self.done(number)
        return dropped

    def _leave_cues(self, number: int, cues: list[dict[str, Any]], seconds: float) -> None:
        """For the encoder process: only it knows when in the media the utterance is said.

        Better said without captions than not said.
        """
        told = {"seconds": seconds, "cues": [(cue["at_seconds"], cue["text"]) for cue in cues]}
        path = self._file(number).with_suffix(CUES_SUFFIX)
        try:
            path.write_text(json.dumps(told), "utf-8")
        except OSError as error:
            event(log, "captions_unwritten", level=logging.WARNING, reason=error.strerror)

    def _sweep_cues(self, number: int) -> None:
        """The next utterance begins: the last one may still be on its way to the encoder."""
        for path in self._folder.glob(f"*{CUES_SUFFIX}"):
            if int(path.stem) < self._taken:
                path.unlink(missing_ok=True)
        self._taken = number

    def _tell_dropped(self, numbers: list[int]) -> None:
        for number in numbers:
            self._tell("speech_interrupted", number, started=False)

    def _tell(self, kind: str, number: int, **facts: Any) -> None:
        """A full disk is no reason to fall silent."""
        try:
            self._journal.tell(kind, utterance=name_of(number), **facts)
        except OSError as error:
            event(log, "event_unwritten", level=logging.WARNING, reason=error.strerror)

    def _require_room(self, queued: float, seconds: float) -> None:
        missing = queued + seconds - self._limit
        if missing > 0:
            raise QueueFull(queued, self._limit, missing)

    def _queued_seconds(self) -> float:
        waiting = sum(line.units for line in self._waiting)
        return self._seconds(waiting + self.posted_units_left)

    def _seconds(self, units: int) -> float:
        return units / self._media.fps

    def _next_number(self) -> int:
        """By the clock: no worker that comes later gives a number again."""
        self._newest = max(self._newest + 1, time.time_ns() // 1_000_000)
        return self._newest

    def _file(self, number: int) -> Path:
        return self._folder / str(number)


def name_of(number: int) -> str:
    """An utterance's id for the outside."""
    return f"u{number:x}"


def told_of(live: LiveLine) -> dict[str, float]:
    """What became of a live speaker's sound, for the outside."""
    return {name: round(value, 3) for name, value in asdict(live.account).items()}
