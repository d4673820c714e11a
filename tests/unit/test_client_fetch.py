"""One request at a time, against servers that behave badly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from client import fetch
from client.errors import CannotCheck
from client.fetch import HttpFetch, resolve, split

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nhi"


@contextmanager
def server(*scripts: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listener that runs one script for each connection, after the request's headers."""

    def run() -> None:
        for script in scripts:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                script(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    thread.join(5)


def request(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            return head
        head += piece
    return head


def says(*answers: bytes, pause: float = 0) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        for answer in answers:
            if not request(connection):
                return
            for at in range(0, len(answer), 1) if pause else (0,):
                connection.sendall(answer[at : at + 1] if pause else answer)
                time.sleep(pause)

    return script


def test_an_answer_and_its_times() -> None:
    with server(says(OK, OK)) as url:
        ask = HttpFetch()
        answer = ask(url)
        assert (answer.status, answer.body, answer.header("x-a")) == (200, b"hi", "1, 2")
        assert answer.asked_at <= answer.first_byte_at <= answer.done_at
        assert ask(url).body == b"hi"  # over the same connection


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    with server(says(OK), says(OK)) as url:
        ask = HttpFetch()
        assert [ask(url).status for _ in range(2)] == [200, 200]


def test_redirects_and_gzip_are_left_as_they_are() -> None:
    fields = (b"Location: /y", b"Content-Encoding: gzip", b"Content-Length: 1")
    moved = b"\r\n".join((b"HTTP/1.1 302 Found", *fields, b"", b"z"))
    with server(says(moved)) as url:
        answer = HttpFetch()(url)
    assert (answer.status, answer.header("location"), answer.body) == (302, "/y", b"z")


def test_12_a_body_that_breaks_off_is_no_answer() -> None:
    with server(says(OK.replace(b"Length: 2", b"Length: 9"))) as url:
        answer = HttpFetch()(url)
    assert answer.status == 0
    assert "IncompleteRead" in answer.told


def test_silence_times_out() -> None:
    with server(lambda _connection: time.sleep(1)) as url:
        answer = HttpFetch()(url, seconds=0.2)
    assert (answer.status, answer.error) == (0, "timed out")
    assert answer.seconds < 0.9


def test_a_body_that_drips_times_out_as_a_whole() -> None:
    dripping = OK.replace(b"Length: 2", b"Length: 500") + b"x" * 500

    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(dripping[:80])
        for _ in range(40):
            time.sleep(0.05)
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with server(script) as url:
        began = time.monotonic()
        answer = HttpFetch()(url, seconds=0.3)
    assert answer.error == "timed out"
    assert time.monotonic() - began < 4


def test_a_body_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BODY_BYTES", 1000)
    with server(says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)) as url:
        answer = HttpFetch()(url)
    assert answer.status == 0
    assert "more than 1000 bytes" in answer.error


@pytest.mark.parametrize(
    "noise", [b"", b"\0\0\0\0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01"]
)
def test_what_is_no_http_is_no_answer(noise: bytes) -> None:
    with server(says(noise)) as url:
        assert HttpFetch()(url, seconds=2).status == 0


def test_nobody_there() -> None:
    with socket.socket() as deaf:  # nobody else can have its port, and it does not listen
        deaf.bind(("127.0.0.1", 0))
        answer = HttpFetch()(f"http://127.0.0.1:{deaf.getsockname()[1]}/")
    assert answer.status == 0
    assert "refused" in answer.told


@pytest.mark.parametrize(
    "url", ["", "x", "file:///etc/passwd", "ftp://a/b", "http://", "http://a:99999/", "http://[/"]
)
def test_only_http_addresses_can_be_checked(url: str) -> None:
    with pytest.raises(CannotCheck):
        split(url)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("a.m3u8", "http://h/live/a.m3u8"),
        ("../b?c=1", "http://h/b?c=1"),
        ("//other/x", "http://other/x"),
        ("file:///etc/passwd", None),
        ("http://[/", None),
        ("a b", None),
        ("a\r\nHost: evil", None),
        ("é.m4s", None),
    ],
)
def test_uris_in_a_playlist_cannot_lead_elsewhere(uri: str, url: str | None) -> None:
    assert resolve("http://h/live/index.m3u8", uri) == url
