"""What a service manager hears, at real sockets."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.notify import Notifier, take_listener
from tests.manager import HAND_OVER, ROOT


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Address as systemd gives it, and the socket that hears."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@lipstream-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(name.replace("@", "\0", 1))
        hears.settimeout(2)
        yield name, hears


def test_each_thing_told_is_one_datagram(manager: tuple[str, socket.socket]) -> None:
    address, hears = manager
    notifier = Notifier(address)
    notifier.ready("one stream is live")
    notifier.status("two streams are live")
    notifier.alive()
    notifier.reloading()
    notifier.stopping()
    heard = [hears.recv(4096).decode() for _ in range(5)]
    assert heard[0] == "READY=1\nSTATUS=one stream is live"
    assert heard[1] == "STATUS=two streams are live"
    assert heard[2] == "WATCHDOG=1"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard[3])
    assert heard[4] == "STOPPING=1"


def test_what_the_manager_gave_is_taken_so_that_no_child_speaks_for_us() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "PATH": "/bin"}
    environ["WATCHDOG_PID"] = str(os.getpid())
    notifier = Notifier.take_from(environ)
    assert (notifier.address, notifier.watchdog_seconds) == ("/x", 30.0)
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"},
    ],
)
def test_no_watchdog_that_is_not_ours(environ: dict[str, str]) -> None:
    assert Notifier.take_from(dict(environ)).watchdog_seconds == 0


def test_without_a_manager_nothing_happens_and_a_dead_one_does_no_harm(tmp_path: Path) -> None:
    Notifier().ready("here")
    Notifier(str(tmp_path / "nobody")).ready("here")


_TAKE = """
import os
from server.notify import take_listener
taken = take_listener(os.environ)
print(taken.getsockname()[1], taken.fileno(), "LISTEN_FDS" in os.environ)
"""


def test_a_socket_that_is_handed_over_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        said = subprocess.run(
            [sys.executable, "-c", HAND_OVER, str(fd), sys.executable, "-c", _TAKE],
            cwd=ROOT,
            pass_fds=(fd,),
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.split() == [str(listener.getsockname()[1]), "3", "False"]


@pytest.mark.parametrize("pid", ["", "1"])
def test_a_socket_for_another_process_is_left(pid: str) -> None:
    assert take_listener({"LISTEN_PID": pid, "LISTEN_FDS": "1"}) is None
