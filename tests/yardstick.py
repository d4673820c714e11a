"""How busy the machine is with something else: what a second of ours is worth at the moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time

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
