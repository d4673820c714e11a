"""A service manager for tests: it hears what systemd would hear, and hands sockets over like it."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Becomes the command, with the socket as descriptor 3, as systemd.socket(5) describes.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """Hears datagrams at a socket.

    Args:
        address: of the socket: a path, or a name that begins with ``@``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[tuple[float, str]] = []  # when, and what
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Manager:
        self._socket.bind(self.address.replace("@", "\0", 1))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def environment(self, watchdog_seconds: float = 0) -> dict[str, str]:
        """What a service is given."""
        given = {"NOTIFY_SOCKET": self.address}
        if watchdog_seconds:
            given["WATCHDOG_USEC"] = str(round(watchdog_seconds * 1e6))
        return given

    def listen(self, seconds: float) -> list[str]:
        """What is said from now on for so long."""
        return self._hear(time.monotonic() + seconds, lambda _said: False)

    def wait_for(self, word: str, seconds: float) -> list[str]:
        """What is said from now on until a line begins so; an error if none does in time."""

        def is_it(said: str) -> bool:
            return any(line.startswith(word) for line in said.splitlines())

        said = self._hear(time.monotonic() + seconds, is_it)
        assert any(map(is_it, said)), f"{word} was not said in {seconds} s, but {said}"
        return said

    def _hear(self, deadline: float, is_enough: Callable[[str], bool]) -> list[str]:
        said: list[str] = []
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0]:
                said.append(self._socket.recv(65536).decode())
                self.heard.append((time.monotonic(), said[-1]))
                if is_enough(said[-1]):
                    break
        return said


def start(
    arguments: Sequence[str], environ: Mapping[str, str], listener: socket.socket | None = None
) -> subprocess.Popen[str]:
    """Start ``lipstream`` with these arguments, the leader of a process group.

    Args:
        arguments: of the command line.
        environ: added to the environment.
        listener: handed over as systemd does it.
    """
    argv = [sys.executable, "-m", "server", *arguments]
    if listener is not None:
        argv = [sys.executable, "-c", HAND_OVER, str(listener.fileno()), *argv]
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**os.environ, **environ},
        pass_fds=() if listener is None else (listener.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
