"""What is done about an encoder that fails: the same one again, another one, or a visible end.

Pure decisions and what is remembered of them; ``encoder.stream`` carries the first remedy out,
``encoder.succession`` the second.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from encoder.clock import NANOSECONDS
from encoder.errors import EncoderExited

# The first restart is at once: a viewer's buffer is a second long. The others wait longer each.
RESTART_DELAYS_SECONDS = (0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0)
# After so long without a failure the next one counts as the first again.
HEALTHY_NS = 60 * NANOSECONDS
# An encoder that ends before its first frame so often in a row will not get better. Where another
# one works it need not show that twice: a restart from nothing has told enough.
BARREN_RUNS, BARREN_RUNS_IF_REPLACEABLE = 3, 1
# Circuits that fail so often in so short a time are broken, though each run gives some frames.
MANY_FAILURES, MANY_FAILURES_NS = 3, 30 * NANOSECONDS
FAILURES_KEPT = 5
STDERR_LINES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """One end of an ffmpeg that nobody wished."""

    reason: str  # value of a Fault
    detail: str
    encoder: str
    status: int | None  # of its exit; negative: the signal
    argv: Sequence[str]
    stderr: Sequence[str]  # its last lines
    at: float  # seconds since 1970 UTC

    def shown(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"stderr": list(self.stderr)[-STDERR_LINES_SHOWN:]}


@dataclass(slots=True)
class Record:
    """What went wrong in a stream's whole life, for its figures."""

    restarts: Counter[str] = field(default_factory=Counter)  # by value of Fault
    refused: Counter[int] = field(default_factory=Counter)  # media not published, by rule
    changes: Counter[str] = field(default_factory=Counter)  # to another encoder, by reason
    blocked: Counter[str] = field(default_factory=Counter)  # times it could not write, by reason
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=FAILURES_KEPT))

    def shown(self) -> dict[str, Any]:
        """For the figures of a stream."""
        return {
            "encoder_restarts": self.restarts.total(),
            "encoder_changes": dict(self.changes),
            "encoder_failures": [failure.shown() for failure in self.failures],
            "blocked": dict(self.blocked),
        }


class Remedies:
    """Decides about one encoder of one stream.

    Args:
        hardware: it is a circuit, which can break or be taken away; software that gives frames
            is only ever ended from outside, and another one would be ended too.
        replaceable: whether another encoder works; may be set later, when that is known.
    """

    def __init__(self, *, hardware: bool, replaceable: bool = False) -> None:
        self.replaceable = replaceable
        self._hardware = hardware
        self._in_a_row = self._barren = 0
        self._failed_ns: deque[int] = deque(maxlen=MANY_FAILURES)

    def after_failure(self, began_ns: int, now_ns: int, *, gave_media: bool) -> float | None:
        """Seconds to wait before the same encoder is started again; None: give it up.

        Args:
            began_ns: when the run that failed began.
            now_ns: when it failed, on the same clock.
            gave_media: whether anything of it was published.
        """
        if now_ns - began_ns > HEALTHY_NS:
            self._in_a_row = 0
        self._barren = 0 if gave_media else self._barren + 1
        self._failed_ns.append(now_ns)
        if self._is_hopeless(now_ns):
            return None
        delay = RESTART_DELAYS_SECONDS[min(self._in_a_row, len(RESTART_DELAYS_SECONDS) - 1)]
        self._in_a_row += 1
        return delay

    def _is_hopeless(self, now_ns: int) -> bool:
        if self._barren >= (BARREN_RUNS_IF_REPLACEABLE if self.replaceable else BARREN_RUNS):
            return True
        many = len(self._failed_ns) == MANY_FAILURES
        often = many and now_ns - self._failed_ns[0] < MANY_FAILURES_NS
        return self.replaceable and self._hardware and often


def failure(reason: str, detail: str, encoder: str, exited: EncoderExited) -> Failure:
    """One that happened now."""
    status, argv, stderr = exited.returncode, exited.argv, exited.stderr_tail
    return Failure(reason, detail, encoder, status, argv, stderr, time.time())
