"""Lip sync as it is measured inside: time stamps that come out, against the units that went in.

The n-th frame that comes out of an encoder is the n-th that went in; its time stamp has to be that
unit's time. Where an encoder drops or repeats frames, or sets its times anew, one track moves
against the other: that is what this sees, before any player does.
"""

from __future__ import annotations

from fractions import Fraction

from encoder.timing import TrackTiming


class TrackOffset:
    """Of one rendition in one encoder run.

    Args:
        first_ticks: time of the first frame that must come out, priming included.
        timing: of the track.
    """

    def __init__(self, first_ticks: int, timing: TrackTiming) -> None:
        self._expected = first_ticks
        self._timing = timing
        self._ticks = 0

    def note(self, dts_ticks: int) -> None:
        """The next frame came out with that time stamp."""
        self._ticks = dts_ticks - self._expected
        self._expected += self._timing.frame_ticks

    @property
    def seconds(self) -> Fraction:
        """By how much the newest frame's time stamp is later than its unit."""
        return Fraction(self._ticks, self._timing.timescale_hz)
