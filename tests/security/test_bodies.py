"""Uploads over real sockets, at both kinds of workers: large, slow, broken, refused."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import requests

from config import Settings
from tests.certificates import make_pair
from tests.security import files
from tests.security.web import WORKERS, Web, status_of

PNG = files.picture()
JSON = {"Content-Type": "application/json"}
NOISE = files.picture(
    ".png", np.random.default_rng(3).integers(0, 255, (1000, 1100, 3), dtype=np.uint8)
)  # 3.3 MB


def post(web: Web, body: bytes, headers: bytes, *, half_close: bool = False) -> bytes:
    head = b"POST /api/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    return web.raw(head + headers + b"\r\n" + body, half_close=half_close)


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def received(web: Web) -> list[str]:
    folder = web.media_root / "run/uploads"
    return [p.name for p in folder.glob("*.partial")] if folder.exists() else []


def what_stays(web: Web) -> str:
    """Files that should be gone, with what is in them, and what the threads beside them do."""
    folder = web.media_root / "run/uploads"
    sizes = {name: (folder / name).stat().st_size for name in received(web)}
    threads = [path for pid in web.workers() for path in Path(f"/proc/{pid}/task").iterdir()]
    return f"{sizes} while the threads wait in {[(t / 'wchan').read_text() for t in threads]}"


def test_files_far_beyond_usual_bodies_are_streamed(web: Web) -> None:
    """With a length, without one, and in a form."""
    url = f"{web.url}/api/uploads"
    pieces = (NOISE[at : at + 50_000] for at in range(0, len(NOISE), 50_000))
    answers = (
        requests.post(url, data=NOISE, timeout=60),
        requests.post(url, data=pieces, timeout=60),
        requests.post(url, files={"image": ("x", NOISE)}, timeout=60),
    )
    assert [(a.status_code, a.json()["width"]) for a in answers] == [(201, 1100)] * 3
    assert received(web) == []


def test_what_a_worker_holds_does_not_grow_with_a_file(web: Web) -> None:
    url, (worker,) = f"{web.url}/api/uploads", web.workers()
    for _ in range(4):
        assert requests.post(url, data=bytes(100_000), timeout=30).status_code == 415
    before = resident_kb(worker)
    body = bytes(18_000_000)
    for form in ({"data": body}, {"files": {"file": ("x", body)}}):
        answer = requests.post(url, timeout=60, **form)
        assert answer.status_code == 415
    assert resident_kb(worker) - before < 9_000


def test_more_than_the_limit_is_refused_while_it_comes(web: Web) -> None:
    told = post(web, b"", b"Content-Length: 25000000\r\nExpect: 100-continue\r\n")
    assert status_of(told) == 413
    assert b"the limit of a file is 20000000" in told
    piece = bytes(100_000)
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for _ in range(250)) + b"0\r\n\r\n"
    answer = post(web, chunked, b"Transfer-Encoding: chunked\r\n")
    assert status_of(answer) in (0, 413)  # 0: it would not even hear the rest
    assert received(web) == []
    assert requests.post(f"{web.url}/upload", data=PNG, timeout=30).status_code == 201


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 100000\r\n", PNG[:1000]),
        (b"Transfer-Encoding: chunked\r\n", b"ffff\r\n" + PNG[:1000]),
        (b"Transfer-Encoding: chunked\r\n", b"zz\r\n"),
        (b"Content-Length: 2000\r\nContent-Type: multipart/form-data; boundary=x\r\n", b"--x\r\n"),
        (b"Content-Length: 3\r\nContent-Type: multipart/form-data; boundary=x\r\n", b"abc"),
        (b"Content-Length: 3\r\nContent-Type: multipart/form-data\r\n", b"abc"),
        (b"", b""),
    ],
    ids=["short", "chunk", "no-chunk", "form", "no-form", "no-boundary", "nothing"],
)
def test_broken_bodies(web: Web, headers: bytes, body: bytes) -> None:
    assert status_of(post(web, body, headers, half_close=True)) in (0, 400, 408, 413)
    # Who hangs up hears the end before a thread has begun with it: a whole upload goes after it.
    assert requests.post(f"{web.url}/upload", data=PNG, timeout=30).status_code == 201
    # Five seconds of looking: a machine that stands still does so for the web process as well.
    for _ in range(250):
        if not received(web):
            return
        time.sleep(0.02)
    pytest.fail(f"{what_stays(web)}\n" + "\n".join(web.log[-20:]))


def test_slow_uploads_hold_up_nobody(own_web: Web) -> None:
    """Four come byte by byte; a fifth is told to wait, and everything else goes on.

    A broken upload of another test, of which the process has not heard yet, would be one of them.
    """
    links = []
    for _ in range(4):
        link = socket.create_connection(("127.0.0.1", own_web.port), 10)
        head = b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
        link.sendall(head % len(PNG) + PNG[:10])
        links.append(link)
    deadline = time.monotonic() + 10
    while len(received(own_web)) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    busy = requests.post(f"{own_web.url}/upload", data=PNG, timeout=10)
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
    assert requests.get(f"{own_web.url}/api/streams", timeout=5).ok
    for link in links[:3]:
        link.sendall(PNG[10:])
    assert [status_of(link.recv(4096)) for link in links[:3]] == [201] * 3
    links[3].close()  # it goes away: its place is free
    for link in links:
        link.close()
    with ThreadPoolExecutor() as pool:
        asked = pool.map(
            lambda _: requests.post(f"{own_web.url}/upload", data=PNG, timeout=30).status_code,
            range(3),
        )
        assert list(asked) == [201] * 3
    assert received(own_web) == []


@pytest.mark.parametrize("worker", WORKERS)
def test_uploads_over_tls(media_root: Path, tmp_path: Path, worker: str) -> None:
    """With HTTP/2, which has no chunks and its own way to hold a client back."""
    pair = make_pair(tmp_path)
    settings = Settings(
        web_processes=1, web_worker=worker, tls_cert=str(pair.cert), tls_key=str(pair.key)
    )
    with (
        Web(media_root, settings, pair.authority) as web,
        httpx.Client(verify=pair.trusting(), http2=True, timeout=30) as client,
    ):
        url = f"{web.url}/api/uploads"
        whole = client.post(url, content=NOISE)
        in_pieces = client.post(
            url, content=(NOISE[at : at + 9999] for at in range(0, len(NOISE), 9999))
        )
        form = client.post(url, files={"image": NOISE})
        assert [a.status_code for a in (whole, in_pieces, form)] == [201] * 3
        assert whole.http_version == ("HTTP/2" if worker == "asgi" else "HTTP/1.1")
        if worker == "asgi":
            assert client.post(url, content=bytes(21_000_000)).status_code == 413
            streams = client.post(f"{web.url}/api/streams", content=bytes(1_000_000), headers=JSON)
            assert streams.status_code == 413
        else:  # it closes at once, and a client that still sends may never see why
            with suppress(httpx.TransportError):
                assert client.post(url, content=bytes(21_000_000)).status_code == 413
        assert client.get(f"{web.url}/healthz").status_code == 200
