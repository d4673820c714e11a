"""How a worker process ends. Imports almost nothing, so that it works from the first moment on."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import NoReturn

from logs import event

log = logging.getLogger(__name__)


def obey_signals() -> None:
    """SIGTERM ends the process with status 0; SIGINT is left to the supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    # a thread, not a handler: a handler would wait until a large photo is decoded
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_await_sigterm, name="sigterm", daemon=True).start()


def end_with(fd: int) -> None:
    """End the process when ``fd`` ends: the other end was held by the parent alone."""
    threading.Thread(target=_watch, args=(fd,), name="lifeline", daemon=True).start()


def leave(reason: str, status: int = 0) -> NoReturn:
    """End now; as a rule successfully.

    Nothing of ours outlives the process: the kernel closes socket, memory and devices. A normal
    interpreter exit could wait for a camera driver that is stuck.
    """
    event(log, "source_stopped", reason=reason)
    os._exit(status)


def _await_sigterm() -> None:
    signal.sigwait({signal.SIGTERM})
    leave("terminated")


def _watch(fd: int) -> None:
    # not sys.stdin: a thread that waits with its lock makes a normal interpreter exit abort
    while os.read(fd, 4096):
        pass
    leave("parent_gone")
