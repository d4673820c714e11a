"""A log that nobody reads, or nobody reads any more, holds up nothing."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import logs
from server.outlet import Outlet

log = logging.getLogger("lipstream.test")


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A small one."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue  # the test has


def test_lines_come_through_in_their_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    with Outlet(writing) as outlet:
        logs.configure("json", outlet)
        logs.event(log, "one")
        logs.relay('{"event": "two"}')
        logs.event(log, "three")
    os.close(writing)
    with os.fdopen(os.dup(reading)) as lines:
        assert [json.loads(line)["event"] for line in lines] == ["one", "two", "three"]


def test_a_reader_that_stopped_holds_up_nobody_and_is_told(pipe: tuple[int, int]) -> None:
    """Ctrl-S, or a pager: the pipe is full. When somebody reads on, it is said what is missing."""
    reading, writing = pipe
    with Outlet(writing, most_lines=10) as outlet:
        logs.configure("json", outlet)
        began = time.monotonic()
        for number in range(200):
            logs.relay(json.dumps({"event": "said", "number": number, "filling": "x" * 500}))
        assert time.monotonic() - began < 5, "it did not wait"
        got = b""
        while b"log_left_out" not in got:
            got += os.read(reading, 65536)
    said = [json.loads(line) for line in got.splitlines()]
    (left_out,) = [line["lines"] for line in said if line["event"] == "log_left_out"]
    assert len(said) - 1 + left_out == 200


def test_a_reader_that_has_gone_is_no_reason_to_stop(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    with Outlet(writing, most_lines=10) as outlet:
        logs.configure("json", outlet)
        for number in range(200):
            logs.event(log, "said", number=number)
            logs.relay("what a child says")


def test_it_ends_though_nobody_reads(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    began = time.monotonic()
    with Outlet(writing, most_lines=10) as outlet:
        for _ in range(30):
            outlet.write("x" * 1000 + "\n")
    assert time.monotonic() - began < 5
    os.close(reading)  # else its thread would write on, by a number that is another file's by then
    outlet._thread.join(20)
    assert not outlet._thread.is_alive()
