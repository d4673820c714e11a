"""Starts, watches, restarts and ends the other processes; the only place that decides restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from config import INGEST, Settings
from encoder.media_root import MediaRoot
from encoder.multivariant import MULTIVARIANT_NAME
from encoder.process import END_WORD, StreamSpec
from logs import event
from server.control import Command, listen
from server.errors import ProcessGaveUp
from server.specs import WebSpec

# Restarts: 0.2 s, doubling to 30 s, forgotten after a healthy minute.
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, HEALTHY_SECONDS = 0.2, 30.0, 60.0
# A child that ends with this status was given something it can never use.
BAD_INPUT = 2
# Ctrl-C ends everything in 3 s: so long for children to end by themselves, then they are killed.
STOP_SECONDS = 2.0
# A process that ends so often before the stream is first live makes the start a failure.
START_ATTEMPTS = 3

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    greeting: Callable[[], dict[str, Any]]  # its line on stdin
    pass_fds: tuple[int, ...] = ()
    stream: str = ""  # the stream it works for; empty: for all
    last_word: bytes = b""  # what tells it to end well; empty: SIGTERM does
    wanted: bool = True
    process: asyncio.subprocess.Process | None = None
    failures: int = 0  # in a row
    began: float = 0.0

    def next_delay(self, now: float) -> float:
        """Seconds to wait before the next start; counts the failure."""
        if now - self.began > HEALTHY_SECONDS:
            self.failures = 0
        self.failures += 1
        return min(math.ldexp(FIRST_DELAY_SECONDS, self.failures - 1), LONGEST_DELAY_SECONDS)


@dataclass(slots=True)
class Supervisor:
    """Keeps the children of one service running until it is told to stop."""

    settings: Settings
    children: list[Child]
    environment: dict[str, str] = field(default_factory=dict)
    control: Path | None = None  # socket on which the web processes send wishes
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _gave_up: ProcessGaveUp | None = None
    _started: bool = False

    def stop(self) -> None:
        """End all children and return from :meth:`run`."""
        self._stopping.set()

    async def run(self, when_live: Callable[[], None], playlist: Path) -> None:
        """Run until SIGINT or SIGTERM; every child has been reaped when it returns.

        Args:
            when_live: called once, when the stream can be played.
            playlist: the file whose appearance means that.

        Raises:
            ProcessGaveUp: a child cannot work with what it was given.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        keepers = [asyncio.ensure_future(self._keep(child)) for child in self.children]
        control = await listen(self.control, self._act) if self.control else None
        live = asyncio.ensure_future(self._announce(when_live, playlist))
        await self._stopping.wait()
        live.cancel()
        if control is not None:
            control.close()
        await asyncio.gather(*(self._end(child) for child in self.children))
        await asyncio.gather(*keepers)
        if self._gave_up is not None:
            raise self._gave_up

    async def _act(self, command: Command) -> Command:
        """Carry out a wish of the control API."""
        stream = command.get("end_stream")
        children = [child for child in self.children if child.stream and child.stream == stream]
        if not any(child.wanted for child in children):
            return {"ok": False, "error": "there is no such stream, or it has been ended"}
        event(log, "stream_end_wished", stream=stream)
        for child in children:
            child.wanted = False
            self._say_last_word(child)
        return {"ok": True}

    def _say_last_word(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None or process.stdin is None:
            return
        if child.last_word:
            process.stdin.write(child.last_word + b"\n")
        else:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    async def _announce(self, when_live: Callable[[], None], playlist: Path) -> None:
        while not playlist.exists():
            await asyncio.sleep(0.02)
        self._started = True
        when_live()

    async def _keep(self, child: Child) -> None:
        while child.wanted and not self._stopping.is_set():
            await self._start(child)
            assert child.process is not None
            status = await child.process.wait()
            if self._stopping.is_set() or not child.wanted:
                return
            delay = child.next_delay(time.monotonic())
            hopeless = status == BAD_INPUT or (
                not self._started and child.failures >= START_ATTEMPTS
            )
            if hopeless:
                self._give_up(child, status)
                return
            event(
                log,
                "process_ended",
                level=logging.ERROR,
                process=child.name,
                status=status,
                restart_in_seconds=delay,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    def _give_up(self, child: Child, status: int) -> None:
        exit_status = BAD_INPUT if status == BAD_INPUT else 1
        self._gave_up = self._gave_up or ProcessGaveUp(child.name, status, exit_status)
        self._stopping.set()

    async def _start(self, child: Child) -> None:
        child.began = time.monotonic()
        child.process = await asyncio.create_subprocess_exec(
            *child.argv,
            stdin=asyncio.subprocess.PIPE,
            env=os.environ | self.environment,
            pass_fds=child.pass_fds,
            start_new_session=True,  # Ctrl-C is ours to hear; they are told by us
        )
        assert child.process.stdin is not None
        # Kept open from here on: its end tells the child that we are gone.
        child.process.stdin.write(json.dumps(child.greeting()).encode() + b"\n")
        event(log, "process_started", process=child.name, pid=child.process.pid)

    async def _end(self, child: Child) -> None:
        """SIGTERM, then SIGKILL; always reaped."""
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            event(log, "process_killed", level=logging.WARNING, process=child.name)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def service_children(
    settings: Settings, root: MediaRoot, encoder_name: str, listen_fd: int
) -> list[Child]:
    """The processes of a service that plays one stream.

    Raises:
        StoreUnwritable: the media root's path is too long for a socket.
    """
    stream = settings.stream
    spec = StreamSpec(
        id=stream,
        socket=str(root.socket(stream)),
        folder=str(root.live / stream),
        state=str(root.figures(stream)),
        encoder=encoder_name,
    )
    web = WebSpec(listen_fd, str(root.path))
    python = [sys.executable, "-m"]
    source = Child(
        "inference",
        [*python, "inference"],
        lambda: {"socket": spec.socket, "id": stream},
        stream=stream,
    )
    encoder = Child(
        "encoder", [*python, "encoder"], lambda: asdict(spec), stream=stream, last_word=END_WORD
    )
    web_processes = Child(
        "web", [*python, "server.web"], lambda: asdict(web), pass_fds=(listen_fd,)
    )
    ours = [] if settings.source == INGEST else [source]
    return [*ours, encoder, web_processes]


def playlist_path(settings: Settings, root: MediaRoot) -> Path:
    """Where the stream's multivariant playlist appears when it can be played."""
    return root.live / settings.stream / MULTIVARIANT_NAME
