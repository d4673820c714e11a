"""Tokens and keys: in no log, no command line, no error, and with no process that needs none."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import requests

import config
from config import ConfigError, Settings
from server.tokens import make_token, token_path, without_tokens
from server.web import hide_tokens
from tests.security.web import WORKERS, Web, status_of
from tests.service import Service

API_TOKEN = "api-Zq8vX1-token-of-this-test"
VIEWER_KEY = "viewer-Kw3tY7-key-of-this-test"
GUESS = "guess-Pm5rB2-of-somebody"
HEADERS = {"Authorization": f"Bearer {API_TOKEN}"}


def link_secrets() -> list[str]:
    """Tokens of links that the tests use: a good one, and one that has expired."""
    return [make_token(VIEWER_KEY, "demo", 2_000_000_000), make_token(VIEWER_KEY, "demo", 1000)]


def provoke(port: int, ask: Callable[[bytes], bytes]) -> None:
    """Everything that could put a secret into a log line."""
    url = f"http://127.0.0.1:{port}"
    for headers in (HEADERS, {"Authorization": f"Bearer {GUESS}"}, {"Authorization": GUESS}):
        for asked in ("streams", "streams/nobody", "uploads/x"):
            requests.get(f"{url}/api/{asked}", headers=headers, timeout=60)
        requests.post(f"{url}/upload", data=b"x", headers=headers, timeout=10)
        requests.post(f"{url}/api/streams", data="[[[", headers=headers, timeout=10)
    for token in link_secrets():
        path = f"/live/demo/t/{token}".encode()
        for name in (b"/index.m3u8", b"/v0/media.m3u8?_HLS_msn=x", b"/../../run", b"/v0/x%00"):
            ask(
                b"GET " + path + name + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
        ask(b"GET " + path + b"/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        ask(b"GET " + path + b"/index.m3u8 HTTP/1.1\r\nHost: a\r\nBad\x00: b\r\n\r\n")
        ask(b"GET " + path + b"/index.m3u8 HTTP/9.9\r\n\r\n")
        ask(b"\x00\x01" + path + b"\r\n\r\n")
        ask(
            b"POST " + path + b"/index.m3u8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\nAuthorization: Bearer "
            + API_TOKEN.encode()
            + b"\r\n\r\nzz\r\n"
        )


def assert_silent(lines: Iterable[str], where: str) -> None:
    for line in lines:
        for secret in (API_TOKEN, VIEWER_KEY, GUESS, *link_secrets()):
            assert secret not in line, f"{where}: {line}"


def read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
    except OSError:  # it ended
        return ""


@pytest.mark.parametrize("worker", WORKERS)
def test_requests_put_no_secret_into_the_log(media_root: Path, worker: str) -> None:
    settings = Settings(
        api_token=API_TOKEN, viewer_key=VIEWER_KEY, web_worker=worker, wrong_tokens_per_minute=1000
    )
    with Web(media_root, settings) as web:
        (media_root / "live/demo/v0/media.m3u8").write_bytes(b"\xff not UTF-8: the view fails")
        provoke(web.port, web.raw)
        failing = f"{web.url}/live/demo/t/{link_secrets()[0]}/v0/media.m3u8"
        assert requests.get(failing, timeout=10).status_code == 500
        good = web.get(f"/live/demo/t/{link_secrets()[0]}/v0/x".encode())
        assert status_of(good) == 404
        os.kill(web.workers()[0], signal.SIGSEGV)
        assert_silent([read(pid, "cmdline") for pid in (web.pid, *web.workers())], "cmdline")
    assert any("Traceback" in line or "exception" in line for line in web.log), web.log
    assert_silent(web.log, "log")


@pytest.mark.ffmpeg
def test_a_whole_service_tells_no_secret(media_root: Path, tmp_path: Path) -> None:
    """Also while its processes crash; and those that make media do not even know them."""
    file = tmp_path / "lipstream.toml"
    file.write_text(f'api_token = "{API_TOKEN}"\nviewer_key = "{VIEWER_KEY}"\n')
    file.write_text(file.read_text() + "wrong_tokens_per_minute = 1000\n")
    playlist = token_path(VIEWER_KEY, "demo", 2_000_000_000)[1:]
    flags = ("--config", str(file), "--log-format", "json", "--width", "320", "--height", "180")
    with Service(media_root, flags, playlist=playlist) as service:
        for pid in service.processes():
            assert_silent([read(pid, "cmdline")], "command line")
        for word in ("inference", "encoder", "ffmpeg"):
            assert_silent([read(service.find(word), "environ")], f"environment of {word}")
        port = int(service.url.rpartition(":")[2])
        provoke(port, lambda request: _send(port, request))
        for word in ("server.web", "inference", "encoder"):
            os.kill(service.find(word), signal.SIGSEGV)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and not (
            any("process_ended" in line for line in service.log)
            and _answers(f"{service.url}/{playlist}")
        ):
            time.sleep(0.1)
        streams = requests.get(f"{service.url}/api/streams", headers=HEADERS, timeout=10)
        assert streams.status_code == 200
        shown = streams.text.replace(streams.json()["streams"][0]["playback"]["hls"], "")
        assert_silent([shown], "what the API tells of crashed processes")
    assert any("process_ended" in line for line in service.log)
    assert_silent(service.log, "log")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def _send(port: int, request: bytes) -> bytes:
    web = Web(Path(), Settings())
    web.port = port
    return web.raw(request)


def test_errors_of_the_configuration_show_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "lipstream.toml"
    for text in ("api_token = 1234567890123", 'viewer_key = ["1234567890123"]'):
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            config.load(file=file, environ={})
        assert "1234567890123" not in str(caught.value)
        assert "must be text" in str(caught.value)
    shown = repr(Settings(api_token=API_TOKEN, viewer_key=VIEWER_KEY))
    assert API_TOKEN not in shown
    assert VIEWER_KEY not in shown
    assert Settings(api_token=API_TOKEN).without_secrets() == Settings()


def test_a_path_in_a_log_line_loses_its_token() -> None:
    path = token_path(VIEWER_KEY, "demo", 2_000_000_000)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed at %s", (path,), None)
    assert hide_tokens(record)
    assert record.getMessage() == "failed at /live/demo/t/.../index.m3u8"
    assert without_tokens("nothing of that") == "nothing of that"
