"""The servers that the benchmark compares, each a process group of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import fanout_http2
from benchmarks.processes import ROOT, cpu_seconds, family, memory_bytes
from config import Settings
from tests import fronts
from tests.certificates import Pair, make_pair

_START_SECONDS = 10.0
# One web process answers; the others are up soon after.
_ALL_UP_SECONDS = 1.0
_FIRST = -20


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to serve the same media."""

    name: str
    kind: str  # web: lipstream; bare: the alternative
    worker: str = "asgi"
    processes: int = 1
    fronts: tuple[str, ...] = ()  # from the origin outwards
    is_tls: bool = False  # viewers come over TLS and HTTP/2

    def missing(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        for name in self.fronts:
            if not fronts.installed(name):
                return f"{name} is not installed (tools/packages.sh)"
        return ""


def modes(processes: int) -> dict[str, Mode]:
    """All of them, where several web processes are so many."""
    n = processes
    made = (
        Mode("bare", "bare"),
        Mode("coalescer", "web"),
        Mode(f"bare-{n}", "bare", processes=n),
        Mode(f"coalescer-{n}", "web", processes=n),
        Mode("varnish", "web", fronts=("varnish",)),
        Mode("nginx", "web", fronts=("nginx",)),
        Mode("nginx-h2", "web", fronts=("nginx",), is_tls=True),
        Mode("haproxy", "web", fronts=("varnish", "haproxy"), is_tls=True),
        Mode("caddy", "web", fronts=("varnish", "caddy"), is_tls=True),
        Mode("gthread", "web", worker="gthread"),
    )
    return {mode.name: mode for mode in made}


@dataclass(slots=True)
class Server:
    """One that runs; the origin, and what stands in front of it."""

    port: int
    asked: Path  # a folder: what the web processes are asked for
    called: Path  # a folder: what their Flask is called for
    origin: subprocess.Popen[bytes]
    fronts: list[fronts.Front]
    pair: Pair | None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For viewers over TLS and HTTP/2."""
        return fanout_http2.context(self.pair.authority) if self.pair else None

    def groups(self) -> dict[str, list[int]]:
        """All its processes, by program."""
        made = {"origin": family(self.origin.pid)}
        return made | {front.name: family(front.child.pid) for front in self.fronts}

    def cpu_ns(self) -> dict[str, int]:
        """CPU time that each program has used."""
        return {name: round(cpu_seconds(pids) * 1e9) for name, pids in self.groups().items()}

    def memory_bytes(self) -> dict[str, int]:
        """Memory of each program; what its processes share is counted once."""
        return {name: sum(map(_memory_bytes, pids)) for name, pids in self.groups().items()}

    def threads(self) -> int:
        """Threads of the web workers, the most of one."""
        return max(len(os.listdir(f"/proc/{pid}/task")) for pid in family(self.origin.pid))


@contextmanager
def serving(
    mode: Mode, settings: Settings, media_root: Path, folder: Path, cpus: str
) -> Iterator[Server]:
    """Run the servers of a mode; all are gone when the block is left."""
    asked, called = (_emptied(folder / f"{what}-{mode.name}") for what in ("asked", "called"))
    settings = replace(settings, web_worker=mode.worker, web_processes=mode.processes)
    with ExitStack() as stack:
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            port = listener.getsockname()[1]
            origin = _start_origin(mode, settings, media_root, (asked, called), listener, cpus)
        stack.callback(_end, origin)
        _await_answer(port, settings.stream)
        pair = make_pair(folder)
        started = []
        for name in mode.fronts:
            front = stack.enter_context(_front(name, folder, port, pair))
            started.append(front)
            port = front.http_port or front.https_port or 0
        if mode.is_tls:
            port = started[-1].https_port or 0
        time.sleep(_ALL_UP_SECONDS)
        yield Server(port, asked, called, origin, started, pair if mode.is_tls else None)


@contextmanager
def _front(name: str, folder: Path, port: int, pair: Pair) -> Iterator[fronts.Front]:
    if name == "varnish":
        with fronts.varnish(folder, port) as made:
            yield made
    else:
        start = {"nginx": fronts.nginx, "haproxy": fronts.haproxy, "caddy": fronts.caddy}[name]
        with start(folder, port, pair) as made:
            yield made


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _start_origin(
    mode: Mode,
    settings: Settings,
    media_root: Path,
    notes: tuple[Path, Path],
    listener: socket.socket,
    cpus: str,
) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "benchmarks.fanout_server", mode.kind, *map(str, notes), cpus]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LIPSTREAM_")}
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        cwd=ROOT,
        env=environ | settings.to_environment(),
        pass_fds=(listener.fileno(),),
        start_new_session=True,
    )
    assert child.stdin is not None
    spec = {"listen_fd": listener.fileno(), "media_root": str(media_root)}
    child.stdin.write(json.dumps(spec).encode() + b"\n")
    child.stdin.flush()
    return child


def _await_answer(port: int, stream: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    request = f"GET /live/{stream}/index.m3u8 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(request)
                if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"no answer on port {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(4)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def go_first(pids: list[int]) -> None:
    """Before other work of the machine: nice -20, also among sessions, each of which Linux may
    treat as one (autogroup). Needs root."""
    for pid in pids:
        os.setpriority(os.PRIO_PROCESS, pid, _FIRST)
        with suppress(OSError):  # a kernel without autogroup
            Path(f"/proc/{pid}/autogroup").write_text(str(_FIRST))


def _memory_bytes(pid: int) -> int:
    """0 for one that has gone meanwhile."""
    try:
        return memory_bytes(pid)
    except OSError:
        return 0
