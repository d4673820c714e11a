"""Starts, watches, restarts and ends the other processes; the only place that decides restarts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from encoder.disk_folder import DiskFolder
from encoder.errors import EncoderError
from encoder.media_root import MediaRoot
from logs import event
from rawmedia import RawMediaError
from server.child import BAD_INPUT, START_ATTEMPTS, Child
from server.control import Command, listen
from server.errors import ProcessGaveUp
from server.lending import give_back
from server.reserve import Reserve
from server.roster import Stream, StreamState, write_roster
from server.sessions import SharedProcess
from server.specs import StreamOrder

# How soon it is seen that a stream can be played, and that one has ended.
LOOK_SECONDS = 0.02
# For the last lines of ended children to come through.
LAST_LINES_SECONDS = 0.5

log = logging.getLogger(__name__)
MakeStream = Callable[[StreamOrder], Stream]


class Supervisor:
    """Keeps the processes of one service running until it is told to stop.

    Args:
        root: where the streams' media and the supervisor's own socket and roster live.
        web: the processes that serve all streams.
        make_stream: from an order to a stream with its processes.
        most_streams: as many at once, ended ones that can still be watched included.
        disk: entered already; takes the older segments of long windows.
        shared: where talking heads are sessions.
        reserve: where processes wait for the next stream.
    """

    def __init__(
        self,
        root: MediaRoot,
        web: list[Child],
        make_stream: MakeStream,
        most_streams: int,
        disk: DiskFolder | None = None,
        shared: SharedProcess | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self.streams: dict[str, Stream] = {}
        self._root = root
        self._web = web
        self._make_stream = make_stream
        self._most_streams = most_streams
        self._disk = disk
        self._shared = shared
        self._reserve = reserve or Reserve((), {})
        self._stopping = asyncio.Event()
        self._gave_up: ProcessGaveUp | None = None
        self._was_live = False
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the service ends."""
        return self._stopping

    def stop(self) -> None:
        """End all children and return from :meth:`run`."""
        self._stopping.set()

    async def run(self, first: StreamOrder | None, when_live: Callable[[], None]) -> None:
        """Run until SIGINT or SIGTERM; every child has been reaped when it returns.

        Args:
            first: the stream to start with. A service whose first stream never comes up ends.
            when_live: called once, when that stream can be played.

        Raises:
            ProcessGaveUp: a child cannot work with what it was given.
            EncoderError, RawMediaError: the first stream cannot be.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        control = await listen(self._root.control, self._act)
        try:
            for child in self._web:
                self._background(self._keep_web(child))
            if self._shared is not None:
                self._background(self._shared.keep_when_needed(self._tell))
            if first is not None:
                self._add(first).essential = True
            live = asyncio.ensure_future(self._announce(first, when_live))
            reserving = asyncio.ensure_future(self._reserve.keep(self._tell))
            await self._stopping.wait()
            live.cancel()
            reserving.cancel()
        finally:
            control.close()
            await self._end_all()
        if self._gave_up is not None:
            raise self._gave_up

    async def _end_all(self) -> None:
        children = [child for stream in self.streams.values() for child in stream.children]
        common = [*self._web, *([self._shared] if self._shared is not None else [])]
        await asyncio.gather(self._reserve.end(), *(c.end() for c in [*children, *common]))
        if self._tasks:  # what they last said is still on its way
            await asyncio.wait(self._tasks, timeout=LAST_LINES_SECONDS)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _announce(self, first: StreamOrder | None, when_live: Callable[[], None]) -> None:
        # It may be deleted before it is live: the service itself is well.
        while first is not None and first.id in self.streams:
            if self.streams[first.id].playlist.exists():
                break
            await asyncio.sleep(LOOK_SECONDS)
        self._was_live = True
        when_live()

    def _tell(self) -> None:
        """Let the web processes know how things stand."""
        streams, pids = self.streams.values(), self._reserve.pids
        shared = [self._shared] if self._shared is not None and self._shared.is_needed else []
        write_roster(self._root.roster, streams, self._web, pids, shared)

    # --- wishes ----------------------------------------------------------------------------------

    async def _act(self, command: Command) -> Command:
        """Carry out a wish of the control API; a refusal carries an HTTP status."""
        if "figures" in command:
            return {"ok": True, "figures": self._figures()}
        if "start_stream" in command:
            return self._start_wished(StreamOrder(**command["start_stream"]))
        return self._end_wished(str(command.get("end_stream")))

    def _figures(self) -> dict[str, Any]:
        """What the encoders told of themselves by their beats: no full disk keeps that back."""
        beats = ((s.id, child.told) for s in self.streams.values() for child in s.children)
        return {name: told for name, told in beats if "state" in told}

    def _start_wished(self, order: StreamOrder) -> Command:
        known = self.streams.get(order.id)
        if known is not None and (known.state is not StreamState.FAILED or known.running):
            return _refused(409, f"there is a stream {order.id!r} already ({known.state.value})")
        if known is None and self._is_full:
            limit = f"{self._most_streams} streams are the most here (setting max_streams)"
            return _refused(429, f"{limit}; end one first")
        try:
            if known is not None:
                self._remove(known)
            self._add(order)
            self._forget_failures()
        except (EncoderError, RawMediaError, OSError) as error:
            return _refused(503, str(error))
        return {"ok": True}

    @property
    def _is_full(self) -> bool:
        """Whether no other stream may be; those that failed take no place."""
        return sum(not s.has_failed for s in self.streams.values()) >= self._most_streams

    def _forget_failures(self) -> None:
        """The first of them, where reasons take more places than there are."""
        failed = [s for s in self.streams.values() if s.has_failed]
        for stream in failed[: max(0, len(self.streams) - self._most_streams)]:
            self._remove(stream)
        self._tell()

    def _end_wished(self, name: str) -> Command:
        stream = self.streams.get(name)
        if stream is None:
            return _refused(404, "there is no such stream, or it is gone")
        event(log, "stream_end_wished", stream=name)
        stream.state = StreamState.ENDING
        for child in stream.children:  # said again, what can still be watched goes at once
            child.say_last_word()
        if not stream.running:
            self._remove(stream)
        self._tell()
        return {"ok": True}

    # --- streams ---------------------------------------------------------------------------------

    def _add(self, order: StreamOrder) -> Stream:
        stream = self._make_stream(order)
        try:
            self._check_room(stream)
            # Now, so that who is told of the stream can already ask for it, and is held.
            stream.playlist.parent.mkdir(parents=True, exist_ok=True)
        except BaseException:
            give_back(stream.lent)
            raise
        self.streams[order.id] = stream
        for child in stream.children:
            self._background(self._keep(stream, child))
        event(log, "stream_started", stream=order.id)
        self._tell()
        return stream

    def _check_room(self, new: Stream) -> None:
        """Each stream may grow to its bound; one that failed grows no more, and is gone soon.

        Raises:
            StoreFull, StoreUnwritable: there is no room for one more.
        """
        streams = [*(s for s in self.streams.values() if not s.has_failed), new]
        self._root.check_room([s.bound_bytes for s in streams])
        if self._disk is not None:
            self._disk.check_room([s.archive_bound_bytes for s in streams])

    async def _keep(self, stream: Stream, child: Child) -> None:
        await child.keep(lambda: self._is_hopeless(stream, child), self._tell)
        if self._stopping.is_set() or self.streams.get(stream.id) is not stream:
            return
        if stream.state is StreamState.RUNNING:  # nobody wished it: it was given up
            self._fail(stream, child)
        if stream.state is StreamState.ENDING and not stream.running:
            self._remove(stream)
            self._tell()

    def _is_hopeless(self, stream: Stream, child: Child) -> bool:
        """Once a stream was live it is never given up, unless a process never took its input."""
        stream.was_live = stream.was_live or stream.playlist.exists()
        return child.only_refused or not (stream.was_live or child.failures < START_ATTEMPTS)

    def _fail(self, stream: Stream, culprit: Child) -> None:
        """A stream that cannot be: its viewers see the end, its reason stays to be read."""
        assert culprit.last_exit is not None
        stream.state, stream.culprit = StreamState.FAILED, culprit.name
        if stream.essential and (culprit.only_refused or not stream.was_live):
            self._give_up(culprit)
            return
        event(log, "stream_failed", level=logging.ERROR, stream=stream.id, process=culprit.name)
        with contextlib.suppress(OSError):  # who listens for it would see it in the list as well
            self._root.journal(stream.id).add("state", state="failed", process=culprit.name)
        for child in stream.children:
            child.say_last_word()
        self._tell()

    def _remove(self, stream: Stream) -> None:
        """All its processes have ended; one that was killed has left its media."""
        shutil.rmtree(stream.playlist.parent, ignore_errors=True)
        self._root.forget(stream.id)
        give_back(stream.lent)
        if self._disk is not None:
            self._disk.remove(stream.id)
        del self.streams[stream.id]

    async def _keep_web(self, child: Child) -> None:
        await child.keep(
            lambda: child.only_refused or not (self._was_live or child.failures < START_ATTEMPTS),
            self._tell,
        )
        if not self._stopping.is_set():
            self._give_up(child)

    def _give_up(self, child: Child) -> None:
        assert child.last_exit is not None
        status = child.last_exit.status
        exit_status = BAD_INPUT if status == BAD_INPUT else 1
        self._gave_up = self._gave_up or ProcessGaveUp(child.name, status, exit_status)
        self._stopping.set()


def _refused(status: int, error: str) -> Command:
    return {"ok": False, "status": status, "error": error}
