"""Requests for each core, against nginx that serves the same files as they lie there.

python -m benchmarks.statics --help

Connections ask for the same file again and again: a segment, a part, the playlist. What counts is
the server's CPU time for each answer, so neither a slow client nor a busy machine decides.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import script
from benchmarks.processes import cpu_seconds, family, find
from benchmarks.results import Found, Plot, Table, median, ratio_of
from tests import fronts
from tests.service import Service, temporary_media_root

TITLE = "Requests, against nginx with static files"
OURS, NGINX = "lipstream", "nginx"
WHAT = ("segment", "part", "playlist")
CONNECTIONS = 32
_FILL_SECONDS = 5.0
_CONFIG = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 1000000;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 mp4 m4s; }}
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one server took."""

    answers: int
    cpu: float  # seconds
    bytes: int

    @property
    def for_each_core(self) -> float:
        """Answers for each second of CPU time."""
        return self.answers / self.cpu if self.cpu else float("nan")


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Each file from each server, in the seed's order, in each run."""
    if not fronts.installed("nginx"):
        raise SystemExit("nginx is not installed (tools/packages.sh)")
    order = random.Random(arguments.seed)
    seconds = 1.0 if arguments.quick else arguments.seconds
    loads: dict[tuple[str, str], list[Load]] = {}
    flags = ("--web-processes", "1", "--ladder", "single")
    with temporary_media_root() as name:
        folder, root = Path(name), Path(name) / "media"
        with Service(root, flags) as service, _nginx(folder, root) as (port, master):
            time.sleep(_FILL_SECONDS)
            own_port = int(service.url.rpartition(":")[2])
            web = find(service.processes()[0], "server.web")[0]
            servers = {OURS: (own_port, family(web)), NGINX: (port, family(master))}
            for _ in range(arguments.runs):
                cases = [(server, what) for server in servers for what in WHAT]
                for server, what in order.sample(cases, len(cases)):
                    path = _path(root, what)
                    load = asyncio.run(_load(*servers[server], path, seconds))
                    loads.setdefault((server, what), []).append(load)
    _tell(found, loads)


def _path(root: Path, what: str) -> str:
    """A file that stays for some seconds."""
    folder = root / "live" / "demo" / "v0"
    if what == "playlist":
        return "/live/demo/v0/media.m3u8"
    depth = {"segment": 1, "part": 2}[what]
    names = [p for p in folder.glob("*.m4s") if p.name.count(".") == depth]
    newest = max(names, key=lambda path: path.stat().st_mtime)
    return f"/live/demo/v0/{newest.name}"


@contextmanager
def _nginx(folder: Path, root: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of an nginx with one worker."""
    import os
    import shutil

    port = fronts.free_port()
    config = folder / "static.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_CONFIG.format(user=user, folder=folder, port=port, root=root))
    program = shutil.which("nginx", path=fronts.SEARCH_PATH)
    assert program
    argv = [program, "-c", str(config), "-g", "daemon off;"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as child:
        try:
            time.sleep(1)
            yield port, child.pid
        finally:
            child.terminate()
            child.wait(10)


async def _load(port: int, pids: list[int], path: str, seconds: float) -> Load:
    clients = [_Client(port, path) for _ in range(CONNECTIONS)]
    before = cpu_seconds(pids)
    ends = time.monotonic() + seconds
    await asyncio.gather(*(client.ask_until(ends) for client in clients))
    cpu = cpu_seconds(pids) - before
    return Load(sum(c.answers for c in clients), cpu, sum(c.bytes for c in clients))


@dataclass(slots=True)
class _Client:
    """One connection that stays."""

    port: int
    path: str
    answers: int = 0
    bytes: int = 0

    async def ask_until(self, ends: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        request = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        while time.monotonic() < ends:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise SystemExit(f"{self.path}: {head.decode()}")
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            self.bytes += len(await reader.readexactly(length))
            self.answers += 1
        writer.close()


def _tell(found: Found, loads: dict[tuple[str, str], list[Load]]) -> None:
    rows: list[list[str]] = []
    series: dict[str, list[tuple[float, float]]] = {OURS: [], NGINX: []}
    for place, what in enumerate(WHAT):
        ours, theirs = loads[OURS, what], loads[NGINX, what]
        rates = [[load.for_each_core for load in each] for each in (ours, theirs)]
        size = median([load.bytes / max(1, load.answers) for load in ours])
        cells = [f"{median(rate):.0f}" for rate in rates]
        rows.append([what, f"{size:.0f}", *cells, f"{ratio_of(*rates):.3f}"])
        for name, rate in zip(series, rates, strict=True):
            series[name].append((float(place), median(rate)))
    headings = ["", "bytes", "lipstream", "nginx, static", "ratio"]
    found.tables.append(Table("Answers for each second of one core", headings, rows))
    title = "Answers for each second of one core"
    found.plots.append(Plot("statics", title, "", "", series, bars=True, ticks=WHAT))
    found.notes = [
        f"{CONNECTIONS} connections, one web process against one nginx worker, no TLS. Nothing "
        "is held here, so nothing is shared between viewers either: this is lipstream's weak "
        "side, and why a crowd belongs behind a cache (docs/fleet.md).",
    ]
    pairs = [[load.for_each_core for load in loads[server, "part"]] for server in (OURS, NGINX)]
    found.ratio = ("parts for each core, lipstream / nginx", ratio_of(*pairs))
    found.data = {
        f"{server} {what}": [[load.answers, load.cpu] for load in each]
        for (server, what), each in loads.items()
    }


def main() -> int:
    parser = script.parser_of("statics", __doc__, runs=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load [%(default)s]")
    return script.run("statics", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
