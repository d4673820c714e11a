"""Delivery directives of a blocking playlist reload: parsed once, then compared (rules 36-41)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from encoder.playlist_reader import Position

MSN, PART, SKIP = "_HLS_msn", "_HLS_part", "_HLS_skip"
# A client may ask for the segment after the next one, not for more (39).
ADVANCE_SEGMENTS = 2
# Longer numbers are no media sequence numbers of anyone.
_LONGEST_NUMBER = 18


class BadDirective(ValueError):
    """A directive that can never be answered: 400."""


@dataclass(frozen=True, slots=True)
class Directives:
    """What a client waits for. Without ``msn`` it waits for nothing."""

    msn: int | None = None
    part: int | None = None
    skip: bool = False  # a delta update will do (42)

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Directives:
        """Read the query of a playlist request.

        Raises:
            BadDirective: not a number, or a part without a segment (38).
        """
        msn, part = _number(query, MSN), _number(query, PART)
        if part is not None and msn is None:
            raise BadDirective(f"{PART} needs {MSN}")
        # v2 leaves out date ranges too; there are none. Any other value asks for nothing we know.
        return cls(msn, part, query.get(SKIP) in ("YES", "v2"))

    def satisfied(self, position: Position) -> bool:
        """Whether the playlist has what was asked for; one that has ended always has (41).

        Safari asks msn without part: it wants the whole segment (36). An msn that has passed is
        answered with whatever is there (37).
        """
        if self.msn is None or position.ended or self.msn < position.last_msn:
            return True
        part = self.part
        if self.msn == position.last_msn:
            # Past the segment's last part means part 0 of the next one (36).
            beyond = part is not None and part >= position.last_parts > 0
            return not beyond or position.parts > 0
        in_progress = self.msn == position.last_msn + 1
        return in_progress and part is not None and part < position.parts

    def check_advance(self, position: Position) -> None:
        """Refuse what lies too far ahead to wait for (39).

        Raises:
            BadDirective: it does.
        """
        if self.msn is None or position.ended:
            return
        if self.msn > position.last_msn + ADVANCE_SEGMENTS:
            raise BadDirective(f"{MSN}={self.msn}: the last segment is {position.last_msn}")
        if self.part is None or position.part_target is None:
            return
        limit = math.ceil(3 / position.part_target) if position.part_target < 1 else 3
        listed = {
            position.last_msn: position.last_parts,
            position.last_msn + 1: position.parts,
        }.get(self.msn, 0)
        if self.msn >= position.last_msn and self.part >= listed + limit:
            raise BadDirective(f"{PART}={self.part}: more than {limit} parts ahead")


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise BadDirective(f"{name} must be a whole number")
    return int(text)
