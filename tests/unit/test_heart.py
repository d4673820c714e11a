"""When the watchdog is fed, and when it is not."""

from __future__ import annotations

import asyncio
import logging
import os
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
from server.child import FIRST_BEAT_SECONDS, STILL_SECONDS, Child
from server.heart import SILENT_SECONDS, Progress, Pulse, silent, web_answers
from server.notify import Notifier
from server.roster import Stream
from server.streams import media_progress
from tests.certificates import make_pair

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


def test_an_encoder_process_that_tells_nothing_is_silent_until_it_tells(tmp_path: Path) -> None:
    """By its figures: a file that changes. The clock is the test's, the process is a real one."""
    figures = tmp_path / "demo.json"
    child = Child("encoder", [*PYTHON, "import time; time.sleep(60)"], dict, stream="demo")
    now = [0.0]
    progress, streams = Progress(lambda: now[0]), [stream_with(child, tmp_path)]

    def look(seconds: float) -> list[str]:
        now[0] = child.began + seconds
        return list(silent(streams, lambda _name: figures, progress))

    async def test() -> None:
        figures.write_text("1")
        os.utime(figures, (1, 1))
        assert not look(1)
        assert not look(1 + SILENT_SECONDS)
        assert look(1.1 + SILENT_SECONDS) == ["the encoder process of demo"]
        os.utime(figures, (2, 2))
        assert not look(2 + SILENT_SECONDS)

    run(child, test)


def test_a_process_that_has_ended_is_the_supervisors_business(tmp_path: Path) -> None:
    child = Child("encoder", [], dict)
    child.began = time.monotonic() - 10 * FIRST_BEAT_SECONDS
    assert not silent([stream_with(child, tmp_path)], lambda _: tmp_path / "no", Progress())


def test_a_start_takes_its_time_but_not_for_ever(tmp_path: Path) -> None:
    child = Child("encoder", [*PYTHON, "import time; time.sleep(60)"], dict)
    now = [0.0]
    progress = Progress(lambda: now[0])

    async def test() -> None:
        longest = child.first_beat_seconds + SILENT_SECONDS
        for seconds, is_silent in ((longest - 1, False), (longest + 1, True)):
            now[0] = child.began + seconds
            found = silent([stream_with(child, tmp_path)], lambda _: tmp_path / "no", progress)
            assert bool(found) is is_silent

    run(child, test)


def test_beats_without_media_are_no_food(tmp_path: Path) -> None:
    """The process was replaced for it and that did not help, or the supervisor did not see it."""
    child = Child("encoder", [*PYTHON, "import time; time.sleep(60)"], dict)
    child.progress = media_progress
    now = [0.0]
    progress = Progress(lambda: now[0])

    async def test() -> None:
        for second in range(0, 100, 3):  # never just at the limit
            now[0] = child.began + second
            child.take_beat({"state": "live", "media_seconds": 7.0}, now[0])
            found = silent([stream_with(child, tmp_path)], lambda _: tmp_path / "no", progress)
            assert bool(found) is (second > STILL_SECONDS + SILENT_SECONDS)
        assert "published nothing" in found["the encoder process of demo"]

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
