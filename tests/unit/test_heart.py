"""When the watchdog is fed, and when it is not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from server import heart
from server.child import Child
from server.heart import START_SECONDS, Progress, Pulse, silent, web_answers
from server.notify import Notifier
from server.roster import Stream
from tests.certificates import make_pair

# Tells of itself as an encoder process does, only oftener.
_TELLING = """
import pathlib, sys, time
figures, number = pathlib.Path(sys.argv[1]), 0
while True:
    number += 1
    figures.write_text(str(number))
    time.sleep(0.02)
"""
PYTHON = (sys.executable, "-c")


class Spoken(Notifier):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def _tell(self, *lines: str) -> None:
        self.said.extend(lines)


def stream_with(child: Child, folder: Path) -> Stream:
    return Stream("demo", [child], folder / "index.m3u8", 0)


def run(child: Child, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        keeping = asyncio.ensure_future(child.keep(lambda: False, lambda: None))
        try:
            while not child.running:
                await asyncio.sleep(0.01)
            await test()
        finally:
            await child.end()
            await keeping

    asyncio.run(asyncio.wait_for(whole(), 30))


def test_a_stopped_encoder_process_is_silent_and_one_that_goes_on_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "SILENT_SECONDS", 0.5)
    figures = tmp_path / "demo.json"
    child = Child("encoder", [*PYTHON, _TELLING, str(figures)], dict, stream="demo")
    progress, streams = Progress(), [stream_with(child, tmp_path)]

    def look() -> dict[str, str]:
        return silent(streams, lambda _name: figures, progress)

    async def until(wanted: bool) -> None:
        while bool(look()) is not wanted:
            await asyncio.sleep(0.02)

    async def test() -> None:
        assert child.process is not None
        while not figures.exists():
            await asyncio.sleep(0.01)
        for _ in range(40):
            assert not look()
            await asyncio.sleep(0.02)
        os.kill(child.process.pid, signal.SIGSTOP)
        await until(True)
        assert list(look()) == ["the encoder process of demo"]
        os.kill(child.process.pid, signal.SIGCONT)
        await until(False)

    run(child, test)


def test_a_process_that_has_ended_is_the_supervisors_business(tmp_path: Path) -> None:
    child = Child("encoder", [], dict)
    child.began = time.monotonic() - 10 * START_SECONDS
    assert not silent([stream_with(child, tmp_path)], lambda _: tmp_path / "no", Progress())


def test_a_start_takes_its_time_but_not_for_ever(tmp_path: Path) -> None:
    child = Child("encoder", [*PYTHON, "import time; time.sleep(60)"], dict)
    now = [0.0]
    progress = Progress(lambda: now[0])

    async def test() -> None:
        for seconds, is_silent in ((START_SECONDS - 1, False), (START_SECONDS + 1, True)):
            now[0] = child.began + seconds
            found = silent([stream_with(child, tmp_path)], lambda _: tmp_path / "no", progress)
            assert bool(found) is is_silent

    run(child, test)


def test_a_wall_clock_that_jumps_changes_nothing(tmp_path: Path) -> None:
    """Time stamps of files are compared for equality only."""
    now, path = [100.0], tmp_path / "demo.json"
    progress = Progress(lambda: now[0])
    path.write_text("1")
    assert progress.last_change(path) == 100.0
    now[0] = 105.0
    os.utime(path, (1, 1))  # fifty years back: a change, and seen as one now
    assert progress.last_change(path) == 105.0
    now[0] = 109.0
    assert progress.last_change(path) == 105.0
    path.unlink()
    assert progress.last_change(path) == 0.0


def test_food_only_while_nothing_is_stuck(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Spoken()
    pulse = Pulse(notifier)
    pulse.beat({}, "1 of 1 streams can be played")
    pulse.beat({}, "1 of 1 streams can be played")
    assert notifier.said == ["WATCHDOG=1", "STATUS=1 of 1 streams can be played", "WATCHDOG=1"]
    notifier.said.clear()
    with caplog.at_level(logging.ERROR):
        pulse.beat({"the web processes": "no answer for 3 s"}, "1 of 1 streams can be played")
        pulse.beat({"the web processes": "no answer for 8 s"}, "1 of 1 streams can be played")
    assert notifier.said == [
        "STATUS=the web processes: no answer for 3 s",
        "STATUS=the web processes: no answer for 8 s",
    ]
    assert [record.message for record in caplog.records] == ["watchdog_unfed"]  # once
    notifier.said.clear()
    pulse.beat({}, "1 of 1 streams can be played")
    assert notifier.said[0] == "WATCHDOG=1"


@pytest.mark.parametrize(("watchdog", "look"), [(0.0, 5.0), (30.0, 5.0), (6.0, 2.0)])
def test_three_looks_fit_into_the_watchdogs_patience(watchdog: float, look: float) -> None:
    assert Pulse(Notifier("/x", watchdog)).seconds == look


# --- web processes -------------------------------------------------------------------------------


class Health(BaseHTTPRequestHandler):
    """Answers as the path says that it is asked for, if that is the right one."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("status", "well"), [(200, True), (500, False)])
def test_a_web_process_is_well_when_it_says_so(
    tmp_path: Path, tls: bool, status: int, well: bool
) -> None:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        server.status = status  # type: ignore[attr-defined]
        if tls:
            pair = make_pair(tmp_path)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.cert, pair.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            assert web_answers(("127.0.0.1", server.server_port), tls=tls) is well
            assert web_answers(("0.0.0.0", server.server_port), tls=tls) is well
        finally:
            server.shutdown()


def test_no_answer_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heart, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silence:
        port = silence.getsockname()[1]
        assert not web_answers(("127.0.0.1", port), tls=False)
        assert not web_answers(("127.0.0.1", port), tls=True)
    assert not web_answers(("127.0.0.1", port), tls=False)
