"""What the worker has marked: an encoder process that is new is told of it again.

One that is killed takes with it what it had not come to yet. So its successor is given the marks of
the last units once more, each on a unit of its own, and that of what is being said, however old.
What was told is known from the journal (see :mod:`encoder.chronicle`): nothing is told twice.
"""

from __future__ import annotations

from typing import NamedTuple

from journal import Moment, mark_of, read_face, read_mark

# More units than an encoder process ever holds; it has come to those before, and told of them.
IN_FLIGHT = 8
# More units than that are never given back.
_REMEMBERED = 32


class _Marked(NamedTuple):
    unit: int
    mark: int


class Said:
    """Counts units and keeps their marks, those taken back excepted."""

    def __init__(self) -> None:
        self._unit = 0  # the next to be drawn
        self._marks: list[_Marked] = []  # of the last units, and the last of speech before
        self._owed: list[_Marked] = []  # to be sent again, or late
        self._paid: list[tuple[int, _Marked]] = []  # by which unit they were

    def connected(self) -> None:
        """The next unit is the first that an encoder process gets."""
        since = self._unit - IN_FLIGHT
        lost = [owed for unit, owed in self._paid if unit >= since]
        lost += [marked for marked in self._marks if marked.unit >= since]
        spoken = [marked for marked in self._marks if not read_face(marked.mark)]
        lost += [marked for marked in spoken[-1:] if _moment(marked) is Moment.STARTED]
        self._owed, self._paid = sorted({*self._owed, *lost}), []

    def drawn(self, mark: int) -> int:
        """Another unit with that mark; the mark to send with it."""
        unit, self._unit = self._unit, self._unit + 1
        if mark:
            self._marks.append(_Marked(unit, mark))
        self._forget(unit - _REMEMBERED)
        if not self._owed:
            return mark
        if mark:
            self._owed.append(_Marked(unit, mark))
        owed = self._owed.pop(0)
        self._paid.append((unit, owed))
        return _told_late(owed, unit)

    def taken_back(self, units: int) -> None:
        """The last units will be drawn anew."""
        self._unit -= units
        self._marks = [marked for marked in self._marks if marked.unit < self._unit]
        unpaid = [owed for unit, owed in self._paid if unit >= self._unit]
        self._paid = [(unit, owed) for unit, owed in self._paid if unit < self._unit]
        self._owed = [owed for owed in (*unpaid, *self._owed) if owed.unit < self._unit]

    def _forget(self, before: int) -> None:
        spoken = [each for each in self._marks if each.unit < before and not read_face(each.mark)]
        self._marks = [*spoken[-1:], *(each for each in self._marks if each.unit >= before)]
        self._paid = [(unit, owed) for unit, owed in self._paid if unit >= before]


def _moment(marked: _Marked) -> Moment:
    return read_mark(marked.mark)[1]


def _told_late(owed: _Marked, unit: int) -> int:
    """Of a beginning it says how much of it was said before."""
    utterance, moment = read_mark(owed.mark)
    if moment is not Moment.STARTED:
        return owed.mark
    return mark_of(utterance, moment, unit - owed.unit)
