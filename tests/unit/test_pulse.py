from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from encoder.pulse import Pulse, pulse_of

BUSY = "while True: pass"
ASLEEP = "import time; print(flush=True); time.sleep(60)"
# A leader that only waits, as a wrapper of ffmpeg does; its child works.
WRAPPER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"


@contextmanager
def session(script: str) -> Iterator[int]:
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as leader:
        try:
            if script is ASLEEP:
                assert leader.stdout is not None
                leader.stdout.readline()
                time.sleep(0.05)
            yield leader.pid
        finally:
            os.killpg(leader.pid, signal.SIGKILL)


def later(pid: int, ready: bool, seconds: float = 10) -> tuple[Pulse, Pulse]:
    """Two pulses a fifth of a second apart: the first pair of which `is_still_since` is ready."""
    deadline = time.monotonic() + seconds
    while True:
        first = pulse_of(pid)
        time.sleep(0.2)
        second = pulse_of(pid)
        if second.is_still_since(first) is ready or time.monotonic() > deadline:
            return first, second


def test_one_that_works_has_a_pulse() -> None:
    with session(BUSY) as pid:
        first, second = later(pid, ready=False)
        assert not second.is_still_since(first)


def test_one_that_only_waits_is_still() -> None:
    with session(ASLEEP) as pid:
        first, second = later(pid, ready=True)
        assert second.is_still_since(first)


def test_what_a_wrapper_started_counts() -> None:
    with session(WRAPPER) as pid:
        first, second = later(pid, ready=False)
        assert not second.is_still_since(first)


def test_one_that_is_stopped_is_still_although_it_would_work() -> None:
    with session(BUSY) as pid:
        os.kill(pid, signal.SIGSTOP)
        first, second = later(pid, ready=True)
        assert second.is_still_since(first)


def test_one_that_gets_no_processor_is_not_still() -> None:
    assert not Pulse(7, runnable=True).is_still_since(Pulse(7, runnable=False))
    assert not Pulse(7, runnable=False).is_still_since(Pulse(7, runnable=True))


def test_one_that_has_ended_is_no_error() -> None:
    with session(ASLEEP) as pid:
        pass
    assert pulse_of(pid) == Pulse(0, runnable=False)
