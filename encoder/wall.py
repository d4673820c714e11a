"""Whether EXT-X-PROGRAM-DATE-TIME still tells the time, when the wall clock is set meanwhile.

Media time comes from the monotonic clock alone. The wall clock gives it a name once, at the start
of an era; a new name costs viewers an EXT-X-DISCONTINUITY (14, 16), so small errors are let be.
"""

from __future__ import annotations

from dataclasses import dataclass

from encoder.clock import NANOSECONDS

# A clock that is set twice in a moment (time synchronisation at boot does it) counts once.
STEADY_NS = 10 * NANOSECONDS
# Of two looks, milliseconds: within this it is the same error.
SAME_MS = 500


@dataclass(slots=True)
class WallWatch:
    """Looks at the difference between what the playlist says and what the clock says.

    ``tolerated_ms`` is the largest error that is let be for ever.
    """

    tolerated_ms: int
    _off_ms: int = 0
    _since_ns: int = 0

    def correction_ms(self, now_ns: int, off_ms: int) -> int:
        """By how much to move the anchor now; 0: leave it.

        Args:
            now_ns: monotonic.
            off_ms: wall clock minus what the playlist would say of this instant.
        """
        if abs(off_ms) <= self.tolerated_ms:
            self._since_ns = 0
            return 0
        if not self._since_ns or abs(off_ms - self._off_ms) > SAME_MS:
            self._off_ms, self._since_ns = off_ms, now_ns
        if now_ns - self._since_ns < STEADY_NS:
            return 0
        self._since_ns = 0
        return off_ms
