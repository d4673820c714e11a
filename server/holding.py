"""Requests that wait for media without a thread of their own.

Under the coalescer a view that has to wait does not wait: it tells what for, and is called again
when that is there, or when it has waited long enough. So whoever holds requests, however many,
takes threads from nobody. Under gthread there is nobody to call again, and the thread waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from flask import request

from server.watcher import FolderWatcher, Ticket

# Key in the environment of a request that is called again; its value is a Hold.
HOLD = "lipstream.hold"
T = TypeVar("T")


class PutAside(Exception):
    """The view waits; whatever is answered to this goes to nobody."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a view waits for."""

    watcher: FolderWatcher
    folder: Path
    check: Callable[[], object | None]
    seconds: float  # since the request came

    def begin(self, then: Callable[[], None]) -> Ticket:
        """Have ``then`` called in any thread when it is there, or can never be."""
        return self.watcher.call_when(self.folder, self.check, then)


@dataclass(slots=True)
class Hold:
    """A request that may be put aside."""

    began: float = field(default_factory=time.monotonic)
    wait: Wait | None = None  # set by the view, taken by who called it
    is_over: bool = False  # it has waited long enough: now it is answered with what there is


def hold_until(
    watcher: FolderWatcher, folder: Path, check: Callable[[], T | None], seconds: float
) -> T | None:
    """What ``check`` returns as soon as that is something; None after so many seconds.

    Raises:
        PutAside: the view will be called again.
    """
    hold: Hold | None = request.environ.get(HOLD)
    if hold is None:
        return watcher.wait_for(folder, check, seconds)
    found = check()
    if found is None and seconds > 0 and not hold.is_over:
        hold.wait = Wait(watcher, folder, check, seconds)
        raise PutAside
    return found


def began() -> float:
    """When the request of this view came, on the monotonic clock."""
    hold: Hold | None = request.environ.get(HOLD)
    return hold.began if hold else time.monotonic()
