"""What a face is saying, as cues in the media's own time.

The worker leaves the lines of each text beside its sound (see :mod:`inference.utterances`) and
marks the units in which it begins and ends. Here the units between are counted as they are fed:
a cue stays with its word, whatever stalls, is repeated or is given up on the way.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from encoder.webvtt import Cue
from journal import Moment, read_mark, read_place
from logs import event
from rawmedia import CUES_SUFFIX

# Shorter than this no text can be read: the last line of an utterance stays that long.
SHORTEST_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an utterance; seconds from its first sound."""

    at: float
    until: float
    text: str


def read_lines(path: Path) -> tuple[Line, ...]:
    """The lines that a worker has left; none where it has left none."""
    try:
        told = json.loads(path.read_text("utf-8"))
        starts = [(float(at), str(text)) for at, text in told["cues"]]
        end = max(float(told["seconds"]), starts[-1][0] + SHORTEST_SECONDS)
    except FileNotFoundError:
        return ()  # a sound that nobody has written down
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        event(log, "captions_unreadable", level=logging.WARNING, path=path, reason=error)
        return ()
    ends = [*(at for at, _ in starts[1:]), end]
    return tuple(
        Line(at, until, text) for (at, text), until in zip(starts, ends, strict=True) if at < until
    )


class Captions:
    """Follows the units that a stream is fed, through all lives of the stream.

    Args:
        folder: where the worker keeps what it is to say.
        fps: units a second.
    """

    def __init__(self, folder: Path, fps: int) -> None:
        self._folder = folder
        self._fps = fps
        self._utterance = 0
        self._lines: Sequence[Line] = ()
        self._next = 0  # of the lines
        self._place = 0  # units since the first sound
        self._cues: list[Cue] = []

    def begin_timeline(self) -> None:
        """Media time begins anew; what is being said goes on in it."""
        self._cues.clear()
        self._next = max(0, self._next - 1)

    def fed(self, mark: int, number: int) -> None:
        """A unit of the source is fed, or given up, where that unit of the timeline is due."""
        utterance, moment = read_mark(mark)
        if mark and moment is Moment.STARTED:
            self._begin(utterance, read_place(mark))
        elif mark and moment is not Moment.POINT and utterance == self._utterance:
            self._end(number, cut=moment is Moment.INTERRUPTED)
        else:
            self._place += 1
        while self._next < len(self._lines) and self._is_due(self._lines[self._next]):
            self._show(self._lines[self._next], number)

    def between(self, start: Fraction, end: Fraction) -> list[Cue]:
        """What is to be seen in a span of media time, seconds."""
        low, high = start * 1000, end * 1000
        return [cue for cue in self._cues if cue.start_ms < high and cue.end_ms > low]

    def forget_before(self, instant: Fraction) -> None:
        """Nobody will ask for what is before this media time, seconds."""
        self._cues = [cue for cue in self._cues if cue.end_ms > instant * 1000]

    def _begin(self, utterance: int, place: int) -> None:
        self._lines = read_lines(self._folder / f"{utterance}{CUES_SUFFIX}")
        self._utterance, self._next, self._place = utterance, 0, place

    def _end(self, number: int, *, cut: bool) -> None:
        """What was not said is not shown; the end of what is shown was told before."""
        self._lines = ()
        if cut:
            self._cut(1000 * number // self._fps)

    def _cut(self, at_ms: int) -> None:
        cues = (replace(cue, end_ms=min(cue.end_ms, at_ms)) for cue in self._cues)
        self._cues = [cue for cue in cues if cue.start_ms < cue.end_ms]

    def _is_due(self, line: Line) -> bool:
        return int(line.at * self._fps) <= self._place

    def _show(self, line: Line, number: int) -> None:
        """Its word may begin within the unit, or in one that was given up."""
        begun = self._place / self._fps
        if begun < line.until:
            start = number / self._fps + max(0.0, line.at - begun)
            end = number / self._fps + line.until - begun
            name = f"u{self._utterance:x}-{self._next}"
            self._cut(round(start * 1000))
            self._cues.append(Cue(name, round(start * 1000), round(end * 1000), line.text))
        self._next += 1
