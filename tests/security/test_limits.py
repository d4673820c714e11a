"""How often one address may ask, and who counts as one."""

from __future__ import annotations

import hmac
import io
import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigError, Settings
from server.app import create_app
from server.limits import RateLimit, client_key, parse_networks

TOKEN = "t" * 32
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
WRONG = {"Authorization": "Bearer x"}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of a service go by a clock that stands still: the seconds told are exact."""
    monkeypatch.setattr("server.gate.RateLimit", partial(RateLimit, clock=Clock()))


def service(root: Path, **changes: Any) -> FlaskClient:
    for name in ("live", "run"):
        (root / name).mkdir(exist_ok=True)
    return create_app(Settings(**changes), root).test_client()


def test_a_burst_then_a_steady_rate() -> None:
    clock = Clock()
    limit = RateLimit(60, 5, clock)
    assert [limit.take("a") for _ in range(5)] == [0] * 5
    assert limit.take("a") == pytest.approx(1.0)
    assert limit.take("b") == 0
    clock.now += 0.99
    assert limit.take("a") == pytest.approx(0.01)
    clock.now += 0.01
    assert limit.take("a") == 0
    assert limit.take("a") > 0
    clock.now += 3600  # a long pause saves up no more than the burst
    assert [limit.take("a") > 0 for _ in range(6)] == [False] * 5 + [True]


@given(st.lists(st.floats(0, 10), max_size=60), st.integers(1, 100), st.integers(1, 20))
def test_never_more_than_burst_and_rate(pauses: list[float], per_minute: int, burst: int) -> None:
    clock = Clock()
    limit = RateLimit(per_minute, burst, clock)
    begin, admitted = clock.now, 0
    for pause in pauses:
        clock.now += pause
        expected = limit.wait_seconds("a")
        wait = limit.take("a")
        assert wait == expected
        admitted += not wait
    assert admitted <= burst + (clock.now - begin) * per_minute / 60 + 1e-6


def test_all_processes_count_together() -> None:
    limit = RateLimit(1, 10)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_take, args=(limit, 4)) for _ in range(2)]
    for child in children:
        child.start()
        child.join(10)
        assert child.exitcode == 0
    assert [limit.take("a") > 0 for _ in range(3)] == [False, False, True]


def _take(limit: RateLimit, times: int) -> None:
    for _ in range(times):
        limit.take("a")


def test_memory_does_not_grow_with_addresses() -> None:
    limit = RateLimit(60, 5, Clock())
    size = len(limit._map)
    for number in range(20_000):
        limit.take(f"10.0.{number >> 8}.{number & 255}")
    assert len(limit._map) == size


@pytest.mark.parametrize(
    ("peer", "forwarded", "key"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),  # it is no proxy of ours
        ("10.0.0.7", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.7", "1.1.1.1, 203.0.113.5", "203.0.113.5"),  # what clients write is not believed
        ("10.0.0.7", "1.1.1.1, 203.0.113.5, 10.0.0.9", "203.0.113.5"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("10.0.0.7", "unknown", "10.0.0.7"),
        ("10.0.0.7", "203.0.113.5, junk", "10.0.0.7"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "", "fe80::/64"),
        ("10.0.0.7", "[2001:db8::1]", "2001:db8::/64"),
        ("", "203.0.113.5", ""),
    ],
)
def test_who_asks(peer: str, forwarded: str, key: str) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_key(environ, parse_networks("10.0.0.0/24")) == key


@given(st.text(), st.text())
def test_any_address_is_a_key(peer: str, forwarded: str) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    limit = RateLimit(60, 5)
    assert limit.take(client_key(environ, parse_networks("0.0.0.0/0, ::/0"))) >= 0


def test_a_proxy_must_be_an_address() -> None:
    assert parse_networks("") == ()
    with pytest.raises(ConfigError, match=r"trusted_proxies is 'nginx'.*such as 10\.0\.0\.7"):
        parse_networks("nginx")


@pytest.mark.usefixtures("stopped")
def test_too_many_requests_are_told_when_to_ask_again(tmp_path: Path) -> None:
    client = service(tmp_path, api_requests_per_minute=8)
    statuses = [client.get(path).status_code for path in ("/api/streams", "/api/nothing")]
    assert statuses == [200, 404]
    answer = client.get("/api/streams")
    assert (answer.status_code, answer.mimetype) == (429, "application/problem+json")
    assert answer.headers["Retry-After"] == "8"
    assert "8 requests a minute" in answer.get_json()["detail"]
    assert client.get("/healthz").status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/api/streams", environ_base={"REMOTE_ADDR": "192.0.2.9"}).status_code == 200


def test_uploads_have_a_limit_of_their_own(tmp_path: Path) -> None:
    client = service(tmp_path, uploads_per_minute=1)
    assert client.post("/upload", data=b"x").status_code == 415
    for path in ("/upload", "/api/uploads"):
        answer = client.post(path, data=b"x")
        assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    assert client.get("/api/streams").status_code == 200


@pytest.mark.usefixtures("stopped")
def test_wrong_tokens_are_limited_harder_and_lock_the_address(tmp_path: Path) -> None:
    client = service(tmp_path, api_token=TOKEN, wrong_tokens_per_minute=3)
    assert client.get("/api/streams", headers=RIGHT).status_code == 200
    assert [client.get("/api/streams").status_code for _ in range(5)] == [401] * 5
    assert [client.get("/api/streams", headers=WRONG).status_code for _ in range(3)] == [401] * 3
    for headers in (WRONG, RIGHT):  # else guessing would go on, and its success be seen
        answer = client.get("/api/streams", headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "20")
    elsewhere = {"REMOTE_ADDR": "2001:db8::1"}
    assert client.get("/api/streams", headers=RIGHT, environ_base=elsewhere).status_code == 200


@pytest.mark.parametrize(("says", "offered", "status"), [(True, WRONG, 200), (False, RIGHT, 401)])
def test_a_token_is_compared_in_constant_time_alone(
    says: bool,
    offered: dict[str, str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever that says is so: a second comparison would tell by its time how much is right."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return says

    client = service(tmp_path, api_token=TOKEN)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert client.get("/api/streams", headers=offered).status_code == status
    assert compared == [(offered["Authorization"].encode(), RIGHT["Authorization"].encode())]


@pytest.mark.parametrize(
    "path", ["/api/streams", "///api/streams", "/api/uploads/1", "/upload", "/api/encoders"]
)
def test_every_route_of_the_control_api_asks_for_the_token(tmp_path: Path, path: str) -> None:
    client = service(tmp_path, api_token=TOKEN)
    for offered in (
        "",
        "Bearer",
        "Bearer ",
        f"bearer {TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}é",
    ):
        answer = client.open(
            path, method="POST" if path == "/upload" else "GET", headers={"Authorization": offered}
        )
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("192.168.1.7:8000", 403),
    ],
)
def test_a_name_that_was_made_to_point_here_does_not_steer(
    tmp_path: Path, host: str, status: int
) -> None:
    """Against DNS rebinding: without a token the name is all that tells a page from a program."""
    client = service(tmp_path)
    assert client.get("/api/streams", headers={"Host": host}).status_code == status
    assert client.get("/", headers={"Host": host}).status_code == 200
    with_token = service(tmp_path, api_token=TOKEN)
    assert with_token.get("/api/streams", headers=RIGHT | {"Host": host}).status_code == 200
    open_to_all = service(tmp_path, insecure=True)
    assert open_to_all.get("/api/streams", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 415), ("none", 415)],
)
def test_a_page_of_another_origin_changes_nothing(tmp_path: Path, site: str, status: int) -> None:
    client = service(tmp_path)
    headers = {"Sec-Fetch-Site": site}
    assert client.post("/upload", data=b"x", headers=headers).status_code == status
    assert client.get("/api/streams", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/upload", "/api/streams", "/api/streams/demo/speech"])
@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://192.168.1.7:8000", False),
        ("HTTP://192.168.1.7:8000", False),
        ("http://192.168.1.7", True),  # another port is another origin
        ("http://evil.example", True),
        ("http://192.168.1.7:8000.evil.example", True),
        ("http://evil.example/192.168.1.7:8000", True),
        ("null", True),
        ("http://[", True),
        (None, False),  # a program
    ],
)
def test_a_browser_that_says_no_site_is_known_by_its_origin(
    tmp_path: Path, path: str, origin: str | None, refused: bool
) -> None:
    """Without TLS beyond this machine no browser says it, and Safari before 16.4 never does."""
    client = service(tmp_path, insecure=True)
    headers = {"Host": "192.168.1.7:8000"} | ({} if origin is None else {"Origin": origin})
    form = {"audio": (io.BytesIO(b"RIFF"), "a.wav")}
    answer = client.post(path, data=form, headers=headers)
    assert (answer.status_code == 403) is refused, answer.get_data(as_text=True)


def test_a_browser_that_says_same_origin_is_believed(tmp_path: Path) -> None:
    """Behind a proxy that names another host to us than the browser knows."""
    client = service(tmp_path, insecure=True)
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "https://lipstream.example"}
    assert client.post("/upload", data=b"x", headers=headers).status_code == 415
