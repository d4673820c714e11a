"""Viewers' tokens: what opens a stream, what does not, and that they are gone before the cache."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigError
from server.cli import main
from server.tokens import Guarded, Refused, admitted, check_key, check_token, make_token, token_path
from tests.unit.test_coalescer import (
    NEXT,
    Held,
    Reply,
    ask,
    ask_with,
    coalescer,
    run,
    scope_of,
    started,
)

KEY = "a key of more than sixteen characters"
NOW = 1_800_000_000
LATER = NOW + 60
TOKEN = make_token(KEY, "demo", LATER)


# --- values --------------------------------------------------------------------------------------


def test_a_token_is_short_and_fit_for_a_path() -> None:
    assert len(TOKEN) == 28
    assert TOKEN.replace("-", "").replace("_", "").isalnum()


def test_how_it_is_made_does_not_change() -> None:
    """Links that are out there must work after an update."""
    assert make_token("0123456789abcdef", "demo", 1_800_000_000) == "AGtJ0gBbTY9PHuCT8s59fcCDpS-7"


@given(st.text(min_size=1, max_size=40), st.integers(1, 2**40 - 1), st.data())
def test_it_opens_its_stream_until_it_expires(key: str, expires: int, data: Any) -> None:
    token = make_token(key, "demo", expires)
    check_token(key, "demo", token, data.draw(st.integers(0, expires - 1)))
    with pytest.raises(Refused, match="expired"):
        check_token(key, "demo", token, data.draw(st.integers(expires, 2**41)))


@pytest.mark.parametrize("stream", ["demo2", "dem", "other", ""])
def test_it_opens_no_other_stream(stream: str) -> None:
    with pytest.raises(Refused, match="not for this stream"):
        check_token(KEY, stream, TOKEN, NOW)


def test_it_is_compared_in_constant_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever that says is so: a second comparison would tell by its time how much is right."""
    monkeypatch.setattr(hmac, "compare_digest", lambda _one, _other: True)
    check_token(KEY, "other", TOKEN, NOW)
    monkeypatch.setattr(hmac, "compare_digest", lambda _one, _other: False)
    with pytest.raises(Refused, match="not for this stream"):
        check_token(KEY, "demo", TOKEN, NOW)


def test_it_is_worth_nothing_under_another_key() -> None:
    with pytest.raises(Refused):
        check_token(KEY + ".", "demo", TOKEN, NOW)


@given(st.integers(0, 27), st.characters(codec="ascii"))
def test_every_character_counts(at: int, character: str) -> None:
    changed = TOKEN[:at] + character + TOKEN[at + 1 :]
    if changed == TOKEN:
        return
    with pytest.raises(Refused):
        check_token(KEY, "demo", changed, NOW)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=40).map(base64.urlsafe_b64encode)))
def test_what_is_no_token_is_refused(token: str | bytes) -> None:
    text = token if isinstance(token, str) else token.decode()
    with pytest.raises(Refused):
        check_token(KEY, "demo", text, NOW)


def test_a_later_expiry_cannot_be_written_in() -> None:
    raw = base64.urlsafe_b64decode(TOKEN)
    longer = (LATER + 3600).to_bytes(5, "big") + raw[5:]
    with pytest.raises(Refused, match="not for this stream"):
        check_token(KEY, "demo", base64.urlsafe_b64encode(longer).decode(), NOW)


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["index.m3u8", "v0/media.m3u8", "a0/abc-7.3.m4s", "snapshot.jpg"])
def test_the_token_is_taken_out_of_the_path(rest: str) -> None:
    assert admitted(KEY, f"/live/demo/t/{TOKEN}/{rest}", NOW) == f"/live/demo/{rest}"


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/streams", "/lively/x", "/static/live/x"])
def test_other_paths_need_none(path: str) -> None:
    assert admitted(KEY, path, NOW) == path


@pytest.mark.parametrize(
    "path",
    [
        "/live",
        "/live/",
        "/live/demo/index.m3u8",
        "//live/demo/index.m3u8",
        "live/demo/index.m3u8",
        "/live//demo/index.m3u8",
        "/live/demo/t/",
        "/live/demo/t//index.m3u8",
        f"/live/demo/t/{TOKEN}",
        f"/live/demo/t/{TOKEN}/",
        f"/live/demo/t/{TOKEN}//v0/media.m3u8",
        f"/live/other/t/{TOKEN}/index.m3u8",
        f"/live/t/{TOKEN}/index.m3u8",
        f"/live/demo/v0/t/{TOKEN}/media.m3u8",
        f"/live/demo/t/{TOKEN}=/index.m3u8",
        f"/live/demo/t/{TOKEN}\n/index.m3u8",
    ],
)
def test_below_live_nothing_goes_without_one(path: str) -> None:
    with pytest.raises(Refused):
        admitted(KEY, path, NOW)


@given(st.text(max_size=60))
def test_any_path_is_refused_or_has_lost_its_token(path: str) -> None:
    try:
        rest = admitted(KEY, "/live/" + path, NOW)
    except Refused:
        return
    assert rest.startswith("/live/demo/")
    assert TOKEN not in rest


# --- in front of the coalescer -------------------------------------------------------------------


def link(stream: str = "demo", seconds: int = 600, rest: str = "v0/media.m3u8") -> str:
    token = make_token(KEY, stream, int(time.time()) + seconds)
    return f"/live/{stream}/t/{token}/{rest}"


def test_viewers_with_different_tokens_share_one_call() -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app, viewer_key=KEY)
        viewers = started(ask(app, link(seconds=n), NEXT) for n in range(100, 120))
        await held.until_entered()
        held.gate.set()
        replies = await asyncio.gather(*viewers)
        assert {reply.status for reply in replies} == {200}
        assert [seen["PATH_INFO"] for seen in held.seen] == ["/live/demo/v0/media.m3u8"]
        assert (await ask(app, link(seconds=500), NEXT)).status == 200  # from memory
        assert app.calls == 1

    run(test())


def forged(path: str) -> str:
    """The path with one character of its token changed."""
    return path[:30] + ("B" if path[30] == "A" else "A") + path[31:]


BAD = [
    "/live/demo/v0/media.m3u8",
    "//live/demo/v0/media.m3u8",
    link(seconds=-1),
    link().replace("/demo/", "/other/"),
    forged(link()),
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST"]


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Bearer x")]])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", BAD, ids=range(len(BAD)))  # not their text: it has the time
def test_without_a_good_one_nothing_is_asked_or_held(
    path: str, method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app, viewer_key=KEY)
        reply = await ask_with(app, scope_of(path, NEXT, headers, method))
        check_refusal(reply, method)
        assert not held.seen

    run(test())


def check_refusal(reply: Reply, method: str) -> None:
    assert reply.status == 403
    assert reply.header("content-type") == "application/problem+json"
    assert reply.header("access-control-allow-origin") == "*"
    assert reply.header("cache-control") == "no-store"
    assert (b'"detail"' in reply.body) is (method != "HEAD")


def test_an_encoded_path_is_no_way_around() -> None:
    """Of HTTP/2 the path comes as it was sent; Flask is given it decoded."""
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app, viewer_key=KEY)
        for path in ("/%6cive/demo/v0/media.m3u8", "/live%2fdemo/v0/media.m3u8", "/%2flive/demo/x"):
            assert (await ask(app, path, NEXT)).status == 403
        assert not held.seen

    run(test())


@pytest.mark.parametrize("method", METHODS)
def test_with_a_good_one_every_method_is_passed_on_without_it(method: str) -> None:
    held = Held()
    held.gate.set()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app, viewer_key=KEY)
        scope = scope_of(link(), NEXT, [(b"authorization", b"x")], method)
        assert (await ask_with(app, scope)).status == 200
        if method != "OPTIONS":
            assert held.seen[0]["PATH_INFO"] == "/live/demo/v0/media.m3u8"

    run(test())


def test_what_is_not_a_stream_stays_open() -> None:
    async def test() -> None:
        app = coalescer(Held().flask.wsgi_app, viewer_key=KEY)
        assert (await ask(app, "/healthz")).status == 200

    run(test())


# --- in front of Flask alone ---------------------------------------------------------------------


def flask_alone(held: Held) -> Flask:
    held.gate.set()
    held.flask.wsgi_app = Guarded(held.flask.wsgi_app, KEY)  # type: ignore[method-assign]
    return held.flask


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", BAD, ids=range(len(BAD)))  # not their text: it has the time
def test_flask_alone_refuses_the_same(path: str, method: str) -> None:
    held = Held()
    answer = (
        flask_alone(held)
        .test_client()
        .open("/", method=method, environ_overrides={"PATH_INFO": path})
    )
    rows = [(k.lower().encode(), v.encode()) for k, v in answer.headers]
    check_refusal(Reply(answer.status_code, rows, [answer.data]), method)
    assert not held.seen


def test_flask_alone_sees_no_token() -> None:
    held = Held()
    assert flask_alone(held).test_client().get(link()).status_code == 200
    assert held.seen[0]["PATH_INFO"] == "/live/demo/v0/media.m3u8"


# --- settings and command ------------------------------------------------------------------------


def test_a_short_key_is_refused() -> None:
    check_key(KEY)
    with pytest.raises(ConfigError, match="openssl rand"):
        check_key("secret")


def test_the_command_prints_a_path_that_opens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "demo", "--hours", "2", "--viewer-key", KEY]) == 0
    path = capsys.readouterr().out.strip()
    assert admitted(KEY, path, time.time() + 7100) == "/live/demo/index.m3u8"
    with pytest.raises(Refused, match="expired"):
        admitted(KEY, path, time.time() + 7201)
    assert len(path) == len(token_path(KEY, "demo", LATER))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["demo"], "viewer_key is not set"),
        (["Demo!", "--viewer-key", KEY], "small letters"),
        (["demo", "--viewer-key", KEY, "--hours", "0"], "--hours"),
        (["demo", "--viewer-key", KEY, "--hours", "nan"], "--hours"),
        (["demo", "--viewer-key", KEY, "--hours", "inf"], "--hours"),
        (["demo", "--viewer-key", "short"], "openssl rand"),
    ],
)
def test_the_command_says_what_is_wrong(
    argv: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LIPSTREAM_VIEWER_KEY", raising=False)
    assert main(["token", *argv]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
