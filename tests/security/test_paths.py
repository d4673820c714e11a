"""Paths and headers that no client library would send, at both kinds of workers."""

from __future__ import annotations

import json
from email.parser import BytesParser
from pathlib import Path

import pytest
import requests

from tests.security.web import Web, status_of

SECRET = b"what nobody may read"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n"
MEDIA = "abc123-7.m4s"


URLS_OF_10_KB = [
    b"/" + b"a" * 10_000,
    b"/live/demo/v0/media.m3u8?" + b"a=1&" * 2500,
    b"/live/" + b"%2e" * 3500,
]


@pytest.fixture(scope="module", autouse=True)
def _media(web: Web) -> None:
    root = web.media_root
    (root / "secret").write_bytes(SECRET)
    (root / "run/demo.json").write_bytes(SECRET)
    (root / "live/demo/v0/.partial-1").write_bytes(SECRET)
    (root / "live/demo/v0" / MEDIA).write_bytes(b"media")
    (root / "live/demo/v0/media.m3u8").write_text(PLAYLIST)
    (root / "live/demo/index.m3u8").write_text("#EXTM3U\n")


def test_what_there_is_is_served(web: Web) -> None:
    for path in ("index.m3u8", "v0/media.m3u8", f"v0/{MEDIA}"):
        assert requests.get(f"{web.url}/live/demo/{path}", timeout=5).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        b"/live/../secret",
        b"/live/demo/../../secret",
        b"/live/demo/v0/../../../run/demo.json",
        b"/live/%2e%2e/secret",
        b"/live/demo/%2e%2e/%2e%2e/secret",
        b"/live/demo/v0/..%2f..%2f..%2fsecret",
        b"/live/demo/v0/%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret",
        b"/live/demo/v0/%252e%252e%252f%252e%252e%252fsecret",
        b"/live/demo/v0/..\\..\\..\\secret",
        b"/live/demo/v0/..%5c..%5csecret",
        b"/live/demo/v0/%c0%ae%c0%ae/%c0%ae%c0%ae/secret",  # overlong UTF-8 for two dots
        b"/live/demo/v0/%e0%80%ae%e0%80%ae/secret",
        b"/live/demo/v0/\xc0\xae\xc0\xae/secret",
        b"/live/demo/v0/.partial-1",
        b"/live/demo/v0/%2epartial-1",
        b"/live/demo/v0/" + MEDIA.encode() + b"%00.txt",
        b"/live/demo%00/index.m3u8",
        b"/live/demo/v0/%00",
        b"/live/demo/v0/\xff\xfe",
        b"/live//etc/passwd",
        b"//etc/passwd",
        b"/static/../config.py",
        b"/static/%2e%2e/config.py",
        b"/static/..%2fconfig.py",
        b"/static//etc/passwd",
        b"/static/%2fetc%2fpasswd",
        b"/static/hls%00.js",
        b"/api/streams/..%2f..%2fsecret",
        b"/api/uploads/..%2f..%2fsecret",
        b"/run/demo.json",
        b"http://127.0.0.1/live/../secret",
        b"file:///etc/passwd",
        b"*",
        b"live/demo/index.m3u8",
    ],
)
def test_no_path_leads_out(web: Web, path: bytes) -> None:
    answer = web.get(path)
    assert status_of(answer) in (308, 400, 404), answer[:300]
    assert SECRET not in answer
    assert b"root:" not in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize("path", URLS_OF_10_KB, ids=["path", "query", "escapes"])
def test_urls_of_10_kb_are_refused(web: Web, path: bytes) -> None:
    answer = web.get(path)
    assert status_of(answer) == 414
    is_a_problem_for_pages(answer)
    assert requests.get(f"{web.url}/healthz", timeout=5).ok


def is_a_problem_for_pages(answer: bytes) -> None:
    """69: also what gunicorn answers before it asks the application can be read by any page."""
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = BytesParser().parsebytes(head.partition(b"\r\n")[2])
    assert headers["access-control-allow-origin"] == "*"
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    assert json.loads(body)["status"] == status_of(answer)


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"nonsense\r\n\r\n", {400}),
        (b"GET /live/demo/index.m3u8 HTTP/9.9\r\nHost: x\r\n\r\n", {400}),
        (b"GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", {431}),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500 + b"\r\n", {431}),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: cow\r\n\r\n", {501}),
    ],
    ids=["line", "version", "header", "long header", "many headers", "coding"],
)
def test_what_gunicorn_refuses_is_said_as_all_else(
    web: Web, request_: bytes, statuses: set[int]
) -> None:
    answer = web.raw(request_)
    assert status_of(answer) in statuses, answer[:300]
    is_a_problem_for_pages(answer)
    assert requests.get(f"{web.url}/healthz", timeout=5).ok


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"X-%d: y\r\n" % n for n in range(5000)),
        b"X: " + b"y" * 100_000 + b"\r\n",
        b"Cookie: " + b"a=b;" * 20_000 + b"\r\n",
        b"Range: bytes=" + b"0-0," * 2000 + b"1-1\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: cow\r\n",
        b"X-\xff: \x00\r\n",
        b" folded: x\r\n",
    ],
    ids=lambda headers: headers[:24].decode("latin-1").strip(),
)
def test_floods_and_smuggled_headers_are_refused(web: Web, headers: bytes) -> None:
    for path in (b"/live/demo/v0/" + MEDIA.encode(), b"/api/streams"):
        answer = web.get(path, headers)
        assert status_of(answer) in (200, 400, 413, 431, 501), answer[:300]
        if status_of(answer) != 200 and b"live" in path:
            assert b"access-control-allow-origin: *" in answer.lower()
    assert requests.get(f"{web.url}/healthz", timeout=5).ok


def test_links_in_the_media_root_are_not_followed(web: Web, tmp_path: Path) -> None:
    live = web.media_root / "live"
    outside = tmp_path / "v0"
    outside.mkdir()
    (outside / MEDIA).write_bytes(SECRET)
    (outside / "media.m3u8").write_bytes(PLAYLIST.encode() + SECRET)
    (tmp_path / "index.m3u8").write_bytes(SECRET)
    made: dict[Path, Path] = {
        live / "linked": tmp_path,
        live / "demo/v1": outside,
        live / "demo/v0/abc123-8.m4s": outside / MEDIA,
        live / "demo/v0/media.m3u8.gz": outside / MEDIA,
        live / "demo/v0/delta.m3u8": outside / "media.m3u8",
    }
    (live / "folder/a0").mkdir(parents=True)
    made[live / "folder/index.m3u8"] = tmp_path / "index.m3u8"
    made[live / "folder/a0/media.m3u8"] = outside / "media.m3u8"
    for link, target in made.items():
        link.symlink_to(target)
    for path in (
        "linked/index.m3u8",
        "linked/v0/media.m3u8",
        f"linked/v0/{MEDIA}",
        "linked/snapshot.jpg",
        "demo/v1/media.m3u8",
        f"demo/v1/{MEDIA}",
        "demo/v0/abc123-8.m4s",
        "demo/v0/media.m3u8",
        "demo/v0/media.m3u8?_HLS_skip=YES",
        "folder/a0/media.m3u8",
    ):
        answer = requests.get(f"{web.url}/live/{path}", timeout=10)
        assert SECRET not in answer.content, path
        assert answer.status_code in (200, 404, 503)
        if not path.startswith("demo/v0/media"):
            assert answer.status_code in (404, 503), path
    for link in made:
        link.unlink()


def test_headers_of_every_answer(web: Web) -> None:
    for path in ("/", "/static/player.js", "/api/streams", "/live/demo/index.m3u8", "/nothing"):
        headers = requests.get(web.url + path, timeout=5).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        if not path.startswith("/live"):
            policy = headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy


def test_the_page_has_no_script_of_its_own(web: Web) -> None:
    page = requests.get(web.url, timeout=5).text.lower()
    assert "<script" in page
    assert "<script>" not in page
    assert " style=" not in page
    assert "onclick" not in page
    assert "javascript:" not in page


def test_nothing_of_this_failed_inside(web: Web) -> None:
    """The last test of this module: no request above made a worker stumble."""
    log = "\n".join(web.log)
    assert "Traceback" not in log, log
    assert len(web.workers()) == 1
