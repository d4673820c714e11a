"""The programs of deploy/ in front of an origin, started with the very files that stand there.

Where a file cannot read the environment, the few addresses and paths that its head lists are
replaced; each must stand there, so a file that changes fails here first.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Pair

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
# As in the head of default.vcl.
VARNISH_PARAMETERS = (
    "thread_pool_min=50",
    "thread_pool_max=150",
    "thread_queue_limit=20000",
    "timeout_linger=0",
    "send_timeout=30",
)
START_SECONDS = 15.0
# Of each front, the program that must be there.
PROGRAMS = {"varnish": "varnishd", "nginx": "nginx", "haproxy": "haproxy", "caddy": "caddy"}
# Debian keeps servers there.
SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Front:
    """One that runs."""

    name: str
    http_port: int | None
    https_port: int | None
    child: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Its base URL, without TLS if it has that."""
        if self.http_port is not None:
            return f"http://127.0.0.1:{self.http_port}"
        return f"https://127.0.0.1:{self.https_port}"


def installed(name: str) -> bool:
    """Whether the front can be started here."""
    return shutil.which(PROGRAMS[name], path=SEARCH_PATH) is not None


@contextmanager
def varnish(folder: Path, origin_port: int, memory: str = "64m") -> Iterator[Front]:
    """Varnish in front of a port of this machine."""
    port = free_port()
    vcl = _adapted("varnish/default.vcl", folder, {'"8000"': f'"{origin_port}"'})
    argv = ["varnishd", "-F", "-j", "none", "-a", f"127.0.0.1:{port}", "-f", str(vcl)]
    argv += ["-n", str(folder / "varnish"), "-s", f"malloc,{memory}"]
    argv += [word for parameter in VARNISH_PARAMETERS for word in ("-p", parameter)]
    with _running("varnish", argv, folder, http_port=port) as front:
        yield front


@contextmanager
def nginx(folder: Path, origin_port: int, pair: Pair) -> Iterator[Front]:
    """nginx with Lua in front of a port of this machine."""
    port, tls_port = free_port(), free_port()
    conf = _adapted(
        "nginx/nginx.conf",
        folder,
        {
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{origin_port};",
            "listen *:80;": f"listen 127.0.0.1:{port};",
            "listen *:443 ": f"listen 127.0.0.1:{tls_port} ",
            "/etc/lipstream/tls/fullchain.pem;": f"{pair.cert};",
            "/etc/lipstream/tls/privkey.pem;": f"{pair.key};",
            "/etc/nginx/lipstream/?.lua": f"{DEPLOY}/nginx/?.lua",
            "unix:/run/lipstream-nginx.sock": f"unix:{folder}/nginx.sock",
            "/run/nginx.pid;": f"{folder}/nginx.pid;",
            "/var/log/nginx/error.log": f"{folder}/nginx-error.log",
        },
    )
    argv = ["nginx", "-c", str(conf), "-g", "daemon off; user root;"]
    with _running("nginx", argv, folder, http_port=port, https_port=tls_port) as front:
        yield front


@contextmanager
def haproxy(folder: Path, cache_port: int, pair: Pair) -> Iterator[Front]:
    """HAProxy in front of a cache."""
    port, both = free_port(), folder / "haproxy.pem"
    both.write_text(pair.cert.read_text() + pair.key.read_text())
    environment = {
        "LIPSTREAM_CACHE": f"127.0.0.1:{cache_port}",
        "LIPSTREAM_HTTPS": f"127.0.0.1:{port}",
        "LIPSTREAM_TLS_PEM": str(both),
    }
    # Only root can become another user.
    not_ours = {} if os.geteuid() == 0 else {"    user haproxy\n    group haproxy\n": ""}
    config = _adapted("haproxy/haproxy.cfg", folder, not_ours)
    argv = ["haproxy", "-db", "-f", str(config)]
    with _running("haproxy", argv, folder, environment, https_port=port) as front:
        yield front


@contextmanager
def caddy(folder: Path, cache_port: int, pair: Pair) -> Iterator[Front]:
    """Caddy in front of a cache."""
    port = free_port()
    environment = {
        "LIPSTREAM_CACHE": f"127.0.0.1:{cache_port}",
        "LIPSTREAM_SITE": f":{port}",
        "LIPSTREAM_TLS_PEM": str(pair.cert),
        "LIPSTREAM_TLS_KEY": str(pair.key),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    argv = ["caddy", "run", "--adapter", "caddyfile", "--config", str(DEPLOY / "caddy/Caddyfile")]
    with _running("caddy", argv, folder, environment, https_port=port) as front:
        yield front


def _adapted(name: str, folder: Path, changes: dict[str, str]) -> Path:
    text = (DEPLOY / name).read_text("utf-8")
    for there, ours in changes.items():
        assert there in text, f"deploy/{name} has no {there!r} any more"
        text = text.replace(there, ours)
    copy = folder / Path(name).name
    copy.write_text(text)
    return copy


@contextmanager
def _running(
    name: str,
    argv: list[str],
    folder: Path,
    environment: dict[str, str] | None = None,
    *,
    http_port: int | None = None,
    https_port: int | None = None,
) -> Iterator[Front]:
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        child = subprocess.Popen(
            argv,
            stdout=file,
            stderr=file,
            env=os.environ | {"PATH": SEARCH_PATH} | (environment or {}),
            start_new_session=True,
        )
    try:
        front = Front(name, http_port, https_port, child, log)
        for port in (http_port, https_port):
            if port is not None:
                _await_port(front, port)
        yield front
    finally:
        _end(child)


def _await_port(front: Front, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and front.child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{front.name} did not start:\n{front.log.read_text('utf-8', 'replace')}")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
