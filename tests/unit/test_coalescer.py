"""The coalescer, driven as an ASGI server drives it: no socket, no sleep."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Settings
from encoder.playlist import ServerControl
from server.app import create_app
from server.asgi import PIECE_BYTES, Answer, Lane
from server.coalescer import Coalescer, directives
from server.holding import Wait
from server.kept import MEDIA_SECONDS, PLAYLIST_SECONDS, KeptAnswers, Target
from tests.unit.test_hls_routes import playlist

PART = "/live/demo/v0/abc-7.3.m4s"
PLAYLIST = "/live/demo/v0/media.m3u8"
NEXT = b"_HLS_msn=8&_HLS_part=3"
LONGEST = 5.0


@dataclass
class Reply:
    """What a client got."""

    status: int = 0
    rows: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def header(self, name: str) -> str | None:
        return next((v.decode() for k, v in self.rows if k == name.encode()), None)

    async def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not self.status, "two answers to one request"
            self.status, self.rows = message["status"], list(message["headers"])
        else:
            self.pieces.append(message["body"])


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Held:
    """A Flask application whose answers to directives wait until they are let go."""

    def __init__(self, cache: str = "public, max-age=6", status: int = 200) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.seen: list[dict[str, Any]] = []
        self.cache, self.status, self.body = cache, status, "the body"
        self.flask = Flask("held")
        self.flask.add_url_rule("/<path:_path>", view_func=self._view, methods=["GET", "POST"])
        self.flask.add_url_rule("/live/<path:_path>", view_func=self._view, methods=["GET", "POST"])

    def _view(self, _path: str) -> Response:
        self.seen.append(dict(request.environ))
        self.entered.release()
        if "_HLS_msn" in request.args:
            self.gate.wait(LONGEST)
        response = Response(self.body, self.status)
        response.headers["Cache-Control"] = self.cache
        return response

    async def until_entered(self, times: int = 1) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.entered.acquire, timeout=LONGEST)


def scope_of(
    path: str, query: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = (), method: str = "GET"
) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(headers),
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 12345),
    }


async def ask(
    app: Coalescer, path: str, query: bytes = b"", *headers: tuple[bytes, bytes]
) -> Reply:
    return await ask_with(app, scope_of(path, query, headers))


async def ask_with(app: Coalescer, scope: dict[str, Any], *body: bytes) -> Reply:
    reply, chunks = Reply(), list(body)

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0) if chunks else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    await app(scope, receive, reply.take)
    return reply


def started(tasks: Iterable[Coroutine[Any, Any, Reply]]) -> list[asyncio.Task[Reply]]:
    return [asyncio.create_task(task) for task in tasks]


def coalescer(wsgi: Any, **options: Any) -> Coalescer:
    return Coalescer(wsgi, **{"threads": 8, "body_bytes": 1000} | options)


def run(test: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test, 3 * LONGEST)

    asyncio.run(bounded())


# --- sharing -------------------------------------------------------------------------------------


def test_five_hundred_equal_requests_are_one_call() -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        before = threading.active_count()
        viewers = started(ask(app, PLAYLIST, NEXT) for _ in range(500))
        await held.until_entered()
        assert threading.active_count() <= before + 2  # the call, and this test's own helper
        held.gate.set()
        replies = await asyncio.gather(*viewers)
        assert {reply.status for reply in replies} == {200}
        assert len({id(reply.pieces[0]) for reply in replies}) == 1, "the body was copied"
        assert len(held.seen) == app.calls == 1

    run(test())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((PLAYLIST, NEXT), (PLAYLIST, b"_HLS_msn=8&_HLS_part=4")),
        ((PLAYLIST, NEXT), (PLAYLIST, b"_HLS_msn=8")),
        ((PLAYLIST, NEXT), (PLAYLIST, NEXT + b"&_HLS_skip=YES")),
        ((PLAYLIST, NEXT), ("/live/demo/a0/media.m3u8", NEXT)),
        ((PLAYLIST, NEXT), (PLAYLIST, NEXT, (b"accept-encoding", b"gzip"))),
        ((PART, b""), ("/live/demo/v0/abc-7.4.m4s", b"")),
    ],
)
def test_what_differs_in_its_answer_is_another_call(one: Any, other: Any) -> None:
    held = Held()
    held.gate.set()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        await asyncio.gather(ask(app, *one), ask(app, *other))
        assert len(held.seen) == 2

    run(test())


@pytest.mark.parametrize(
    ("path", "query", "header"),
    [
        (PLAYLIST, b"_HLS_part=3&_HLS_msn=8", (b"user-agent", b"x")),
        (PLAYLIST, NEXT + b"&mine=1", (b"cookie", b"a=b")),
        (PLAYLIST, b"_HLS_msn=008&_HLS_part=%33", (b"host", b"elsewhere")),
        (PLAYLIST, NEXT + b"&_HLS_skip=nonsense&_HLS_msn=9", (b"referer", b"x")),
        (PLAYLIST, NEXT, (b"accept-encoding", b"br, gzip;q=0")),
        (PLAYLIST, NEXT, (b"range", b"bytes=0-1")),
        (PLAYLIST, NEXT + b"&_HLS_skip=no", (b"accept", b"x")),
    ],
)
def test_nobody_gets_a_call_of_his_own_by_asking_in_other_words(
    path: str, query: bytes, header: tuple[bytes, bytes]
) -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        viewers = started([ask(app, PLAYLIST, NEXT), ask(app, path, query, header)])
        await held.until_entered()
        held.gate.set()
        first, second = await asyncio.gather(*viewers)
        assert (first.status, first.body) == (second.status, second.body)
        assert len(held.seen) == 1

    run(test())


def test_42_both_words_for_a_delta_are_one_call() -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        viewers = started(ask(app, PLAYLIST, NEXT + b"&_HLS_skip=" + w) for w in (b"YES", b"v2"))
        await held.until_entered()
        held.gate.set()
        await asyncio.gather(*viewers)
        assert len(held.seen) == 1

    run(test())


def test_flask_sees_no_header_of_a_viewer_whose_answer_is_shared() -> None:
    held = Held()
    headers = [(b"cookie", b"id=1"), (b"x-mine", b"1"), (b"accept-encoding", b"br, gzip")]

    async def test() -> None:
        await ask(coalescer(held.flask.wsgi_app), "/live/demo/index.m3u8", b"", *headers)
        names = {name for name in held.seen[0] if name.startswith("HTTP_")}
        assert names == {"HTTP_ACCEPT_ENCODING"}
        assert held.seen[0]["HTTP_ACCEPT_ENCODING"] == "gzip"

    run(test())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_query_becomes_a_canonical_one(query: bytes) -> None:
    once = directives(query)
    assert directives(once.encode()) == once
    assert once.isascii()
    assert "\r" not in once
    assert "\n" not in once


# --- what is not shared --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        ("GET", PART, (b"authorization", b"Bearer x")),
        ("POST", PART, (b"x-a", b"1")),
        ("HEAD", PART, (b"x-a", b"1")),
        ("GET", "/api/streams", (b"x-a", b"1")),
        ("GET", "/live/../secret", (b"x-a", b"1")),
        ("GET", "/live/démo/v0/media.m3u8", (b"x-a", b"1")),
    ],
)
def test_these_are_calls_of_their_own(method: str, path: str, header: tuple[bytes, bytes]) -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        scope = scope_of(path, headers=[header], method=method)
        replies = [await ask_with(app, scope), await ask_with(app, scope)]
        assert [reply.status for reply in replies] == [200, 200]
        assert len(held.seen) == 2
        key = "HTTP_" + header[0].decode().upper().replace("-", "_")
        assert held.seen[0][key] == header[1].decode()
        assert held.seen[0]["PATH_INFO"] == path.encode().decode("latin-1")
        assert app.kept.used_bytes == 0

    run(test())


def test_head_has_the_headers_and_no_body() -> None:
    async def test() -> None:
        app = coalescer(Held().flask.wsgi_app)
        reply = await ask_with(app, scope_of(PART, method="HEAD"))
        assert (reply.body, reply.header("content-length")) == (b"", "8")

    run(test())


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 400, 503, 500])
def test_an_error_is_shared_but_never_kept(status: int) -> None:
    held = Held(status=status)

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        viewers = started(ask(app, PLAYLIST, NEXT) for _ in range(20))
        await held.until_entered()
        held.gate.set()
        assert {r.status for r in await asyncio.gather(*viewers)} == {status}
        assert len(held.seen) == 1
        held.status = 200
        assert (await ask(app, PLAYLIST, NEXT)).status == 200

    run(test())


def test_a_part_asked_for_too_early_is_there_when_it_comes() -> None:
    """Else anybody could keep the next part from all viewers by asking for it before its time."""
    held = Held(cache="public, max-age=2", status=404)

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        assert (await ask(app, PART)).status == 404
        held.status = 200
        assert (await ask(app, PART)).status == 200

    run(test())


def test_an_application_that_raises_answers_500_to_all() -> None:
    def broken(_environ: Any, _start: Any) -> list[bytes]:
        raise ZeroDivisionError

    async def test() -> None:
        replies = await asyncio.gather(*[ask(coalescer(broken), PART) for _ in range(3)])
        assert {reply.status for reply in replies} == {500}

    run(test())


# --- keeping -------------------------------------------------------------------------------------


def test_an_answer_is_kept_as_long_as_it_says_and_tells_its_age() -> None:
    held, clock = Held(cache="public, max-age=6"), Clock()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app, clock=clock)
        first = await ask(app, PART)
        assert first.header("age") is None
        for seconds, age in ((0.0, "0"), (3.5, "3"), (5.99, "5")):
            clock.now = 1000 + seconds
            kept = await ask(app, PART)
            assert (kept.header("age"), kept.body) == (age, first.body)
            assert kept.header("date") == first.header("date")
        clock.now = 1006.0
        assert (await ask(app, PART)).header("age") is None
        assert len(held.seen) == 2

    run(test())


@pytest.mark.parametrize(
    ("path", "query", "seconds"),
    [
        (PLAYLIST, NEXT, PLAYLIST_SECONDS),
        (PLAYLIST, b"", PLAYLIST_SECONDS),
        (PART, b"", MEDIA_SECONDS),
    ],
)
def test_what_others_may_keep_for_long_is_kept_here_for_a_moment(
    path: str, query: bytes, seconds: int
) -> None:
    """A late viewer gets the current playlist (37), and no stream that of another with its id."""
    held, clock = Held(cache="public, max-age=60"), Clock()
    held.gate.set()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app, clock=clock)
        first = await ask(app, path, query)
        assert first.header("cache-control") == "public, max-age=60"
        held.body = "another"
        clock.now += seconds - 0.01
        assert (await ask(app, path, query)).body == first.body
        clock.now += 0.01
        assert (await ask(app, path, query)).body == b"another"

    run(test())


@pytest.mark.parametrize(
    "cache",
    [
        "no-cache",
        "no-store",
        "private, max-age=9",
        "public",
        "public, max-age=0",
        "public, max-age=-1",
        "public, max-age=9, no-cache",
        "max-age=9",
        "",
    ],
)
def test_what_does_not_say_so_is_not_kept(cache: str) -> None:
    held = Held(cache=cache)

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        await ask(app, PART)
        await ask(app, PART)
        assert len(held.seen) == 2
        assert app.kept.used_bytes == 0

    run(test())


_STEPS = st.tuples(st.integers(0, 9), st.integers(0, 6000), st.integers(0, 9), st.integers(0, 4))


@settings(deadline=None)  # how long it takes is the machine's
@given(st.lists(_STEPS, max_size=60))
def test_kept_bytes_never_pass_the_bound(steps: list[tuple[int, int, int, int]]) -> None:
    clock = Clock()
    kept = KeptAnswers(12_000, clock)
    newest: dict[Target, tuple[float, bytes]] = {}
    for name, size, seconds, pause in steps:
        clock.now += pause
        target = Target(f"/live/demo/v0/{name}", "", gzip=False)
        found = kept.find(target)
        if found is not None:
            expires, body = newest[target]
            assert clock.now < expires
            assert found.body == body
        body = bytes(size)
        cache = (b"cache-control", b"public, max-age=%d" % seconds)
        kept.keep(target, Answer(200, (cache,), body))
        if seconds:
            newest[target] = (clock.now + seconds, body)
        assert 0 <= kept.used_bytes <= 12_000
    clock.now += 100
    for target in newest:
        assert kept.find(target) is None
    assert kept.used_bytes == 0


def test_the_least_used_goes_first() -> None:
    kept = KeptAnswers(8000, Clock())
    cache = ((b"cache-control", b"public, max-age=9"),)
    targets = [Target(f"/live/{n}", "", gzip=False) for n in range(4)]
    for target in targets[:3]:
        kept.keep(target, Answer(200, cache, bytes(1500)))
    assert kept.find(targets[0])
    kept.keep(targets[3], Answer(200, cache, bytes(1500)))
    assert [kept.find(target) is not None for target in targets] == [True, False, True, True]


# --- clients that go away, processes that end ----------------------------------------------------


def test_a_client_that_goes_away_frees_its_wait_and_nobody_elses() -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        viewers = started(ask(app, PLAYLIST, NEXT) for _ in range(3))
        await held.until_entered()
        for task in viewers[:2]:
            task.cancel()
        await asyncio.wait(viewers[:2])
        (under_way,) = app._in_flight.values()
        assert len(under_way.waiters) == 1
        held.gate.set()
        assert (await viewers[2]).status == 200

    run(test())


def test_a_call_that_nobody_waits_for_ends_and_is_kept() -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        (viewer,) = started([ask(app, PLAYLIST, NEXT)])
        await held.until_entered()
        viewer.cancel()
        await asyncio.wait([viewer])
        held.gate.set()
        late = await ask(app, PLAYLIST, NEXT)  # joins it, or finds what it left
        assert late.status == 200
        assert len(held.seen) == 1
        assert not app._in_flight

    run(test())


def test_the_end_of_the_process_wakes_all_who_wait() -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        viewers = started(ask(app, PLAYLIST, NEXT) for _ in range(50))
        await held.until_entered()
        app.close()
        for reply in await asyncio.gather(*viewers):
            assert (reply.status, reply.header("retry-after")) == (503, "1")
            assert reply.header("access-control-allow-origin") == "*"
        assert (await ask(app, PLAYLIST, b"_HLS_msn=9")).status == 503
        assert (await ask(app, "/healthz")).status == 200
        held.gate.set()

    run(test())


def test_lifespan_and_websocket() -> None:
    sent: list[str] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    def receiver(*kinds: str) -> Callable[[], Awaitable[dict[str, Any]]]:
        left = list(kinds)

        async def receive() -> dict[str, Any]:
            return {"type": left.pop(0)}

        return receive

    async def test() -> None:
        app = coalescer(Held().flask.wsgi_app)
        await app({"type": "websocket"}, receiver("websocket.connect"), send)
        span = receiver("lifespan.startup", "lifespan.shutdown")
        await app({"type": "lifespan"}, span, send)
        assert (await ask(app, PART)).status == 503

    run(test())
    assert sent == ["websocket.close", "lifespan.startup.complete", "lifespan.shutdown.complete"]


# --- bounds --------------------------------------------------------------------------------------


def test_however_much_is_held_it_takes_threads_from_nobody(live: Path) -> None:
    """One viewer may ask for whatever rule 39 lets him, of all renditions and in all forms."""

    # With long segments, whose holds last a minute: some hundred take a busy machine some seconds.
    for name in RENDITIONS:
        publish(live, f"{name}/media.m3u8", playlist(control=PATIENT))

    async def test() -> None:
        app = coalescer(create_app(Settings(), live).wsgi_app, threads=4)
        before = threading.active_count()
        queries = [b"_HLS_msn=8&_HLS_part=%d" % n for n in range(3, 18)]
        queries += [b"_HLS_msn=9&_HLS_part=%d" % n for n in range(15)]
        queries += [b"_HLS_msn=8", b"_HLS_msn=9"]
        forms = [query + skip for query in queries for skip in (b"", b"&_HLS_skip=YES")]
        gzip = (b"accept-encoding", b"gzip")
        holds = started(
            [
                ask(app, path, form, *coding)
                for path in RELOADS
                for form in forms
                for coding in ((), (gzip,))
            ]
            + [ask(app, f"/live/demo/{name}/{RUN}-8.3.m4s") for name in RENDITIONS]
        )
        await until_held(app, len(holds))
        assert len(holds) > 500
        assert threading.active_count() <= before + 9  # two lanes of 4, and who watches the folders
        assert (await ask(app, RELOADS[0])).status == 200
        assert (await ask(app, RELOADS[0], b"_HLS_msn=7")).status == 200
        assert (await ask(app, RELOADS[0], b"_HLS_msn=99")).status == 400
        assert (await ask(app, "/healthz")).status == 200
        for name in RENDITIONS:
            publish(live, f"{name}/{RUN}-8.3.m4s", "part")
            publish(live, f"{name}/media.m3u8", playlist(last_msn=10, control=PATIENT))
        assert {reply.status for reply in await asyncio.gather(*holds)} == {200}
        assert not app._in_flight

    run(test())


def test_who_insists_on_an_answer_of_his_own_waits_in_his_own_lane() -> None:
    held = Held()

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app, threads=16)
        insists = (b"authorization", b"x")
        own = started(ask(app, PLAYLIST, NEXT, insists) for _ in range(4))
        await held.until_entered(4)
        assert (await ask(app, PLAYLIST, NEXT, insists)).status == 503
        viewers = started(ask(app, PLAYLIST, NEXT) for _ in range(9))
        await held.until_entered()
        held.gate.set()
        assert {reply.status for reply in await asyncio.gather(*own, *viewers)} == {200}

    run(test())


def test_a_lane_starts_threads_as_they_are_needed_and_uses_them_again() -> None:
    lane, done = Lane("test-lane", 3), threading.Semaphore(0)

    def names() -> int:
        return sum(thread.name == "test-lane" for thread in threading.enumerate())

    for _ in range(20):
        lane.submit(done.release)
        assert done.acquire(timeout=LONGEST)
    assert 1 <= names() <= 3


# --- holds ---------------------------------------------------------------------------------------


RENDITIONS = ("v0", "v1", "a0", "s0")
PATIENT = ServerControl(20, 60, Fraction(1, 5), Fraction(3, 5))
RELOADS = [f"/live/demo/{name}/media.m3u8" for name in RENDITIONS]
RUN = "abc123"


def publish(root: Path, name: str, text: str) -> None:
    partial = root / "live" / "demo" / ".partial-x"
    partial.write_text(text)
    partial.rename(root / "live" / "demo" / name)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A media root with a stream whose segment 7 is complete, with three parts of the next."""
    (tmp_path / "run").mkdir()
    for name in RENDITIONS:
        (tmp_path / "live" / "demo" / name).mkdir(parents=True)
        publish(tmp_path, f"{name}/media.m3u8", playlist())
    return tmp_path


async def until_held(app: Coalescer, calls: int) -> None:
    while sum(call.ticket is not None for call in app._in_flight.values()) < calls:
        await asyncio.sleep(0.005)


def test_however_many_hold_one_part_flask_is_called_twice(live: Path) -> None:
    """Once to hear that it must wait, and once for the answer."""
    flask, calls = create_app(Settings(), live), list[int]()
    flask.before_request(lambda: calls.append(1))

    async def test() -> None:
        app = coalescer(flask.wsgi_app)
        viewers = started(ask(app, RELOADS[0], NEXT) for _ in range(300))
        await until_held(app, 1)
        publish(live, "v1/media.m3u8", playlist(parts=4))  # another folder
        publish(live, f"v0/{RUN}-8.3.m4s", "part")  # not yet in the playlist
        publish(live, "v0/media.m3u8", playlist(parts=4))
        replies = await asyncio.gather(*viewers)
        assert {reply.body.decode() for reply in replies} == {playlist(parts=4)}
        assert len(calls) == 2
        timing = replies[0].header("server-timing")
        assert timing is not None
        assert float(timing.split("hold;dur=")[1].split(",")[0]) > 0

    run(test())


def test_what_appears_while_a_call_is_put_aside_is_not_missed(
    live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the view's look and the watch."""
    begin = Wait.begin

    def late(wait: Wait, then: Callable[[], None]) -> Any:
        publish(live, "v0/media.m3u8", playlist(parts=4))
        return begin(wait, then)

    monkeypatch.setattr(Wait, "begin", late)

    async def test() -> None:
        reply = await ask(coalescer(create_app(Settings(), live).wsgi_app), RELOADS[0], NEXT)
        assert (reply.status, reply.body.decode()) == (200, playlist(parts=4))

    run(test())


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [(RELOADS[0], NEXT, 503), (f"/live/demo/v0/{RUN}-8.3.m4s", b"", 404)],
)
def test_40_a_hold_ends_after_three_target_durations(
    live: Path, path: str, query: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    begin = Wait.begin

    def noted(wait: Wait, then: Callable[[], None]) -> Any:
        asked.append(wait.seconds)
        return begin(wait, then)

    monkeypatch.setattr(Wait, "begin", noted)

    async def test() -> None:
        app = coalescer(create_app(Settings(), live).wsgi_app)
        (viewer,) = started([ask(app, path, query)])
        await until_held(app, 1)
        (call,) = app._in_flight.values()
        assert call.timer is not None
        left = call.timer.when() - asyncio.get_running_loop().time()
        assert asked == [6]
        assert 5 < left <= 6
        call.timer._run()  # its time has come
        reply = await viewer
        assert reply.status == status
        assert reply.header("access-control-allow-origin") == "*"
        assert not app._in_flight

    run(test())


def test_a_hold_that_nobody_waits_for_is_forgotten(live: Path) -> None:
    async def test() -> None:
        app = coalescer(create_app(Settings(), live).wsgi_app)
        viewers = started(ask(app, RELOADS[0], NEXT) for _ in range(3))
        await until_held(app, 1)
        for task in viewers[:2]:
            task.cancel()
        await asyncio.wait(viewers[:2])
        assert len(app._in_flight) == 1
        viewers[2].cancel()
        await asyncio.wait(viewers)
        assert not app._in_flight
        (again,) = started([ask(app, RELOADS[0], NEXT)])  # and can be asked for anew
        await until_held(app, 1)
        publish(live, "v0/media.m3u8", playlist(parts=4))
        assert (await again).status == 200

    run(test())


def test_a_stream_that_goes_frees_who_is_held(live: Path) -> None:
    async def test() -> None:
        app = coalescer(create_app(Settings(), live).wsgi_app)
        viewers = started([ask(app, RELOADS[0], NEXT), ask(app, f"/live/demo/v0/{RUN}-8.3.m4s")])
        await until_held(app, 2)
        shutil.rmtree(live / "live" / "demo")
        assert {reply.status for reply in await asyncio.gather(*viewers)} <= {404, 503}

    run(test())


def test_the_end_of_the_process_wakes_who_is_held_without_a_thread(live: Path) -> None:
    async def test() -> None:
        app = coalescer(create_app(Settings(), live).wsgi_app)
        (viewer,) = started([ask(app, RELOADS[0], NEXT)])
        await until_held(app, 1)
        app.close()
        assert (await viewer).status == 503

    run(test())


# --- conditions ----------------------------------------------------------------------------------


def test_how_long_the_first_was_held_is_not_told_to_those_who_come_later() -> None:
    def timed(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Server-Timing", "hold;dur=180"), ("Cache-Control", "public, max-age=9")])
        return [b""]

    async def test() -> None:
        app = coalescer(timed)
        assert (await ask(app, PART)).header("server-timing") == "hold;dur=180"
        assert (await ask(app, PART)).header("server-timing") is None

    run(test())


def tagged(_environ: Any, start: Any) -> list[bytes]:
    headers = [("Content-Type", "video/mp4"), ("ETag", '"v1"'), ("Content-Length", "10")]
    start("200 OK", [*headers, ("Cache-Control", "public, max-age=9"), ("Vary", "Origin")])
    return [b"0123456789"]


@pytest.mark.parametrize(
    ("headers", "status", "body", "content_range"),
    [
        ([(b"range", b"bytes=2-4")], 206, b"234", "bytes 2-4/10"),
        ([(b"range", b"bytes=-3")], 206, b"789", "bytes 7-9/10"),
        ([(b"range", b"bytes=8-99")], 206, b"89", "bytes 8-9/10"),
        ([(b"range", b"bytes=10-")], 416, None, "bytes */10"),
        ([(b"range", b"nonsense")], 200, b"0123456789", None),
        ([(b"range", b"lines=1-2")], 200, b"0123456789", None),
        ([(b"range", b"bytes=5-2")], 200, b"0123456789", None),
        ([(b"range", b"bytes=0-1,4-5")], 200, b"0123456789", None),
        ([(b"range", b"BYTES = 2-4")], 200, b"0123456789", None),
        ([(b"range", b"Bytes=2-4")], 206, b"234", "bytes 2-4/10"),
        ([(b"range", b"bytes=0-1\r\nX-Mine: 1")], 200, b"0123456789", None),
        ([(b"range", b"bytes=0-1"), (b"if-range", b'"v0"')], 200, b"0123456789", None),
        ([(b"range", b"bytes=0-1"), (b"if-range", b'"v1"')], 206, b"01", "bytes 0-1/10"),
        ([(b"if-none-match", b'"v1"')], 304, b"", None),
        ([(b"if-none-match", b'"v0"')], 200, b"0123456789", None),
        ([(b"if-match", b'"v0"')], 412, b"", None),
    ],
)
def test_66_conditions(
    headers: list[tuple[bytes, bytes]], status: int, body: bytes | None, content_range: str | None
) -> None:
    async def test() -> None:
        app = coalescer(tagged)
        for _ in range(2):  # the first time, and from memory
            reply = await ask(app, PART, b"", *headers)
            assert (reply.status, reply.header("content-range")) == (status, content_range)
            if body is not None:
                assert reply.body == body
            if status not in (304, 412):
                assert reply.header("content-length") == str(len(reply.body))
            for name, value in reply.rows:
                assert b"\r" not in name + value
                assert b"\n" not in name + value
        assert app.calls == 1

    run(test())


# --- requests that are passed on -----------------------------------------------------------------


def test_a_body_is_passed_on_whole() -> None:
    flask = Flask("echo")
    flask.add_url_rule("/echo", view_func=lambda: request.get_data(), methods=["POST"])

    async def test() -> None:
        scope = scope_of("/echo", headers=[(b"transfer-encoding", b"chunked")], method="POST")
        reply = await ask_with(coalescer(flask.wsgi_app), scope, b"one ", b"two ", b"three")
        assert (reply.status, reply.body) == (200, b"one two three")

    run(test())


@pytest.mark.parametrize("header", [(b"content-length", b"5000"), (b"transfer-encoding", b"c")])
def test_a_body_that_is_too_long_is_refused_by_the_application(header: tuple[bytes, bytes]) -> None:
    flask = Flask("echo")
    flask.config["MAX_CONTENT_LENGTH"] = 1000
    flask.add_url_rule("/echo", view_func=lambda: request.get_data(), methods=["POST"])

    async def test() -> None:
        scope = scope_of("/echo", headers=[header], method="POST")
        reply = await ask_with(coalescer(flask.wsgi_app), scope, *[bytes(100)] * 50)
        assert reply.status == 413

    run(test())


def test_a_body_that_does_not_come_takes_no_thread() -> None:
    held = Held()

    async def nothing_comes() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def test() -> None:
        reply = Reply()
        scope = scope_of("/echo", headers=[(b"content-length", b"5")], method="POST")
        await coalescer(held.flask.wsgi_app)(scope, nothing_comes, reply.take)
        assert reply.status == 408
        assert not held.seen

    run(test())


def test_an_endless_answer_goes_out_as_it_comes_and_ends_with_its_client() -> None:
    closed = threading.Event()

    def endless(_environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/event-stream")])
        try:
            while True:
                yield b"event\n"
        finally:
            closed.set()

    async def test() -> None:
        app, reply, third = coalescer(endless), Reply(), asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            await reply.take(message)
            if len(reply.pieces) == 3:
                third.set()
                await asyncio.Event().wait()  # a client that reads no more

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        client = asyncio.ensure_future(app(scope_of("/events"), receive, send))
        await third.wait()
        client.cancel()
        await asyncio.wait([client])
        assert await asyncio.to_thread(closed.wait, LONGEST), "its thread waits for ever"

    run(test())


def test_a_long_answer_goes_out_in_pieces() -> None:
    held = Held()
    held.body = "x" * 200_000

    async def test() -> None:
        app = coalescer(held.flask.wsgi_app)
        reply = await ask(app, PART)
        assert reply.body == held.body.encode()
        assert max(map(len, reply.pieces)) <= PIECE_BYTES

    run(test())


# --- the same as Flask alone ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def flask_app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    root = tmp_path_factory.mktemp("media")
    folder = root / "live" / "demo" / "v0"
    folder.mkdir(parents=True)
    (root / "run").mkdir()
    golden = Path(__file__).parent.parent / "golden" / "playlists" / "steady_video.m3u8"
    (folder / "media.m3u8").write_text(golden.read_text())
    (folder / "abc-1.m4s").write_bytes(bytes(range(256)) * 1000)
    (root / "live" / "demo" / "index.m3u8").write_text("#EXTM3U\n")
    return create_app(Settings(), root)


BOTH = [
    ("GET", "/live/demo/index.m3u8", ""),
    ("GET", "/live/demo/v0/media.m3u8", ""),
    ("GET", "/live/demo/v0/media.m3u8", "_HLS_msn=1"),
    ("GET", "/live/demo/v0/media.m3u8", "_HLS_msn=999999999999999999999999"),
    ("GET", "/live/demo/v0/media.m3u8", "_HLS_msn=99999"),
    ("GET", "/live/demo/v0/media.m3u8", "_HLS_part=1"),
    ("GET", "/live/demo/v0/media.m3u8", "_HLS_msn=-1&_HLS_part=x"),
    ("GET", "/live/demo/v0/media.m3u8", "junk=%0d%0aX-Mine:1"),
    ("HEAD", "/live/demo/v0/media.m3u8", "_HLS_msn=1"),
    ("OPTIONS", "/live/demo/v0/media.m3u8", ""),
    ("POST", "/live/demo/v0/media.m3u8", ""),
    ("GET", "/live/demo/v0/abc-1.m4s", ""),
    ("HEAD", "/live/demo/v0/abc-1.m4s", ""),
    ("GET", "/live/demo/v0/abc-2.m4s", ""),
    ("GET", "/live/demo/v0/nothing", ""),
    ("GET", "/live/nobody/v0/media.m3u8", ""),
    ("GET", "/live/%2e%2e/%2e%2e/etc/passwd", ""),
    ("GET", "/live//demo/index.m3u8", ""),
    ("GET", "/live/demo/v0/%0d%0aX-Mine:1", ""),
    ("GET", "/" + "x" * 4000, ""),
    ("GET", "/", ""),
    ("GET", "/healthz", ""),
    ("GET", "/api/streams/nobody", ""),
]
SAME = (
    "content-type",
    "content-length",
    "content-range",
    "cache-control",
    "vary",
    "location",
    "retry-after",
)
CORS = ("access-control-allow-origin", "access-control-expose-headers")


@pytest.mark.parametrize(
    "range_", [None, "bytes=5-9", "bytes=-1", "bytes=999999-", "x", "bytes=9-5", "bytes=0-1,3-4"]
)
@pytest.mark.parametrize(("method", "path", "query"), BOTH)
def test_both_ways_the_same(
    flask_app: Flask, method: str, path: str, query: str, range_: str | None
) -> None:
    headers = {"Range": range_} if range_ else {}
    alone = flask_app.test_client().open(
        path, method=method, query_string=query, headers=headers, base_url="http://localhost"
    )

    async def test() -> None:
        sent = [
            (b"host", b"localhost"),
            *((k.lower().encode(), v.encode()) for k, v in headers.items()),
        ]
        scope = scope_of(path, query.encode(), sent, method)
        reply = await ask_with(coalescer(flask_app.wsgi_app), scope)
        assert reply.status == alone.status_code
        assert reply.body == alone.data
        for name in SAME + CORS:
            assert reply.header(name) == alone.headers.get(name), name

    run(test())
