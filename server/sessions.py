"""Streams that share one inference process: a child without a process in each one's place.

The shared process is opened and closed by lines, and tells how its sessions are with its beats: see
:mod:`inference.sessions`. A session ends alone, or with the process; either way it is started again
by the rules for any child. One that is stuck can only be ended with the process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from config import Settings
from logs import event
from server.child import STOP_SECONDS, Child
from server.exits import STUCK, Exit

NAME = "inference"

log = logging.getLogger(__name__)


class SharedProcess(Child):
    """The process in which talking heads are sessions; it runs once one is needed, then for good.

    Args:
        settings: of the service.
        prewarmed: it is needed from the start, and loads the networks at once.
    """

    def __init__(self, settings: Settings, *, prewarmed: bool) -> None:
        super().__init__(
            NAME,
            (sys.executable, "-m", "inference", "sessions"),
            lambda: {"prewarm": prewarmed},
            settings.without_secrets().to_environment(),
            beats=True,
        )
        self._sessions: dict[int, Session] = {}  # that have not ended
        self._told: set[int] = set()  # those that its present run knows of
        self._newest = 0
        self.prewarmed = prewarmed
        self._needed = asyncio.Event()
        if prewarmed:
            self._needed.set()

    @property
    def is_needed(self) -> bool:
        """Whether it should run: until then it is no fault that it does not."""
        return self._needed.is_set()

    async def keep_when_needed(self, on_change: Callable[[], None]) -> None:
        """Start it when it is needed, and again and again until the service ends.

        Args:
            on_change: called after each start and end.
        """

        def changed() -> None:
            self._tell_sessions()
            on_change()

        await self._needed.wait()
        await self.keep(lambda: False, changed)

    def open(self, session: Session) -> int:
        """Begin a session, as soon as the process runs.

        Returns:
            Its number.
        """
        self._newest += 1
        self._sessions[self._newest] = session
        self._needed.set()
        if self.running:
            self._tell_of(self._newest)
        return self._newest

    def close(self, number: int) -> None:
        """End a session."""
        if number in self._told:
            self._send({"close": number})
        elif number in self._sessions:
            self._over(number, 0, ())

    def _tell_sessions(self) -> None:
        """It has been started, or has ended."""
        if self.running:
            for number in list(self._sessions):
                self._tell_of(number)
            return
        self._told.clear()
        last = self.last_exit or Exit(0, time.time(), tuple(self.argv), ())
        for number in list(self._sessions):
            self._sessions.pop(number).ended(last)

    def take_beat(self, told: dict[str, Any], now: float) -> None:
        """It told of itself and its sessions, ``now`` in monotonic seconds."""
        super().take_beat(told, now)
        for number in told.get("well", ()):
            if number in self._sessions:
                self._sessions[number].take_beat({}, now)
        for number, end in told.get("ended", {}).items():
            self._send({"close": int(number)})  # we know
            self._over(int(number), end["status"], end["said"])

    def _over(self, number: int, status: int, said: tuple[str, ...]) -> None:
        self._told.discard(number)
        session = self._sessions.pop(number, None)
        if session is not None:
            session.ended(Exit(status, time.time(), tuple(self.argv), tuple(said)))

    def _tell_of(self, number: int) -> None:
        if number not in self._told:
            self._told.add(number)
            self._send({"open": number} | self._sessions[number].greeting())

    def _send(self, message: dict[str, Any]) -> None:
        if self.running:
            assert self.process is not None
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def _retire(self) -> None:
        super()._retire()
        self._needed.set()


class Session(Child):
    """The inference of one stream, in a process that others use as well.

    Args:
        shared: that process.
        stream: which one.
        greeting: what the session is told at its beginning.
        first_beat_seconds: it may take to load what it needs.
    """

    def __init__(
        self,
        shared: SharedProcess,
        stream: str,
        greeting: Callable[[], dict[str, Any]],
        first_beat_seconds: float,
    ) -> None:
        super().__init__(
            NAME,
            shared.argv,
            greeting,
            stream=stream,
            beats=True,
            first_beat_seconds=first_beat_seconds,
        )
        self._shared = shared
        self._number = 0
        self._end: asyncio.Future[Exit] | None = None

    @property
    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._end is not None and not self._end.done()

    @property
    def pid(self) -> int | None:
        """Of the process that it shares."""
        return self._shared.pid if self.running else None

    def say_last_word(self) -> None:
        """Tell it to end well; it is not started again."""
        self._retire()
        if self.running:
            self._shared.close(self._number)

    async def end(self) -> None:
        """Tell it to end; if it does not, the process is killed."""
        self.say_last_word()
        if self._end is None or self._end.done():
            return
        try:
            await asyncio.wait_for(asyncio.shield(self._end), STOP_SECONDS)
        except TimeoutError:
            event(log, "process_killed", level=logging.WARNING, **self._named)
            self.kill()
            await self._end

    def kill(self) -> None:
        """The process that it shares."""
        self._shared.kill()

    def ended(self, last: Exit) -> None:
        """It did, or its process."""
        if self._end is not None and not self._end.done():
            self._end.set_result(last)

    async def _spawn(self) -> None:
        self._begin()
        self._end = asyncio.get_running_loop().create_future()
        self._number = self._shared.open(self)
        event(log, "session_opened", **self._named, number=self._number)

    async def _reap(self) -> None:
        assert self._end is not None
        watching = asyncio.ensure_future(self._watch())
        last = await self._end
        watching.cancel()
        self.told = {}
        cause = STUCK if self._was_stuck else last.cause
        self.last_exit = Exit(last.status, last.at, last.argv, last.stderr, cause)
