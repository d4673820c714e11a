"""Whether a process that gives no output works, waits for a processor, or does neither.

An encoder that is merely slow uses processor time, or would if it got any; one that hangs (in a
driver, on a lock, stopped by a signal) does neither. The difference lets a hung one be replaced
well before the time that a slow one is given.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# Fields of /proc/PID/stat after the name, which may hold spaces (proc_pid_stat(5)).
_STATE, _SESSION, _USER_TICKS, _SYSTEM_TICKS = 0, 3, 11, 12
_RUNNABLE = "R"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a session of processes has done up to now."""

    ticks: int  # of processor time, all its threads
    runnable: bool  # a process of it works, or waits for a processor

    def is_still_since(self, earlier: Pulse) -> bool:
        """Nothing was done in between, and nothing wants to be."""
        return self.ticks == earlier.ticks and not (self.runnable or earlier.runnable)


def pulse_of(session: int, proc: Path = _PROC) -> Pulse:
    """The pulse of all processes of a session: of ffmpeg, or of a wrapper and what it started.

    Args:
        session: its id, the process id of its leader.
        proc: where processes are described.
    """
    ticks, runnable = 0, False
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
            if int(fields[_SESSION]) == session:
                ticks += int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
                runnable = runnable or _threads_want_to_run(folder)
    return Pulse(ticks, runnable)


def _threads_want_to_run(folder: Path) -> bool:
    return any(
        stat.read_text("ascii", "replace").rpartition(")")[2].split()[_STATE] == _RUNNABLE
        for stat in folder.glob("task/*/stat")
    )
