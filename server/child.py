"""One child process that is kept running: started, heard, restarted, ended, always reaped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from logs import event, relay
from server.exits import STUCK, UNSTARTED, UNSTARTED_STATUS, Exit, end_of, end_sessions
from server.reserve import Kind, Reserve

# Restarts: 0.2 s, doubling to 30 s, forgotten after a healthy minute.
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, HEALTHY_SECONDS = 0.2, 30.0, 60.0
# A child that ends with this status was given something it can never use.
BAD_INPUT = 2
# A process that ends so often before its stream is first live makes the start a failure.
START_ATTEMPTS = 3
# Ctrl-C ends everything in 3 s: so long for children to end by themselves, then they are killed.
STOP_SECONDS = 2.0
# Of what a child last said; kept with its exit, for who asks why.
STDERR_LINES_KEPT = 20
# Children that beat do it every half second. One that lives and does not is stuck: nobody else
# would notice, for its parent only hears of ends.
SILENT_SECONDS, WATCH_SECONDS = 3.0, 0.5
# Before the first beat it may load something; but not for ever.
FIRST_BEAT_SECONDS = 90.0
# One whose beats tell of no progress is given more: it may be at work on a fault of its own, such
# as an ffmpeg that it starts again after up to half a minute.
STILL_SECONDS = 60.0
# Doubled so often, the longest delay is long reached; a float ends at 2 ** 1024.
_MOST_DOUBLINGS = 10

# Of a beat: the leaders of the sessions that the child has started.
SESSIONS = "sessions"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    greeting: Callable[[], dict[str, Any]]  # its line on stdin
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    reserve: Reserve | None = None  # where one may wait that needs only its greeting
    stream: str = ""  # the stream it works for; empty: for all
    last_word: bytes = b""  # what tells it to end well; empty: SIGTERM does
    beats: bool = False  # it writes a line of JSON to stdout every half second
    first_beat_seconds: float = FIRST_BEAT_SECONDS  # it may take to load what it needs
    # Something that differs from beat to beat while it does what it is for.
    progress: Callable[[Mapping[str, Any]], object] = lambda _told: object()
    told: dict[str, Any] = field(default_factory=dict)  # the newest beat of its present run
    last_told: dict[str, Any] = field(default_factory=dict)  # the newest of all its runs
    wanted: bool = True
    over: bool = False  # it has ended, and is not started again
    process: asyncio.subprocess.Process | None = None
    failures: int = 0  # in a row
    began: float = 0.0
    restarts: Counter[str] = field(default_factory=Counter)  # by reason
    last_exit: Exit | None = None
    _stderr_tail: deque[str] = field(default_factory=lambda: deque(maxlen=STDERR_LINES_KEPT))
    _relaying: asyncio.Task[None] | None = None
    _heard: float = 0.0  # monotonic seconds of its newest beat; 0: none yet
    _progress: object = None  # of that beat
    _moved: float = 0.0  # monotonic seconds of the last change of that
    _was_stuck: bool = False
    _retired: asyncio.Event = field(default_factory=asyncio.Event)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.returncode is None

    @property
    def pid(self) -> int | None:
        """Of the process that it is, while it runs."""
        return self.process.pid if self.process is not None and self.running else None

    @property
    def moved(self) -> float:
        """When it was last seen to do what it is for, monotonic seconds."""
        return max(self.began, self._moved)

    @property
    def heard(self) -> float:
        """When it was last heard of, monotonic seconds."""
        return max(self.began, self._heard)

    @property
    def only_refused(self) -> bool:
        """Whether every one of its runs ended because it cannot use what it was given."""
        return 0 < self.restarts.total() == self.restarts[f"exit {BAD_INPUT}"]

    async def keep(self, is_hopeless: Callable[[], bool], on_change: Callable[[], None]) -> None:
        """Start it again and again until it is not wanted any more, or another try is hopeless.

        Args:
            is_hopeless: asked after each unwanted end, when it has been counted.
            on_change: called after each start and end.
        """
        while self.wanted:
            await self._run_once(on_change)
            if not self.wanted:
                break
            delay = self.next_delay(time.monotonic())
            assert self.last_exit is not None
            self.restarts[self.last_exit.reason] += 1
            facts = {**self._named, "status": self.last_exit.status, "why": self.last_exit.reason}
            if is_hopeless():
                event(log, "process_given_up", level=logging.ERROR, **facts)
                self.wanted = False
                break
            event(log, "process_ended", level=logging.ERROR, **facts, restart_in_seconds=delay)
            on_change()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._retired.wait(), delay)
        self.over = True
        on_change()

    def next_delay(self, now: float) -> float:
        """Seconds to wait before the next start; counts the failure."""
        # One that beats was well for as long as it did what it is for. To be let live is no sign of
        # that: what never beats is killed after more than a minute, each time anew.
        well_until = self.moved if self.beats else now
        if well_until - self.began > HEALTHY_SECONDS:
            self.failures = 0
        self.failures += 1
        doublings = min(self.failures - 1, _MOST_DOUBLINGS)
        return min(math.ldexp(FIRST_DELAY_SECONDS, doublings), LONGEST_DELAY_SECONDS)

    def say_last_word(self) -> None:
        """Tell it to end well; it is not started again."""
        self._retire()
        if not self.running:
            return
        assert self.process is not None
        assert self.process.stdin is not None
        if self.last_word:
            self.process.stdin.write(self.last_word + b"\n")
        else:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()

    async def end(self) -> None:
        """SIGTERM, then SIGKILL for it and all that it has started; always reaped."""
        self._retire()
        async with self._starting:  # one that is being started is ended too
            process = self.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(end_of(process), STOP_SECONDS)
        except TimeoutError:
            event(log, "process_killed", level=logging.WARNING, **self._named)
            self.kill()
            await end_of(process)

    @property
    def _named(self) -> dict[str, Any]:
        """Facts for the log."""
        return {"process": self.name} | ({"stream": self.stream} if self.stream else {})

    def _retire(self) -> None:
        self.wanted = False
        self._retired.set()

    async def _run_once(self, on_change: Callable[[], None]) -> None:
        """From its start to its end; what became of it is in ``last_exit``."""
        async with self._starting:
            if not self.wanted:
                return
            try:
                await self._spawn()
            except (OSError, RuntimeError) as error:  # RuntimeError: no thread to wait for its end
                self._note_unstarted(error)
                return
        if not self.wanted:  # it was said while the process started
            self.say_last_word()
        on_change()
        await self._reap()

    def _begin(self) -> None:
        """Nothing is known of the run that begins."""
        self.began = time.monotonic()
        self._stderr_tail.clear()
        self._heard = self._moved = 0.0
        self._was_stuck, self.told, self._progress = False, {}, None

    async def _spawn(self) -> None:
        self._begin()
        self.process = None
        kind = Kind(tuple(self.argv), self.pass_fds, self.beats)
        waiting = self.reserve.take(kind) if self.reserve is not None else None
        self.process = waiting or await kind.start(self.environment)
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self._relaying = asyncio.ensure_future(self._relay(self.process.stderr))
        # Kept open from here on: its end tells the child that we are gone.
        self.process.stdin.write(json.dumps(self.greeting()).encode() + b"\n")
        event(log, "process_started", **self._named, pid=self.process.pid)

    def _note_unstarted(self, error: Exception) -> None:
        """No program, or no descriptor, process or memory left for it: an end like any other."""
        argv, why = tuple(self.argv), f"cannot start {self.argv[0]}: {error}"
        self.last_exit = Exit(UNSTARTED_STATUS, time.time(), argv, (why,), UNSTARTED)
        event(log, "process_unstarted", level=logging.ERROR, **self._named, reason=why)

    async def _reap(self) -> None:
        assert self.process is not None
        assert self._relaying is not None
        watching = [self._watch(), self._listen()] if self.beats else []
        tasks = [asyncio.ensure_future(work) for work in watching]
        status = await end_of(self.process)
        for task in tasks:
            task.cancel()
        end_sessions(self.told.get(SESSIONS, ()))
        self.told = {}  # of a process that has ended nothing is true any more
        # Not for ever: a grandchild that is still ending may hold the pipe.
        await asyncio.wait([self._relaying], timeout=STOP_SECONDS)
        cause = STUCK if self._was_stuck else ""
        argv, said = tuple(self.argv), tuple(self._stderr_tail)
        self.last_exit = Exit(status, time.time(), argv, said, cause)

    async def _watch(self) -> None:
        """Kill it when its beats stop, or tell of no progress."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(WATCH_SECONDS)
            now = time.monotonic()
            if now - before > 2 * WATCH_SECONDS:  # we were stopped ourselves, perhaps with it
                self._forgive(now - before)
            elif (silent := self.silence(now)) is not None:
                self._kill_stuck(silent)

    def _forgive(self, seconds: float) -> None:
        """Nobody can have heard it meanwhile."""
        self.began += seconds
        self._heard = self._heard and self._heard + seconds
        self._moved = self._moved and self._moved + seconds

    def silence(self, now: float) -> float | None:
        """For how many seconds it has been still, where that is too long."""
        silent, still = now - self.heard, now - self.moved
        if silent > (SILENT_SECONDS if self._heard else self.first_beat_seconds):
            return silent
        return still if self._heard and still > STILL_SECONDS else None

    async def _listen(self) -> None:
        """To its beats."""
        assert self.process is not None
        assert self.process.stdout is not None
        while True:
            try:
                line = await self.process.stdout.readline()
                if not line:
                    return
                told = json.loads(line)
            except ValueError:  # no JSON, or beyond the reader's limit: the next may be one
                continue
            if isinstance(told, dict):
                self.take_beat(told, time.monotonic())

    def take_beat(self, told: dict[str, Any], now: float) -> None:
        """It told of itself, ``now`` in monotonic seconds."""
        self.told, self._heard = told, now
        self.last_told |= told
        progress = self.progress(told)
        if not self._moved or progress != self._progress:
            self._progress, self._moved = progress, now

    def _kill_stuck(self, seconds: float) -> None:
        if not self._was_stuck:
            self._was_stuck = True
            silent = round(seconds, 1)
            event(log, "process_stuck", level=logging.ERROR, **self._named, silent=silent)
        self.kill()

    def kill(self) -> None:
        """It, and all that it has started."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _relay(self, lines: asyncio.StreamReader) -> None:
        """What it says goes where our own logs go, and its end is kept. Never stop: a full pipe
        would stop the child.
        """
        while True:
            try:
                line = await lines.readline()
            except ValueError:  # beyond the reader's limit; drop it, go on
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            relay(text, **self._named)
            self._stderr_tail.append(text)
