"""What an operator wants to know of a stream's media: counted as it happens, told when asked.

Counters live as long as the process; whoever reads them knows how to deal with a new beginning.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from encoder.clock import NANOSECONDS

# Parts over which lag and skew are told: 30 s of the usual ones.
WINDOW_PARTS = 150
# Units whose hand-over is remembered: more than an encoder may be silent before it is replaced.
_REMEMBERED_UNITS = 512


# The rules for whose sake media is refused before it is published. Each has a counter from the
# start: one that appears with its first event hides that event from whoever watches its rate.
ENFORCED_RULES = (4, 22, 23, 54, 55)


class Fault(Enum):
    """Why an ffmpeg child is replaced: few values, fit for counting."""

    ENDED = "ended"  # it exited, or closed an output
    STUCK = "stuck"  # frames went in, nothing came out
    GARBAGE = "garbage"  # what came out is not the MP4 it should be
    UNLAWFUL = "unlawful"  # what came out would break a MUST of HLS


class HandOvers:
    """When each of the last units was handed to the encoder."""

    def __init__(self) -> None:
        self._units = [-1] * _REMEMBERED_UNITS
        self._times_ns = [0] * _REMEMBERED_UNITS

    def note(self, unit: int, now_ns: int) -> None:
        """The encoder was given a unit; of one that it is given again the last time counts."""
        at = unit % _REMEMBERED_UNITS
        self._units[at], self._times_ns[at] = unit, now_ns

    def when(self, unit: int) -> int | None:
        """Monotonic nanoseconds; None: not given, or too long ago."""
        at = unit % _REMEMBERED_UNITS
        return self._times_ns[at] if self._units[at] == unit else None


@dataclass(slots=True)
class Ledger:
    """The accounts of one stream in one encoder process."""

    handed: HandOvers
    restarts: Counter[str] = field(default_factory=Counter)  # of ffmpeg, by value of Fault
    refused: Counter[int] = field(default_factory=Counter)  # not published, by rule
    _lags: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW_PARTS))
    _skews: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW_PARTS))
    _offsets: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW_PARTS))

    def published(
        self, last_unit: int, now_ns: int, skew_seconds: float, offset_seconds: float = 0.0
    ) -> None:
        """A part of the best rendition has just appeared.

        Args:
            last_unit: the newest unit in it.
            now_ns: monotonic.
            skew_seconds: how much more of the picture has come than of the sound.
            offset_seconds: by how much its time stamps are later than they should be, beside
                those of the sound; see :mod:`encoder.offsets`.
        """
        handed_ns = self.handed.when(last_unit)
        if handed_ns is not None:
            self._lags.append((now_ns - handed_ns) / NANOSECONDS)
        self._skews.append(skew_seconds)
        self._offsets.append(offset_seconds)

    def figures(self) -> dict[str, Any]:
        """For the API and the metrics; null where nothing was published yet."""
        return {
            "encode_lag_seconds": {"median": _median(self._lags), "max": _rounded(self._lags, max)},
            "av_skew_seconds": _median(self._skews),
            "av_offset_seconds": _rounded(self._offsets, _largest),
            "encoder_restarts_by_reason": {f.value: self.restarts[f.value] for f in Fault},
            "refused_by_rule": {
                str(rule): self.refused[rule] for rule in sorted({*ENFORCED_RULES, *self.refused})
            },
        }


def _median(values: deque[float]) -> float | None:
    return _rounded(values, statistics.median)


def _largest(values: deque[float]) -> float:
    """Either way."""
    return max(values, key=abs)


def _rounded(values: deque[float], of: Any) -> float | None:
    return round(of(values), 4) if values else None
