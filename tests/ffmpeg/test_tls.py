"""HTTPS with HTTP/2, and links with tokens: the whole service, as its clients meet it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
import requests
import trustme

from encoder.playlist_reader import Position, read_position
from server.tokens import token_path
from tests.certificates import Pair, make_pair
from tests.patience import come_in_order, published_at
from tests.service import PLAYLIST, Service

pytestmark = pytest.mark.ffmpeg

SMALL = ("--width", "320", "--height", "180", "--video-kbit", "150")
KEY = "0123456789abcdef0123456789abcdef"
LONGEST = 10.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def service(pair: Pair, media_root: Path) -> Iterator[Service]:
    with Service(media_root, (*SMALL, *pair.flags), authority=pair.authority) as running:
        yield running


def client_of(service: Service, pair: Pair) -> httpx.AsyncClient:
    """A client with one connection, which must do for everything."""
    return httpx.AsyncClient(
        base_url=f"{service.url}/live/demo/",
        verify=pair.trusting(),
        http2=True,
        limits=httpx.Limits(max_connections=1),
        timeout=LONGEST,
    )


async def get(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """An answer that came in HTTP/2."""
    response = await client.get(path)
    assert response.status_code == 200, response.text
    assert response.http_version == "HTTP/2"
    return response


async def arrival(client: httpx.AsyncClient, path: str) -> float:
    """When the answer was there, on the wall clock."""
    await get(client, path)
    return time.time()


async def position(client: httpx.AsyncClient, rendition: str) -> Position:
    """Of a playlist that is as old as its first part: a plain one may have been kept a while."""
    kept = read_position((await get(client, f"{rendition}/media.m3u8")).text)
    first = f"{rendition}/media.m3u8?_HLS_msn={kept.last_msn + 2}&_HLS_part=0"
    return read_position((await get(client, first)).text)


def reload(rendition: str, at: Position, ahead: int) -> str:
    msn, part = at.last_msn + 1, at.parts + ahead
    return f"{rendition}/media.m3u8?_HLS_msn={msn}&_HLS_part={part}"


# --- HTTP/2 --------------------------------------------------------------------------------------


def test_twenty_held_requests_on_one_connection_do_not_wait_for_each_other(
    service: Service, pair: Pair
) -> None:
    async def test() -> None:
        async with client_of(service, pair) as client:
            at, audio = await asyncio.gather(position(client, "v0"), position(client, "a0"))
            hints = [f"v0/{at.hint_uri}", f"a0/{audio.hint_uri}"] * 4
            began = time.time()
            # Those that are held longest go first: whoever waits for the one before is late.
            ahead = [5, 4, 3, 2, 1, 0]
            paths = [reload(r, at, n) for n in ahead for r in ("v0", "a0")] + hints
            assert len(paths) == 20
            came = await asyncio.gather(*(arrival(client, path) for path in paths))
            last = published_at(service.media_root, "v0", at.last_msn + 1, at.parts + ahead[0])
            assert last > began, "nothing was held"
            video, first_hint = came[0:12:2], came[12]
            assert max(video[-1], first_hint) < last, "it waited for what comes later"
            assert come_in_order(reversed(video)), "another order than the parts"

    asyncio.run(test())


def test_all_of_it_is_one_connection(service: Service, pair: Pair) -> None:
    async def test() -> None:
        async with client_of(service, pair) as client:
            at = await position(client, "v0")
            paths = [reload("v0", at, n) for n in range(5)] + ["index.m3u8", f"v0/{at.hint_uri}"]
            answers = await asyncio.gather(*(get(client, path) for path in paths))
            ends = {a.extensions["network_stream"].get_extra_info("client_addr") for a in answers}
            assert len(ends) == 1

    asyncio.run(test())


def test_a_request_that_is_given_up_leaves_the_connection_to_the_others(
    service: Service, pair: Pair
) -> None:
    async def test() -> None:
        async with client_of(service, pair) as client:
            at = await position(client, "v0")
            given_up = [asyncio.create_task(get(client, reload("v0", at, 5))) for _ in range(5)]
            others = [asyncio.create_task(get(client, reload("v0", at, n))) for n in range(5)]
            await asyncio.sleep(0.05)
            for task in given_up:
                task.cancel()
            for other in others:
                await other

    asyncio.run(test())


def test_errors_and_other_methods_work_over_http2(service: Service, pair: Pair) -> None:
    async def test() -> None:
        async with client_of(service, pair) as client:
            missing = await client.get("v0/nothing.m4s")
            assert (missing.status_code, missing.http_version) == (404, "HTTP/2")
            assert missing.headers["access-control-allow-origin"] == "*"
            head = await client.head("index.m3u8")
            assert (head.status_code, head.content) == (200, b"")
            options = await client.options("v0/media.m3u8")
            assert options.status_code == 204
            post = await client.post("index.m3u8", content=b"x" * 1000)
            assert post.status_code == 405
            at = await position(client, "v0")
            name = f"v0/{at.hint_uri}"
            whole = (await get(client, name)).content
            piece = await client.get(name, headers={"Range": "bytes=0-99"})
            assert (piece.status_code, piece.content) == (206, whole[:100])
            page = await client.get(service.url)
            assert page.headers["content-type"].startswith("text/html")
            assert "strict-transport-security" not in page.headers

    asyncio.run(test())


def test_a_client_of_http_1_is_served_too(service: Service, pair: Pair) -> None:
    text = requests.get(f"{service.url}/{PLAYLIST}", verify=str(pair.authority), timeout=5).text
    assert text.startswith("#EXTM3U")
    answer = httpx.get(f"{service.url}/{PLAYLIST}", verify=pair.trusting())
    assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


def address(service: Service) -> tuple[str, int]:
    host, port = service.url.removeprefix("https://").split(":")
    return host, int(port)


def test_who_speaks_no_tls_or_nothing_or_leaves_at_once_disturbs_nobody(
    service: Service, pair: Pair
) -> None:
    where = address(service)
    silent = [socket.create_connection(where) for _ in range(30)]
    with socket.create_connection(where, timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(100)
    context = pair.trusting()
    context.set_alpn_protocols(["h2"])
    for _ in range(10):
        with socket.create_connection(where, timeout=5) as leaving:
            context.wrap_socket(leaving, server_hostname=where[0]).close()
    assert httpx.get(f"{service.url}/{PLAYLIST}", verify=pair.trusting()).status_code == 200
    for connection in silent:
        connection.close()
    assert service.stop(signal.SIGTERM) == 0
    service._drain.join(5)
    assert not [line for line in service.log if "Traceback" in line]


def test_old_versions_of_tls_are_refused(service: Service, pair: Pair) -> None:
    where = address(service)
    context = pair.trusting()
    context.set_alpn_protocols(["h2"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(where, timeout=5) as connection,
        context.wrap_socket(connection, server_hostname=where[0]) as tls,
    ):
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.2", "h2")
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # they are old: that is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(where, timeout=5) as connection,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(connection, server_hostname=where[0])


def test_it_ends_soon_while_requests_are_held(service: Service, pair: Pair) -> None:
    async def test() -> list[int]:
        async with client_of(service, pair) as client:
            at = await position(client, "v0")
            last = reload("v0", at, 10)
            held = [asyncio.create_task(client.get(last)) for _ in range(5)]
            await asyncio.sleep(0.1)
            began = time.monotonic()
            assert await asyncio.to_thread(service.stop, signal.SIGTERM) == 0
            assert time.monotonic() - began < 3
            return [answer.status_code for answer in await asyncio.gather(*held)]

    assert set(asyncio.run(test())) <= {200, 503}


def test_with_threads_only_http_1_is_offered(pair: Pair, media_root: Path) -> None:
    flags = (*SMALL, *pair.flags, "--web-worker", "gthread")
    with Service(media_root, flags, authority=pair.authority) as service:
        with httpx.Client(verify=pair.trusting(), http2=True) as client:
            answer = client.get(f"{service.url}/{PLAYLIST}")
        assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


# --- files that cannot be used -------------------------------------------------------------------


def test_files_that_cannot_be_used_are_refused_before_anything_starts(
    pair: Pair, media_root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(other)
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    cases = [
        ((str(pair.cert), str(other)), [str(pair.cert), str(other), "is not the key of"]),
        ((str(pair.cert), ""), ["tls_cert is set and tls_key is not"]),
        (("", str(pair.key)), ["tls_key is set and tls_cert is not"]),
        ((str(tmp_path / "none"), str(pair.key)), ["cannot read tls_cert", str(tmp_path / "none")]),
        ((str(pair.key), str(pair.cert)), [f"tls_cert {pair.key}", "BEGIN"]),
        ((str(broken), str(pair.key)), [str(broken), "cannot be loaded"]),
    ]
    for (cert, key), words in cases:
        ended = Service.attempt(media_root, ["--tls-cert", cert, "--tls-key", key])
        assert ended.returncode == 2, ended
        assert ended.stderr.count("\n") == 1, ended.stderr
        assert all(word in ended.stderr for word in [*words, "docs/tls.md"]), ended.stderr
        assert not media_root.exists()


def test_a_key_that_is_lost_later_never_means_plain_http(tmp_path: Path, media_root: Path) -> None:
    pair = make_pair(tmp_path)
    with Service(media_root, (*SMALL, *pair.flags), authority=pair.authority) as service:
        kept = pair.key.read_bytes()
        pair.key.unlink()
        os.kill(service.find("server.web"), signal.SIGTERM)
        await_line(service, "certificate_unusable")
        with pytest.raises(requests.RequestException):
            requests.get(service.url.replace("https", "http"), timeout=0.5)
        pair.key.write_bytes(kept)
        url = f"{service.url}/{PLAYLIST}"
        assert requests.get(url, verify=str(pair.authority), timeout=LONGEST).ok
        assert not [line for line in service.log if "Traceback" in line]


def await_line(service: Service, word: str) -> None:
    deadline = time.monotonic() + LONGEST
    while not any(word in line for line in list(service.log)):
        assert time.monotonic() < deadline, list(service.log)
        time.sleep(0.02)


# --- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", ["asgi", "gthread"])
def test_a_link_with_a_token_is_all_that_a_viewer_needs(media_root: Path, worker: str) -> None:
    link = token_path(KEY, "demo", int(time.time()) + 600)
    flags = (*SMALL, "--viewer-key", KEY, "--web-worker", worker)
    with Service(media_root, flags, playlist=link.lstrip("/")) as service:
        seen = follow(service.url + link)
        assert {url.rpartition(".")[2] for url in seen} >= {"m3u8", "mp4", "m4s"}
        assert all(url.startswith((service.url + link).removesuffix("index.m3u8")) for url in seen)
        media = "v0/media.m3u8"
        listed = requests.get(service.url + link.replace("index.m3u8", media), timeout=5).text
        far = read_position(listed).last_msn + 98
        bare = f"{service.url}/live/demo/{media}?_HLS_msn={far}&_HLS_part=0"
        expired = service.url + token_path(KEY, "demo", int(time.time()) - 1)
        for url in (bare, expired, service.url + link.replace("/demo/", "/other/")):
            began = time.monotonic()
            refused = requests.get(url, timeout=5)
            assert time.monotonic() - began < 1
            assert refused.status_code == 403
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert refused.headers["Access-Control-Allow-Origin"] == "*"
            assert refused.headers["Cache-Control"] == "no-store"
        assert not [line for line in service.log if KEY in line or link in line]


def follow(index: str) -> list[str]:
    """Ask for everything that playlists name, as a player resolves it; each must be there."""
    answers: dict[str, requests.Response] = {}
    wanted = [index]
    for url in wanted:
        if url in answers:
            continue
        answers[url] = answer = requests.get(url, timeout=5)
        assert answer.ok or url.endswith(".m4s"), url  # the oldest may have left meanwhile
        if url.endswith(".m3u8"):
            names = re.findall(r'URI="([^"]+)"|^([^#\s].*)$', answer.text, re.MULTILINE)
            here = [urljoin(url, a or b) for a, b in names]
            wanted += here[:3] + here[-4:] if "#EXTINF" in answer.text else here
    return [url for url, answer in answers.items() if answer.ok]
