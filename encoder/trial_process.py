"""Run a short child process: feed it, drain it, and never leave it behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from encoder.candidate import ENVIRONMENT

# Only how soon a cancelled trial is noticed; a child that ends by itself is noticed at once.
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that ended by itself."""

    returncode: int
    stdout: bytes
    stderr: str


class GaveUp(Exception):
    """The child was killed: too late, or no longer wanted. ``stderr`` is what it had said."""

    def __init__(self, stderr: str) -> None:
        super().__init__(stderr)
        self.stderr = stderr


def run_to_end(
    argv: Sequence[str],
    pieces: Iterable[bytes | memoryview],
    deadline: float,
    stop: threading.Event,
) -> Finished:
    """Run ``argv`` with ``pieces`` on its stdin.

    Args:
        argv: the command.
        pieces: made one at a time, as fast as the child reads.
        deadline: on the clock of ``time.monotonic``.
        stop: when set, the child is killed.

    Raises:
        GaveUp: the time was over, or ``stop`` was set. The child and its children are gone.
        OSError: it cannot be started.
    """
    read_end, write_end = os.pipe()
    try:
        child = _start(argv, read_end)
    except OSError:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    # A thread of its own: the child may fail to read while it has much to write.
    feeder = threading.Thread(target=_feed, args=(write_end, pieces), daemon=True)
    feeder.start()
    try:
        return _wait(child, deadline, stop)
    finally:
        _kill_and_reap(child)
        feeder.join()


def _start(argv: Sequence[str], stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | ENVIRONMENT,
        start_new_session=True,  # ffmpeg may be a wrapper script: its children are killed with it
    )


def _feed(descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
    # An encoder that fails leaves early: a broken pipe is no news.
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb", buffering=0) as pipe:
        for piece in pieces:
            rest = memoryview(piece)
            while len(rest):
                rest = rest[pipe.write(rest) :]


def _wait(child: subprocess.Popen[bytes], deadline: float, stop: threading.Event) -> Finished:
    while True:
        try:
            stdout, stderr = child.communicate(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if stop.is_set() or time.monotonic() > deadline:
                _kill_group(child)
                raise GaveUp(_text(child.communicate()[1])) from None
        else:
            return Finished(child.returncode, stdout, _text(stderr))


def _kill_and_reap(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:
        _kill_group(child)
        child.wait()
    for stream in (child.stdout, child.stderr):
        if stream:
            stream.close()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill all of its session. The child is not reaped yet, so its number is still its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
