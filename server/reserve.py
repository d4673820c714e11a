"""Processes that have loaded and wait for their first line: a new stream waits for no import.

A process in reserve is started as any other of its kind, and blocks where it reads its first line.
What it shall do, and with which settings, it is told by that line alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from logs import event
from server.exits import end_of

# Whoever has just begun needs the cores more than what may be needed later.
SETTLE_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """What processes have in common of which one can stand in for another."""

    argv: tuple[str, ...]
    pass_fds: tuple[int, ...] = ()
    beats: bool = False  # its stdout is a pipe to us

    async def start(self, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        """One of them, in a session of its own: Ctrl-C is ours to hear; children are told by us.

        Raises:
            OSError: no program, or no descriptor, process or memory left for it.
            RuntimeError: no thread to wait for its end.
        """
        return await asyncio.create_subprocess_exec(
            *self.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if self.beats else None,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | environment,
            pass_fds=self.pass_fds,
            start_new_session=True,
        )


class Reserve:
    """One waiting process of each kind, made again a while after it was taken.

    Args:
        kinds: what can be asked for.
        environment: of all of them, beside our own.
    """

    def __init__(self, kinds: Iterable[Kind], environment: Mapping[str, str]) -> None:
        self._kinds = tuple(kinds)
        self._environment = environment
        self._waiting: dict[Kind, asyncio.subprocess.Process] = {}
        self._wanted = asyncio.Event()
        self._wanted.set()

    @property
    def pids(self) -> list[int]:
        """Of those that wait."""
        return [p.pid for p in self._waiting.values() if p.returncode is None]

    def take(self, kind: Kind) -> asyncio.subprocess.Process | None:
        """The one of a kind, which is the caller's from now on; None: there is none."""
        self._wanted.set()
        process = self._waiting.pop(kind, None)
        return process if process is not None and process.returncode is None else None

    async def keep(self, on_change: Callable[[], None]) -> None:
        """See that there is one of each, until cancelled.

        Args:
            on_change: called after one has come.
        """
        while True:
            await self._wanted.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._wanted.clear()
            for kind in self._kinds:
                if kind not in self._waiting:
                    await self._fill(kind)
            on_change()

    async def end(self) -> None:
        """None waits any longer; they hold nothing, so that they may be killed."""
        waiting, self._kinds, self._waiting = self._waiting, (), {}
        for process in waiting.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await end_of(process)

    async def _fill(self, kind: Kind) -> None:
        try:
            process = await kind.start(self._environment)
        except (OSError, RuntimeError) as error:  # a stream starts its own, and says what is wrong
            event(log, "reserve_unfilled", level=logging.WARNING, reason=error)
            return
        self._waiting[kind] = process
        event(log, "process_reserved", process=kind.argv[-1], pid=process.pid)
