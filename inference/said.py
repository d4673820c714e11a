"""How far the worker has come in what it says: for an encoder process that begins in the middle."""

from __future__ import annotations

from collections import deque

from journal import Moment, mark_of, read_face, read_mark

# More units than an encoder holds at once are never given back.
_REMEMBERED = 32


class Said:
    """Counts the units of an utterance by their marks, those taken back excepted."""

    def __init__(self) -> None:
        self._now = (0, 0)  # utterance (0: none) and unit since its first sound
        self._before: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self._is_first = True

    def connected(self) -> None:
        """The next unit is the first that an encoder process gets."""
        self._is_first = True

    def drawn(self, mark: int) -> int:
        """Another unit with that mark; the mark to send with it."""
        self._before.append(self._now)
        self._now = _next(self._now, mark)
        is_first, self._is_first = self._is_first, False
        utterance, place = self._now
        if is_first and utterance and not mark:
            return mark_of(utterance, Moment.STARTED, place)
        return mark

    def taken_back(self, units: int) -> None:
        """The last units will be drawn anew."""
        for _ in range(units):
            self._now = self._before.pop()


def _next(now: tuple[int, int], mark: int) -> tuple[int, int]:
    if read_face(mark):  # what is said goes on
        mark = 0
    number, moment = read_mark(mark)
    if mark and moment is Moment.STARTED:
        return number, 0
    if mark and moment in (Moment.FINISHED, Moment.INTERRUPTED):
        return 0, 0
    utterance, place = now
    return utterance, place + 1
