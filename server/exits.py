"""How child processes end, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass

STUCK, UNSTARTED = "stuck", "not started"
# As a shell says of a program that could not be run.
UNSTARTED_STATUS = 126
# How often it is looked where asyncio itself would wait for more than an end.
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended."""

    status: int  # as of waitpid: below zero, the signal's number
    at: float  # seconds since 1970 UTC
    argv: tuple[str, ...]
    stderr: tuple[str, ...]  # its last lines
    cause: str = ""  # STUCK: it was killed for its silence; UNSTARTED: it never was

    @property
    def reason(self) -> str:
        """``exit 1``, ``SIGKILL``, ``stuck`` or ``not started``: few values, fit for counting."""
        if self.cause:
            return self.cause
        if self.status >= 0:
            return f"exit {self.status}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-self.status).name
        return f"signal {-self.status}"


async def end_of(process: asyncio.subprocess.Process) -> int:
    """Its exit status. asyncio's own wait goes on while others that it started hold its pipes."""
    waiting = asyncio.ensure_future(process.wait())
    try:
        while process.returncode is None:
            await asyncio.wait([waiting], timeout=LOOK_SECONDS)
        return process.returncode
    finally:
        waiting.cancel()


def end_sessions(leaders: Iterable[int]) -> None:
    """Kill what a process that has ended had started in sessions of their own.

    They end by themselves when their pipes do, but for one that hangs: nobody else would end it.
    """
    for leader in leaders:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(leader) == leader:
                os.killpg(leader, signal.SIGKILL)
