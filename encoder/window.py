"""The complete segments that a media playlist lists, at a cost per part that no length changes.

Nearly all of an hour's playlist says the same from one part to the next (rule 8): those lines are
rendered and compressed in blocks, once. Only the newest segments are looked at for each part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fractions import Fraction

from encoder.playlist import Block, Older, SegmentEntry, ServerControl

# Smaller blocks pack worse, larger ones leave more to be rendered for each part.
BLOCK_SEGMENTS = 24


class Window:
    """A queue of segments: appended at one end, taken from the other.

    Args:
        control: of the playlist; how far from the end parts are listed, and deltas begin.
        entries: what it holds at first.
    """

    def __init__(self, control: ServerControl, entries: Iterable[SegmentEntry] = ()) -> None:
        self._near_end = max(3 * control.target_duration, control.can_skip_until or 0)
        self._blocks: deque[Block] = deque()
        self._newest: deque[SegmentEntry] = deque()
        self._count = self._older_discontinuities = 0
        self.seconds = Fraction()  # of all segments
        # The longest the playlist has been up to a segment, for each segment that can matter.
        self._peaks: deque[tuple[int, Fraction]] = deque()
        for entry in entries:
            self.append(entry)
        self.note_length()

    def __len__(self) -> int:
        return self._count

    @property
    def first(self) -> SegmentEntry | None:
        """The oldest segment."""
        if self._blocks:
            return self._blocks[0].entries[0]
        return self._newest[0] if self._newest else None

    @property
    def last(self) -> SegmentEntry | None:
        """The newest segment."""
        return self._newest[-1] if self._newest else None

    @property
    def newest(self) -> tuple[SegmentEntry, ...]:
        """Those that are rendered for each part: with parts, or not far enough from the end."""
        return tuple(self._newest)

    @property
    def older(self) -> Older | None:
        """All others."""
        if not self._blocks:
            return None
        count = self._count - len(self._newest)
        return Older(tuple(self._blocks), count, self._older_discontinuities > 0)

    def append(self, entry: SegmentEntry) -> None:
        """Add the next segment."""
        self._newest.append(entry)
        self._count += 1
        self.seconds += entry.duration
        far = len(self._newest) - BLOCK_SEGMENTS
        if far > 0 and self._seconds_from(BLOCK_SEGMENTS) > self._near_end:
            self._freeze()

    def popleft(self) -> SegmentEntry:
        """Take the oldest segment out."""
        if self._blocks:
            front = self._blocks.popleft()
            old, *rest = front.entries
            if rest or self._blocks:  # the first segment of a playlist stands under its own MAP
                first = tuple(rest) or self._blocks.popleft().entries
                self._blocks.appendleft(Block(first, ""))
            self._older_discontinuities -= old.discontinuity
        else:
            old = self._newest.popleft()
        self._count -= 1
        self.seconds -= old.duration
        return old

    def note_length(self) -> None:
        """The playlist is about to be published at its present length."""
        last = self.last
        if last is not None:
            while self._peaks and self._peaks[-1][1] <= self.seconds:
                self._peaks.pop()
            self._peaks.append((last.msn, self.seconds))

    def longest_with(self, msn: int) -> Fraction:
        """Seconds of the longest playlist that held a segment (30); asked in order of msn."""
        while self._peaks and self._peaks[0][0] < msn:
            self._peaks.popleft()
        return self._peaks[0][1] if self._peaks else self.seconds

    def _seconds_from(self, place: int) -> Fraction:
        entries = list(self._newest)[place:]
        return sum((entry.duration for entry in entries), Fraction())

    def _freeze(self) -> None:
        entries = tuple(self._newest.popleft() for _ in range(BLOCK_SEGMENTS))
        for entry in entries:
            entry.forget_texts()
        map_uri = self._blocks[-1].entries[-1].map_uri if self._blocks else ""
        self._blocks.append(Block(entries, map_uri))
        self._older_discontinuities += sum(entry.discontinuity for entry in entries)
