"""How busy the machine is with something else: what a second of ours is worth at the moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

# More than that of processor time, taken by whoever else is on the host, is more than a player at
# 0.6 s from live can make up for.
STOLEN_SECONDS = 0.25
_STAT = Path("/proc/stat")

# What each of the service's processes does before anything else.
_START = "import encoder.process, inference.worker"


def slowness() -> float:
    """How much longer than its CPU time a start of Python takes now; 1: nobody else is busy."""
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, "-c", _START])
    _pid, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return max(1.0, (time.monotonic() - began) / (usage.ru_utime + usage.ru_stime))


class Stolen:
    """Processor time that the host gave to others since this was made, though we wanted it."""

    def __init__(self) -> None:
        self._before = self._ticks()

    @property
    def seconds(self) -> float:
        """Of all processors together; 0 on a machine of its own."""
        return (self._ticks() - self._before) / os.sysconf("SC_CLK_TCK")

    @property
    def is_much(self) -> bool:
        """What plays in real time cannot be judged by the time since then."""
        return self.seconds > STOLEN_SECONDS

    @staticmethod
    def _ticks() -> int:
        """``steal`` of proc_stat(5)."""
        try:
            return int(_STAT.read_text().split(maxsplit=9)[8])
        except (OSError, IndexError):  # no Linux
            return 0
