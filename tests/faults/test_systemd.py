"""As services of the system: what systemd hears, reloads, restarts of one without the other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from config import Settings
from encoder.playlist_reader import read_position
from server.heart import RELOAD_SECONDS, WEB_START_SECONDS, workers_of
from server.kept import PLAYLIST_SECONDS
from tests.browser.watching import until
from tests.faults.crowd import held_requests
from tests.manager import Manager, start
from tests.service import START_SECONDS, Service

pytestmark = pytest.mark.faults

SMALL = ("--width", "320", "--height", "180", "--video-kbit", "150", "--ladder", "single")
WATCHDOG_SECONDS = 3.0
VIEWERS = 40


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as hears:
        yield hears


def playlist_of(url: str) -> str:
    return f"{url}/live/demo/v0/media.m3u8"


def newest(url: str) -> int:
    answer = requests.get(playlist_of(url), timeout=START_SECONDS)
    answer.raise_for_status()
    return read_position(answer.text).last_msn


def held(url: str, msn: int) -> tuple[int, str, float]:
    """Ask for what comes only in a while; status, Retry-After and when the answer came."""
    answer = requests.get(playlist_of(url), params={"_HLS_msn": str(msn)}, timeout=20)
    return answer.status_code, answer.headers.get("Retry-After", ""), time.monotonic()


def send(sign: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has followed its parent
            os.kill(pid, sign)


def family(pid: int) -> list[int]:
    """A process and all below it, parents first: none is left to replace one that was killed."""
    return [pid, *(below for child in workers_of(pid) for below in family(child))]


def test_one_service_tells_that_it_is_ready_lives_reloads_and_stops(
    manager: Manager, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in manager.environment(WATCHDOG_SECONDS).items():
        monkeypatch.setenv(name, value)
    with Service(media_root, SMALL) as service:
        (ready,) = (said for said in manager.wait_for("READY=1", 5) if "READY" in said)
        assert ready == "READY=1\nSTATUS=1 of 1 streams can be played"
        assert "WATCHDOG=1" in manager.wait_for("WATCHDOG=1", WATCHDOG_SECONDS)
        for pid in service.processes()[1:]:
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()

        _reload(manager, service)
        _stand_still(manager, service)

        assert service.stop(signal.SIGTERM) == 0
        assert "STOPPING=1" in manager.wait_for("STOPPING=1", 2)


def _reload(manager: Manager, service: Service) -> None:
    """SIGHUP: held requests are woken, processes replaced, and the stream notices nothing."""
    master, encoder = service.find("server.web"), service.find("-m encoder")
    old = workers_of(master)
    # When a segment ends, the end of the one after the next is two segments away.
    last = newest(service.url) + 1
    assert held(service.url, last)[0] == 200
    with ThreadPoolExecutor(VIEWERS) as viewers:
        waiting = [viewers.submit(held, service.url, last + 2) for _ in range(VIEWERS)]
        until("all are held", lambda: held_requests(service.url) >= VIEWERS, 5)
        began = time.monotonic()
        os.kill(service.processes()[0], signal.SIGHUP)
        told = manager.wait_for("READY=1", RELOAD_SECONDS)
        assert any(said.startswith("RELOADING=1\nMONOTONIC_USEC=") for said in told)
        answers = [future.result() for future in waiting]
    assert all(status == 503 and later == "1" for status, later, _ in answers), answers
    assert max(at for _, _, at in answers) - began < RELOAD_SECONDS
    assert not old & workers_of(master)
    assert service.find("server.web") == master
    assert service.find("-m encoder") == encoder
    assert held(service.url, newest(service.url) + 1)[0] == 200


def _stand_still(manager: Manager, service: Service) -> None:
    """Web processes that hang: the watchdog is not fed, until they go on."""
    master = service.find("server.web")
    pids = {master, *workers_of(master)}
    up_seconds = time.monotonic() - manager.heard[0][0]
    time.sleep(max(0.0, WEB_START_SECONDS - up_seconds))  # until then they may be starting
    send(signal.SIGSTOP, pids)
    try:
        manager.wait_for("STATUS=the web processes: no answer", 10)
        assert "WATCHDOG=1" not in manager.listen(WATCHDOG_SECONDS)
    finally:
        send(signal.SIGCONT, pids)
    assert "WATCHDOG=1" in manager.wait_for("WATCHDOG=1", 10)


class Units:
    """Both units, as systemd runs them, and the socket that it listens at for one of them."""

    def __init__(self, manager: Manager, media_root: Path) -> None:
        self._root, self._manager = str(media_root), manager
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self._all: list[subprocess.Popen[str]] = []

    def streams(self) -> subprocess.Popen[str]:
        flags = ["--web-processes", "0", "--media-root", self._root, *SMALL]
        return self._started(start(["serve", *flags], self._manager.environment()))

    def web(self) -> subprocess.Popen[str]:
        environ = self._manager.environment(WATCHDOG_SECONDS)
        argv = ["web", "--media-root", self._root]
        return self._started(start(argv, environ, self.listener))

    def _started(self, child: subprocess.Popen[str]) -> subprocess.Popen[str]:
        self._all.append(child)
        self._manager.wait_for("READY=1", START_SECONDS)
        return child

    def close(self) -> None:
        for child in reversed(self._all):
            if child.poll() is None:
                child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        self.listener.close()


@pytest.fixture
def units(manager: Manager, media_root: Path) -> Iterator[Units]:
    both = Units(manager, media_root)
    yield both
    both.close()


def test_streams_and_web_restart_without_each_other(manager: Manager, units: Units) -> None:
    streams = units.streams()
    web = units.web()
    assert "WATCHDOG=1" in manager.wait_for("WATCHDOG=1", WATCHDOG_SECONDS)
    before = newest(units.url)

    # The web unit is killed; who comes meanwhile waits at the socket, and is served by the next.
    send(signal.SIGKILL, family(web.pid))
    web.wait()
    came: list[int] = []
    waiting = threading.Thread(target=lambda: came.append(newest(units.url)))
    waiting.start()
    time.sleep(0.5)
    assert not came
    web = units.web()
    waiting.join(START_SECONDS)
    assert came
    assert came[0] >= before, "the stream went on"
    assert "DISCONTINUITY" not in requests.get(playlist_of(units.url), timeout=5).text

    # A reload of the web unit alone.
    (master,) = workers_of(web.pid)
    old = workers_of(master)
    web.send_signal(signal.SIGHUP)
    manager.wait_for("RELOADING=1", 3)
    manager.wait_for("READY=1", RELOAD_SECONDS)
    assert not old & workers_of(master)
    # Where one of the old was replaced while it ended, gunicorn ends a new one that is too many.
    wished = Settings().web_processes
    until("no worker too many", lambda: len(workers_of(master)) == wished, RELOAD_SECONDS)

    # The streams' unit is restarted; the web processes stay, and tell how it is meanwhile.
    workers, before = workers_of(master), newest(units.url)
    streams.terminate()
    assert streams.wait(10) == 0
    assert requests.get(f"{units.url}/readyz", timeout=5).status_code == 503
    assert requests.get(f"{units.url}/metrics", timeout=5).status_code == 200
    units.streams()
    # What web processes have kept of the run before goes within a second.
    until("the next run is served", lambda: newest(units.url) > before, PLAYLIST_SECONDS + 1)
    assert workers_of(master) == workers

    web.terminate()
    assert web.wait(10) == 0
    manager.wait_for("STOPPING=1", 2)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ((), "media_root is not set"),
        (("--media-root", "/nowhere", "--web-processes", "0"), "web_processes is 0"),
        (("--media-root", "/nowhere", "--host", "0.0.0.0", "--port", "0"), "beyond loopback"),
    ],
)
def test_a_web_unit_that_cannot_be_says_why(flags: tuple[str, ...], why: str) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "server", "web", *flags],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert child.returncode == 2
    assert why in child.stderr
