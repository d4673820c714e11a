"""Waiting for files to appear in tmpfs: one inotify instance and one thread per web process.

The watch is set before the folder is looked at, so that nothing can be missed in between; only
renames are watched, for every published file arrives by one. It is opened on first use, after
gunicorn has forked: an instance must not be shared between processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import inotify_simple
from inotify_simple import flags

from encoder.iframes import IFRAMES_NAME
from encoder.packager import DELTA_NAME
from encoder.publish import GZIP_SUFFIX

# Other forms of a playlist, and what goes with it: they come just before it and need wake nobody.
COMPANIONS = (GZIP_SUFFIX, DELTA_NAME, IFRAMES_NAME)
_EVENTS = flags.MOVED_TO | flags.DELETE_SELF
T = TypeVar("T")


class FolderWatcher:
    """Wakes who waits for a folder; a lock of its own per waiter wakes cheaper than one for all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inotify: inotify_simple.INotify | None = None
        self._folders: dict[int, Path] = {}
        self._waiters: dict[Path, set[threading.Event]] = {}

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

    @contextmanager
    def _registered(self, folder: Path) -> Iterator[threading.Event]:
        changed = threading.Event()
        with self._lock:
            self._waiters.setdefault(folder, set()).add(changed)
            self._watch(folder)
        try:
            yield changed
        finally:
            with self._lock:
                self._waiters[folder].discard(changed)

    def _watch(self, folder: Path) -> None:
        if self._inotify is None:
            self._inotify = inotify_simple.INotify()
            threading.Thread(target=self._read_for_ever, name="inotify", daemon=True).start()
        try:
            # Adding a watch again gives the same number; a new folder of that name another one.
            self._folders[self._inotify.add_watch(folder, _EVENTS)] = folder
        except FileNotFoundError:
            return  # wait_for sees for itself that it is gone

    def _read_for_ever(self) -> None:
        assert self._inotify is not None
        while True:
            for happened in self._inotify.read():
                if happened.name.endswith(COMPANIONS):
                    continue
                self._wake(happened.wd, gone=bool(happened.mask & flags.IGNORED))

    def _wake(self, watch: int, *, gone: bool) -> None:
        with self._lock:
            folder = self._folders.pop(watch, None) if gone else self._folders.get(watch)
            waiters = list(self._waiters.get(folder, ())) if folder else []
        for changed in waiters:
            changed.set()
