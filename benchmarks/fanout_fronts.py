"""The servers that the benchmark compares, each a process group of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.fanout_server import SLOTS
from config import Settings

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 10.0
# One web process answers; the others are up soon after.
_ALL_UP_SECONDS = 1.0
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to serve the same media."""

    name: str
    kind: str  # web: lipstream; bare: the alternative
    worker: str = "asgi"
    processes: int = 1
    front: str = ""  # program in front

    def missing(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        program = {"varnish": "varnishd", "nginx": "nginx"}.get(self.front)
        if program and not shutil.which(program, path=_path()):
            return f"{program} is not installed (Debian: apt-get install {self.front})"
        return ""


MODES = {
    mode.name: mode
    for mode in (
        Mode("coalescer", "web"),
        Mode("bare", "bare"),
        Mode("coalescer-2", "web", processes=2),
        Mode("bare-2", "bare", processes=2),
        Mode("gthread", "web", worker="gthread"),
        Mode("varnish", "web", front="varnish"),
        Mode("nginx", "web", front="nginx"),
    )
}


@dataclass(slots=True)
class Server:
    """One that runs."""

    port: int
    counts: Path
    processes: list[subprocess.Popen[bytes]]

    def pids(self) -> list[int]:
        """All its processes."""
        return [pid for child in self.processes for pid in family(child.pid)]

    def cpu_ns(self) -> int:
        """CPU time that they have used."""
        return sum(_cpu_ticks(pid) for pid in self.pids()) * _TICK_NS

    def threads(self) -> int:
        """Threads of the web workers, the most of one."""
        return max(len(os.listdir(f"/proc/{pid}/task")) for pid in family(self.processes[0].pid))


@contextmanager
def serving(
    mode: Mode, settings: Settings, media_root: Path, folder: Path, cpus: str
) -> Iterator[Server]:
    """Run the servers of a mode; all are gone when the block is left."""
    counts = folder / f"counts-{mode.name}"
    counts.write_bytes(bytes(16 * SLOTS))
    settings = replace(settings, web_worker=mode.worker, web_processes=mode.processes)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            port = listener.getsockname()[1]
            origin = _start_origin(mode, settings, media_root, counts, listener, cpus)
            processes.append(origin)
        if mode.front:
            front_port = free_port()
            start = {"varnish": _start_varnish, "nginx": _start_nginx}[mode.front]
            processes.append(start(folder, media_root, port, front_port))
            port = front_port
        _await_answer(port, settings.stream)
        time.sleep(_ALL_UP_SECONDS)
        yield Server(port, counts, processes)
    finally:
        for process in reversed(processes):
            _end(process)


def _start_origin(
    mode: Mode,
    settings: Settings,
    media_root: Path,
    counts: Path,
    listener: socket.socket,
    cpus: str,
) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "benchmarks.fanout_server", mode.kind, str(counts), cpus]
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


def _start_varnish(
    folder: Path, _media: Path, port: int, front_port: int
) -> subprocess.Popen[bytes]:
    vcl = (ROOT / "deploy/varnish/default.vcl").read_text()
    copy = folder / "default.vcl"
    copy.write_text(vcl.replace('"8000"', f'"{port}"'))
    pool = ("thread_pool_min=50", "thread_pool_max=150", "thread_queue_limit=20000")
    parameters = (*pool, "timeout_linger=0")
    argv = ["varnishd", "-F", "-j", "none", "-a", f"127.0.0.1:{front_port}", "-f", str(copy)]
    argv += ["-n", str(folder / "varnish"), "-s", "malloc,64m"]
    argv += [word for parameter in parameters for word in ("-p", parameter)]
    return _start_front(argv, folder / "varnish.log")


def _start_nginx(folder: Path, media: Path, port: int, front_port: int) -> subprocess.Popen[bytes]:
    site = (ROOT / "deploy/nginx/lipstream.conf").read_text()
    for old, new in (
        ("127.0.0.1:8000", f"127.0.0.1:{port}"),
        ("listen 80;", f"listen 127.0.0.1:{front_port};"),
        ("/dev/shm/lipstream-8000", str(media)),
    ):
        assert old in site
        site = site.replace(old, new)
    (folder / "lipstream.conf").write_text(site)
    main = (ROOT / "deploy/nginx/nginx.conf").read_text()
    for old, new in (
        ("/etc/nginx/conf.d/lipstream.conf", str(folder / "lipstream.conf")),
        ("/run/nginx.pid", str(folder / "nginx.pid")),
        ("/var/log/nginx/error.log", str(folder / "nginx.log")),
    ):
        assert old in main
        main = main.replace(old, new)
    (folder / "nginx.conf").write_text(main)
    argv = ["nginx", "-c", str(folder / "nginx.conf"), "-g", "daemon off; user root;"]
    return _start_front(argv, folder / "nginx.out")


def _start_front(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    argv = ["chrt", "--other", "0", *argv]  # Varnish answers nothing under a real-time scheduler
    with log.open("wb") as file:
        environ = os.environ | {"PATH": _path()}
        return subprocess.Popen(argv, stdout=file, stderr=file, env=environ, start_new_session=True)


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


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        found += [int(word) for word in text.split()]
    return found


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
