"""Whether a service makes progress; only then is its service manager told that it lives.

A process that ended is not looked for here: the supervisor is at work on it already, and a restart
of everything would only cost the streams that are well. What counts is a process that is there and
does nothing. All clocks are monotonic: a wall clock that jumps must not kill a service.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from logs import event
from server.child import STILL_SECONDS, Child
from server.notify import Notifier
from server.roster import Stream

# An encoder process tells of itself twice a second; so long without a word, it is stuck.
SILENT_SECONDS = 10.0
# A web process answers its health check in milliseconds, and is up in a few seconds.
ANSWER_SECONDS, WEB_START_SECONDS = 3.0, 5.0
# How often it is looked.
LOOK_SECONDS = 5.0
# Web processes are replaced within this, however many requests they hold.
RELOAD_SECONDS = 5.0

log = logging.getLogger(__name__)


class Progress:
    """When files last changed, by our own clock.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._seen: dict[Path, tuple[int, float]] = {}

    def last_change(self, path: Path) -> float:
        """When a change was first seen; 0.0 while there is no such file."""
        try:
            changed_ns = path.stat().st_mtime_ns
        except OSError:
            return 0.0
        known, since = self._seen.get(path, (0, 0.0))
        if changed_ns != known:
            known, since = self._seen[path] = changed_ns, self.clock()
        return since


def silent(
    streams: Iterable[Stream], figures: Callable[[str], Path], progress: Progress
) -> dict[str, str]:
    """Encoder processes that run and do nothing, or nothing that is seen: which, and how long.

    The supervisor replaces such a process before it is told here; what is found here, that has not
    helped.

    Args:
        streams: of the service.
        figures: the file in which a stream's encoder process tells of itself.
        progress: remembers what was seen before.
    """
    found, now = {}, progress.clock()
    for stream in streams:
        for child in stream.children:
            if child.name == "encoder" and child.running:
                name = f"the encoder process of {stream.id}"
                heard = max(child.heard, progress.last_change(figures(stream.id)))
                begins = heard == child.began
                limit = SILENT_SECONDS + (child.first_beat_seconds if begins else 0)
                if now - heard > limit:
                    found[name] = f"silent for {now - heard:.0f} s"
                elif now - child.moved > STILL_SECONDS + limit:
                    found[name] = f"has published nothing for {now - child.moved:.0f} s"
    return found


def web_answers(address: tuple[str, int], *, tls: bool) -> bool:
    """Whether a web process answers its health check. It may take :data:`ANSWER_SECONDS`.

    Args:
        address: where it listens; of all addresses loopback is asked.
        tls: HTTPS; whose certificate it is does not matter here.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104
    link = http.client.HTTPConnection(host, address[1], timeout=ANSWER_SECONDS)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = http.client.HTTPSConnection(
            host, address[1], timeout=ANSWER_SECONDS, context=context
        )
    with closing(link):
        try:
            link.request("GET", "/healthz", headers={"Connection": "close"})
            return link.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Where a listening socket can be reached."""
    host, port = listener.getsockname()[:2]
    return str(host), int(port)


def workers_of(pid: int) -> set[int]:
    """Processes that a process has started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return set()
    return {int(word) for word in text.split()}


class Pulse:
    """Tells the service manager at each look how things are.

    Args:
        notifier: speaks with it.
    """

    def __init__(self, notifier: Notifier) -> None:
        self.notifier = notifier
        # Two looks may fail before the third one is too late.
        self.seconds = min(LOOK_SECONDS, notifier.watchdog_seconds / 3 or LOOK_SECONDS)
        self._stuck: frozenset[str] = frozenset()
        self._status = ""

    def beat(self, stuck: Mapping[str, str], status: str) -> None:
        """One look.

        Args:
            stuck: what does not move, and how so; nothing: all is well.
            status: one line for people.
        """
        told = "; ".join(f"{what}: {how}" for what, how in stuck.items())
        if not stuck:
            self.notifier.alive()
        elif self._stuck != stuck.keys():
            event(log, "watchdog_unfed", level=logging.ERROR, reason=told)
        if (told or status) != self._status:
            self._status = told or status
            self.notifier.status(self._status)
        self._stuck = frozenset(stuck)


class Heart:
    """Looks after one service, for its service manager.

    Args:
        notifier: speaks with that.
        status: one line for people, on how things are.
        web: the process that serves, where it is ours.
        address: where that listens.
        tls: whether it speaks HTTPS.
        asked: whether it is asked for signs of life. Where each viewer holds a thread, a full
            house would look like a dead one.
        stuck: what else does not move.
    """

    def __init__(
        self,
        notifier: Notifier,
        status: Callable[[], str],
        web: Sequence[Child],
        address: tuple[str, int],
        *,
        tls: bool,
        asked: bool = True,
        stuck: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._notifier = notifier
        self._status = status
        self._web = web
        self._address, self._tls, self._asked = address, tls, asked
        self._stuck = stuck
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, stopping: asyncio.Event) -> None:
        """The service does what it is for: tell so, and look again and again until it stops."""
        self._notifier.ready(self._status())
        if not sys.stdin.isatty():  # there it means that the terminal was closed
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, lambda: self._run(self._reload())
            )
        if self._notifier.is_there:
            self._run(self._watch(stopping))

    async def web_answers(self) -> bool:
        """Whether the web processes answer."""
        return await asyncio.to_thread(web_answers, self._address, tls=self._tls)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, stopping: asyncio.Event) -> None:
        pulse = Pulse(self._notifier)
        while not stopping.is_set():
            stuck = self._stuck()
            if not await self._web_is_well():
                stuck["the web processes"] = "no answer"
            pulse.beat(stuck, self._status())
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pulse.seconds)
        self._notifier.stopping()

    async def _web_is_well(self) -> bool:
        """Where one runs for a while it answers; one that does not run is being restarted."""
        now = time.monotonic()
        up = any(web.running and now - web.began > WEB_START_SECONDS for web in self._web)
        if not (up and self._asked):
            return True
        return await self.web_answers()

    async def _reload(self) -> None:
        """SIGHUP: new web processes, while the streams go on."""
        self._notifier.reloading()
        for web in self._web:
            if web.process is not None and web.running:
                await _replace_workers(web.process)
        self._notifier.ready(self._status())


async def _replace_workers(master: asyncio.subprocess.Process) -> None:
    old = workers_of(master.pid)
    event(log, "web_reloading", workers=len(old))
    master.send_signal(signal.SIGHUP)
    await _until(lambda: not old & workers_of(master.pid), RELOAD_SECONDS)


async def _until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for it, but not for ever."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
