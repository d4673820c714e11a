"""Waiting for files to appear in tmpfs: one inotify instance and one thread per web process.

The watch is set before the folder is looked at, so that nothing can be missed in between; only
renames are watched, for every published file arrives by one. It is opened on first use, after
gunicorn has forked: an instance must not be shared between processes.

A user has 128 instances by default. Where there is none left, everything that is waited for is
looked at every 20 ms instead: later by 10 ms, and a little work all the time, but it works.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import inotify_simple
from inotify_simple import flags

import logs
from encoder.iframes import IFRAMES_NAME
from encoder.packager import DELTA_NAME
from encoder.publish import GZIP_SUFFIX

# Other forms of a playlist, and what goes with it: they come just before it and need wake nobody.
COMPANIONS = (GZIP_SUFFIX, DELTA_NAME, IFRAMES_NAME)
POLL_SECONDS = 0.02
_EVENTS = flags.MOVED_TO | flags.DELETE_SELF
T = TypeVar("T")
# Called when a folder has changed; with True if it is gone.
Waiter = Callable[[bool], None]

log = logging.getLogger(__name__)


class FolderWatcher:
    """Wakes who waits for a folder; a lock of its own per waiter wakes cheaper than one for all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inotify: inotify_simple.INotify | None = None
        self._is_polling = False
        self._folders: dict[int, Path] = {}
        self._waiters: dict[Path, set[Waiter]] = {}

    def wait_for(
        self, folder: Path, check: Callable[[], T | None], timeout_seconds: float
    ) -> T | None:
        """Call ``check`` now and after each change of ``folder`` until it returns something.

        Args:
            folder: an existing folder; one that does not exist is never waited for.
            check: must not block.
            timeout_seconds: when to give up.

        Returns:
            What ``check`` returned; None after the timeout.
        """
        deadline = time.monotonic() + timeout_seconds
        found = check()
        if found is not None:
            return found
        with self._registered(folder) as changed:
            while True:
                changed.clear()
                found = check()
                left = deadline - time.monotonic()
                if found is not None or left <= 0 or not folder.is_dir():
                    return found
                changed.wait(left)

    def call_when(
        self, folder: Path, check: Callable[[], object | None], then: Callable[[], None]
    ) -> Ticket:
        """Have ``then`` called once, as soon as ``check`` returns something: no thread waits.

        Args:
            folder: whose changes are followed. ``then`` is called too when it is gone.
            check: must not block. If it fails, that is for ``then`` to find out.
            then: must not block; called in any thread, perhaps before this returns.
        """
        ticket = Ticket(self, folder, check, then)
        self._add(folder, ticket.look)
        ticket.look(not folder.is_dir())
        return ticket

    @contextmanager
    def _registered(self, folder: Path) -> Iterator[threading.Event]:
        changed = threading.Event()

        def wake(_gone: bool) -> None:
            changed.set()

        self._add(folder, wake)
        try:
            yield changed
        finally:
            self._forget(folder, wake)

    def _add(self, folder: Path, waiter: Waiter) -> None:
        with self._lock:
            self._waiters.setdefault(folder, set()).add(waiter)
            self._watch(folder)

    def _forget(self, folder: Path, waiter: Waiter) -> bool:
        """Whether it still waited."""
        with self._lock:
            waiters = self._waiters.get(folder, set())
            if waiter not in waiters:
                return False
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[folder]
            return True

    def _watch(self, folder: Path) -> None:
        if self._is_polling:
            return
        try:
            if self._inotify is None:
                self._inotify = inotify_simple.INotify()
                self._start("inotify", self._read_for_ever)
            # Adding a watch again gives the same number; a new folder of that name another one.
            self._folders[self._inotify.add_watch(folder, _EVENTS)] = folder
        except FileNotFoundError:
            return  # who waits sees for himself that it is gone
        except OSError as error:  # no instance, or no watch, is left for this user
            self._is_polling = True
            reason = f"{error.strerror}: looking every {POLL_SECONDS * 1000:g} ms instead"
            logs.event(log, "inotify_unavailable", level=logging.WARNING, reason=reason)
            self._start("folder-poll", self._poll_for_ever)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()

    def _read_for_ever(self) -> None:
        assert self._inotify is not None
        while True:
            for happened in self._inotify.read():
                if happened.mask & flags.Q_OVERFLOW:
                    self._wake_all()
                elif not happened.name.endswith(COMPANIONS):
                    self._wake(happened.wd, gone=bool(happened.mask & flags.IGNORED))

    def _poll_for_ever(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._wake_all()

    def _wake_all(self) -> None:
        """Have everybody look for himself."""
        with self._lock:
            waiting = [
                (folder, waiter) for folder, those in self._waiters.items() for waiter in those
            ]
        for folder, waiter in waiting:
            waiter(not folder.is_dir())

    def _wake(self, watch: int, *, gone: bool) -> None:
        with self._lock:
            folder = self._folders.pop(watch, None) if gone else self._folders.get(watch)
            waiters = list(self._waiters.get(folder, ())) if folder else []
        for waiter in waiters:
            waiter(gone)


class Ticket:
    """A call that is still to be made, by :meth:`FolderWatcher.call_when`."""

    __slots__ = ("_check", "_folder", "_then", "_watcher")

    def __init__(
        self,
        watcher: FolderWatcher,
        folder: Path,
        check: Callable[[], object | None],
        then: Callable[[], None],
    ) -> None:
        self._watcher, self._folder, self._check, self._then = watcher, folder, check, then

    def look(self, gone: bool) -> None:
        """Make the call if its time has come."""
        if (gone or self._is_there()) and self.cancel():
            try:
                self._then()
            except Exception:  # the thread that looks is everybody's
                log.exception("who waited in %s cannot be told", self._folder)

    def cancel(self) -> bool:
        """Whether the call was still to be made, and now never will be."""
        return self._watcher._forget(self._folder, self.look)

    def _is_there(self) -> bool:
        try:
            return self._check() is not None
        except Exception:
            log.exception("what is waited for in %s cannot be looked at", self._folder)
            return True
