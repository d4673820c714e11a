"""What a WebDriver leaves behind: every process of its session is found and killed."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def kill_session(session: int) -> None:
    """SIGKILL to every process of a session: browsers put their children in groups of their own."""
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def members(session: int) -> list[int]:
    """Living processes of a session; zombies, which only wait to be reaped, are not counted."""
    return [int(p.name) for p in Path("/proc").glob("[0-9]*") if _session_of(p) == session]


def _session_of(process: Path) -> int | None:
    try:
        # pid (name) state ppid pgrp session ...; the name may hold blanks and brackets
        state, _ppid, _group, session = (
            process.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
        )
    except OSError:
        return None
    return None if state == "Z" else int(session)
