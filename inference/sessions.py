"""A process for many talking heads: each is a session, a thread with a worker and all that is its.

The networks are what they share: see :mod:`inference.ditto.ensemble`. A session that fails ends
alone. Lines of JSON come on standard input, after a first one, ``{"prewarm": true}``::

    {"open": NUMBER, "socket": PATH, "id": NAME, "settings": {VARIABLE: TEXT}}  begin a session
    {"close": NUMBER}                              end it; or: its end is known, tell of it no more

Every half second, and at each end, a line goes to standard output. Each tells of all there is, so
that none that is lost or comes twice does harm::

    {"well": [NUMBER, ..], "ended": {NUMBER: {"status": 2, "said": [LINE, ..]}}}

A number is never used again. Sessions that are not well are loading, or have been at work on one
picture for too long.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import config
import logs
from inference import lifeline
from inference.engines.gpu import resident_bytes
from inference.errors import InferenceError
from inference.heart import BEAT_SECONDS, Heart
from inference.worker import BAD_INPUT, Ended, Job, Stop, Worker, keep_to_one_core
from logs import event

if TYPE_CHECKING:
    from inference.ditto.ensemble import Ensemble

# Characters of a reason that is told: the parent reads no line beyond 64 KiB.
MOST_WORDS = 2000

log = logging.getLogger(__name__)


class Runs(Protocol):
    """A worker; see :class:`inference.worker.Worker`."""

    def run(self, stop: Stop, heart: Heart, ready: Callable[[], None]) -> Ended:
        """Until it is to stop, or cannot go on."""


class Session:
    """One worker in a thread of its own.

    Args:
        name: of its stream.
        make: what is to run.
        ended: called in its thread when it has ended.
    """

    def __init__(
        self, name: str, make: Callable[[], Runs], ended: Callable[[Session, Ended], None]
    ) -> None:
        self.told: dict[str, Any] | None = None  # of its end
        self._name = name
        self._make = make
        self._ended = ended
        self._stop, self._heart = Stop(), Heart()
        self._is_ready = False

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name=f"session {self._name}", daemon=True).start()

    def close(self) -> None:
        """It shall end."""
        self._stop.wish()

    def is_well(self, now: float) -> bool:
        """Whether it is loaded and, if it is at work, began not too long ago."""
        return self._is_ready and self.told is None and self._heart.is_well(now)

    def _run(self) -> None:
        with logs.bound(stream=self._name):
            ended = self._lived()
            give_back_memory()
            event(log, "session_ended", status=ended.status, memory_bytes=resident_bytes())
            with self._heart.working():
                self._ended(self, ended)

    def _lived(self) -> Ended:
        try:
            return self._make().run(self._stop, self._heart, self._set_ready)
        except config.ConfigError as error:
            return Ended.of(BAD_INPUT, error)
        except Exception as error:  # of ours: the others go on
            log.critical("crashed", exc_info=True)
            return Ended(1, f"lipstream: it crashed: {error!r}")

    def _set_ready(self) -> None:
        self._is_ready = True


class Sessions:
    """All sessions of this process.

    Args:
        make: the worker for a job.
        engine_works: asked when a network did not run: where nothing runs any more, the process
            ends, and is started again with all its sessions.
        tell: takes a line for the parent.
    """

    def __init__(
        self,
        make: Callable[[Job], Runs],
        engine_works: Callable[[], bool],
        tell: Callable[[bytes], None],
    ) -> None:
        self._make = make
        self._engine_works = engine_works
        self._tell = tell
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._sessions: dict[int, Session] = {}

    def obey(self, line: bytes) -> None:
        """Do what a line from the parent asks for."""
        wish: dict[str, Any] = json.loads(line)
        if "close" in wish:
            self._close(int(wish["close"]))
            return
        job = Job.parse(line)
        session = Session(job.id, lambda: self._make(job), self._has_ended)
        with self._lock:
            self._sessions[int(wish["open"])] = session
        try:
            session.start()
        except RuntimeError as error:  # there is no thread left for it
            session.told = _told_of(Ended.of(1, error))

    def beat(self, now: float) -> None:
        """Tell how all are."""
        with self._lock:
            known = dict(self._sessions)
        ended = {number: s.told for number, s in known.items() if s.told}
        well = [number for number, session in known.items() if session.is_well(now)]
        line = json.dumps({"well": well, "ended": ended}).encode() + b"\n"
        with self._telling:
            self._tell(line)

    def _close(self, number: int) -> None:
        with self._lock:
            session = self._sessions.get(number)
            if session is not None and session.told:
                del self._sessions[number]
        if session is not None:
            session.close()

    def _has_ended(self, session: Session, ended: Ended) -> None:
        if ended.engine_failed and not self._engine_works():
            lifeline.leave("engine_lost", status=1)
        session.told = _told_of(ended)
        self.beat(time.monotonic())


def give_back_memory() -> None:
    """To the system, what nobody holds any more: else it would be kept for who comes next."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _told_of(ended: Ended) -> dict[str, Any]:
    said = [ended.words[:MOST_WORDS]] if ended.words else []
    return {"status": ended.status, "said": said}


def main() -> int:
    """Run until the parent is gone or SIGTERM comes; the value is the exit status."""
    try:
        settings = config.load()
    except config.ConfigError as error:
        sys.stderr.write(f"lipstream: {error}\n")
        return BAD_INPUT
    logs.configure(settings.log_format)
    greeting = sys.stdin.buffer.readline()
    if not greeting:
        return 0
    from inference.ditto.ensemble import Ensemble  # here: before, a parent may change its mind

    keep_to_one_core()
    ensemble = Ensemble(settings)

    def make(job: Job) -> Runs:
        return Worker(config.load(environ=job.settings), job, ensemble.engine)

    if json.loads(greeting)["prewarm"]:
        threading.Thread(target=_prewarm, args=(ensemble,), name="prewarm", daemon=True).start()
    return serve(make, ensemble.works)


def serve(make: Callable[[Job], Runs], engine_works: Callable[[], bool]) -> NoReturn:
    """Obey standard input until it ends; arguments as of :class:`Sessions`."""
    sessions = Sessions(make, engine_works, partial(_write, sys.stdout.fileno()))
    threading.Thread(target=_beat, args=(sessions,), name="heart", daemon=True).start()
    for line in sys.stdin.buffer:
        sessions.obey(line)
    lifeline.leave("parent_gone")


def _prewarm(ensemble: Ensemble) -> None:
    try:
        ensemble.prewarm()
    except InferenceError as error:  # whoever needs it will be told
        event(log, "prewarm_failed", level=logging.WARNING, reason=error)
    else:
        event(log, "prewarmed")


def _beat(sessions: Sessions) -> None:
    while True:
        sessions.beat(time.monotonic())
        time.sleep(BEAT_SECONDS)


def _write(fd: int, line: bytes) -> None:
    """A parent that does not read holds up who tells, and nobody else."""
    with contextlib.suppress(OSError):  # it is gone, and its end of standard input with it
        while line:
            line = line[os.write(fd, line) :]
