"""`lipstream serve` in a process of its own, as an operator runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import requests

from encoder.media_root import ROSTER, RUN
from server.roster import read_roster

ADDRESS = re.compile(r"https?://127\.0\.0\.1:\d+")
START_SECONDS = 20.0
STOP_SECONDS = 10.0
PLAYLIST = "live/demo/index.m3u8"


class Service:
    """A running service; leaving the block ends it and kills what might be left.

    Args:
        media_root: its media root.
        flags: further flags of `lipstream serve`.
        playlist: path of the playlist that is asked for until it is there.
        environment: further variables for its processes.
        authority: PEM file with the certificate authority that an HTTPS service is trusted by.
    """

    def __init__(
        self,
        media_root: Path,
        flags: tuple[str, ...] = (),
        playlist: str = PLAYLIST,
        authority: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.media_root = media_root
        self._playlist = playlist
        self._verify = str(authority) if authority else True
        self.url = ""
        self._log: deque[str] = deque(maxlen=200)
        self.flags = flags
        self._environment = dict(environment)
        self._seen: set[int] = set()

    def __enter__(self) -> Service:
        argv = [*_argv(self.media_root), *self.flags]
        self._child = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment() | self._environment,
            start_new_session=True,
        )
        self._has_address = threading.Event()
        self._drain = threading.Thread(target=self._read, daemon=True)
        self._drain.start()
        try:
            self._await_playlist(time.monotonic() + START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._seen.update(self.processes())
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(STOP_SECONDS)
        finally:
            for pid in self.still_alive(list(self._seen)):
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
            self._child.wait()
            self._drain.join(5)

    @property
    def log(self) -> list[str]:
        """What was said last: a copy, for more may be said while it is looked through."""
        return list(self._log)

    @staticmethod
    def attempt(media_root: Path, flags: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a service that is expected to end by itself."""
        argv = [*_argv(media_root), *flags]
        return subprocess.run(
            argv, check=False, capture_output=True, text=True, env=_environment(), timeout=30
        )

    def stop(self, sign: signal.Signals) -> int:
        """Send a signal to the supervisor alone; returns its exit status."""
        self._seen.update(self.processes())
        self._child.send_signal(sign)
        return self._child.wait(STOP_SECONDS)

    def processes(self) -> list[int]:
        """The supervisor and everything below it."""
        return [] if self._child.poll() is not None else self.below(self._child.pid)

    @staticmethod
    def below(top: int) -> list[int]:
        """A process and everything below it."""
        found, parents = [top], _parents()
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def find(self, word: str) -> int:
        """The process below the supervisor that is at work and whose command line has that word."""
        waiting = self.waiting()
        for pid in self.processes()[1:]:
            if word in _command_line(pid) and pid not in waiting:
                return pid
        raise AssertionError(f"no process {word!r} among {self.processes()}")

    def waiting(self) -> list[int]:
        """The processes in reserve."""
        pids: list[int] = read_roster(self.media_root / RUN / ROSTER)["reserve"]
        return pids

    @staticmethod
    def still_alive(pids: list[int]) -> list[int]:
        """Those that run; zombies only wait to be reaped."""
        return [pid for pid in pids if _stat(pid)[:1] not in ("", "Z")]

    def _read(self) -> None:
        assert self._child.stdout is not None
        for row in self._child.stdout:
            line = row.decode("utf-8", "replace").rstrip()
            self._log.append(line)
            if not self.url and (match := ADDRESS.search(line)):
                self.url = match.group()
                self._has_address.set()
        self._has_address.set()

    def _await_playlist(self, deadline: float) -> None:
        self._has_address.wait(START_SECONDS)
        while self.url and time.monotonic() < deadline:
            url = f"{self.url}/{self._playlist}"
            if requests.get(url, timeout=5, verify=self._verify).ok:
                return
            time.sleep(0.02)
        raise AssertionError("\n".join(["the service did not start:", *self.log]))


def temporary_media_root() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one: media belongs there."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="lipstream-", dir=memory)


def _argv(media_root: Path) -> list[str]:
    serve = [sys.executable, "-m", "server", "serve"]
    return [*serve, "--port", "0", "--media-root", str(media_root)]


def _environment() -> dict[str, str]:
    """Defaults only: a developer's own settings must not decide what a test sees."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LIPSTREAM_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _parents() -> dict[int, int]:
    stats = {int(p.name): _stat(int(p.name)) for p in Path("/proc").glob("[0-9]*")}
    return {pid: int(stat.split()[1]) for pid, stat in stats.items() if stat}


def _stat(pid: int) -> str:
    """``state ppid ...``; empty if there is no such process. The name may hold brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].strip()
    except OSError:
        return ""


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
