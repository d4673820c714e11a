"""Events over HTTP: with a thread each under gthread, without any under the asgi worker."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from config import Settings
from journal import KEPT_EVENTS, Journal
from server import events, events_asgi
from server.app import create_app
from server.asgi import Message
from server.coalescer import Coalescer

URL = "/api/streams/demo/events"
LONGEST = 10.0
Told = tuple[int, str, dict[str, Any]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("live", "run"):
        (tmp_path / name).mkdir()
    figures = {"id": "demo", "state": "live", "encoder": "libx264", "msn": 7}
    (tmp_path / "run/demo.json").write_text(json.dumps(figures))
    return tmp_path


@pytest.fixture
def journal(root: Path) -> Journal:
    return Journal(root / "run/demo.events")


def forget(root: Path) -> None:
    """The stream goes, as the supervisor has it go."""
    (root / "run/demo.json").unlink()
    Journal(root / "run/demo.events").remove()


def parsed(text: bytes) -> list[Told]:
    """As an EventSource reads it."""
    told = []
    for block in text.decode().split("\n\n"):
        rows = dict(row.split(": ", 1) for row in block.split("\n") if ": " in row)
        if "data" in rows:
            told.append((int(rows["id"]), rows["event"], json.loads(rows["data"])))
    return told


def kinds(told: list[Told]) -> list[str]:
    return [kind for _id, kind, _facts in told]


# --- under gthread -------------------------------------------------------------------------------


def client(root: Path, **settings: Any) -> FlaskClient:
    return create_app(Settings(web_worker="gthread", **settings), root).test_client()


def read(chunks: Iterator[bytes], count: int) -> list[Told]:
    """As many events, in a thread that the test waits for no longer than it should."""
    told: list[Told] = []

    def read_on() -> None:
        while len(told) < count:
            told.extend(parsed(next(chunks)))

    thread = threading.Thread(target=read_on, daemon=True)
    thread.start()
    thread.join(LONGEST)
    assert len(told) == count, told
    return told


def test_a_listener_hears_how_things_stand_and_what_happens(root: Path, journal: Journal) -> None:
    journal.add("state", state="live")
    answer = client(root).get(URL)
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    chunks = answer.iter_encoded()
    ((first_id, kind, facts),) = read(chunks, 1)
    assert (kind, facts) == ("now", {"state": "live", "encoder": "libx264", "msn": 7})
    assert first_id == journal.after(0)[-1].id, "who comes back goes on from here"
    threading.Timer(0.1, lambda: journal.add("speech_started", utterance="u1")).start()
    ((_, kind, facts),) = read(chunks, 1)
    assert (kind, facts["utterance"]) == ("speech_started", "u1")
    answer.close()


@pytest.mark.parametrize("by", ["header", "query"])
def test_who_comes_back_misses_nothing(root: Path, journal: Journal, by: str) -> None:
    for number in range(4):
        journal.add("mark", mark=number)
    last = str(journal.after(0)[1].id)
    asking = client(root)
    answer = (
        asking.get(URL, headers={"Last-Event-ID": last})
        if by == "header"
        else asking.get(URL, query_string={"after": last})
    )
    told = read(answer.iter_encoded(), 3)
    assert kinds(told) == ["now", "mark", "mark"]
    assert [facts["mark"] for _, _, facts in told[1:]] == [2, 3]
    answer.close()


def test_who_comes_back_too_late_is_told_so(root: Path, journal: Journal) -> None:
    journal.add("mark", mark=-1)
    last = str(journal.after(0)[0].id)
    for number in range(KEPT_EVENTS + 1):
        journal.add("mark", mark=number)
    answer = client(root).get(URL, headers={"Last-Event-ID": last})
    told = read(answer.iter_encoded(), KEPT_EVENTS + 2)
    assert kinds(told)[:3] == ["now", "missed", "mark"]
    answer.close()


def test_silence_is_filled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    answer = client(root).get(URL)
    chunks = answer.iter_encoded()
    next(chunks)
    assert next(chunks) == events.HEARTBEAT
    answer.close()


def test_the_end_of_the_stream_ends_the_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    answer = client(root).get(URL)
    chunks = answer.iter_encoded()
    next(chunks)
    forget(root)
    assert set(chunks) <= {events.HEARTBEAT}


def test_listeners_take_no_more_than_a_quarter_of_the_threads(root: Path) -> None:
    asking = client(root, web_threads=8)
    answers = [asking.get(URL) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert answers[2].headers["Retry-After"] == "5"
    answers[0].close()
    again = asking.get(URL)
    assert again.status_code == 200
    for answer in (answers[1], again):
        answer.close()


@pytest.mark.parametrize("last", ["-1", "abc", "1" * 19, "١"])
def test_an_id_that_is_none(root: Path, last: str) -> None:
    refused = client(root).get(URL, query_string={"after": last})
    assert refused.status_code == 400


def test_a_stream_that_is_not_there(root: Path) -> None:
    assert client(root).get("/api/streams/nobody/events").status_code == 404


# --- under the asgi worker -----------------------------------------------------------------------


class Listener:
    """One client of the ASGI application."""

    def __init__(self, app: Coalescer, path: str = URL, **headers: str) -> None:
        self.status = 0
        self.told: list[Told] = []
        self.heartbeats = 0
        self._gone = asyncio.Event()
        self._asked = False
        rows = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": rows,
            "http_version": "1.1",
        }
        self.answer = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.heartbeats += message["body"] == events.HEARTBEAT
        self.told += parsed(message["body"]) if self.status == 200 else []

    def leave(self) -> None:
        self._gone.set()

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            await asyncio.sleep(0.002)


Scene = Callable[[Coalescer], Awaitable[None]]


def play(root: Path, scene: Scene, **settings: Any) -> None:
    async def body() -> None:
        flask = create_app(Settings(**settings), root)
        app = Coalescer(flask.wsgi_app, threads=8, body_bytes=1000, media_root=root)
        await asyncio.wait_for(scene(app), LONGEST)

    asyncio.run(body())


def test_many_listeners_hold_no_thread(root: Path, journal: Journal) -> None:
    async def scene(app: Coalescer) -> None:
        before = threading.active_count()
        listeners = [Listener(app) for _ in range(60)]
        for each in listeners:
            await each.until(lambda each=each: each.told)  # type: ignore[misc]
        threads = threading.active_count() - before
        await asyncio.to_thread(journal.add, "speech_started", utterance="u1")
        for each in listeners:
            await each.until(lambda each=each: len(each.told) == 2)  # type: ignore[misc]
            assert kinds(each.told) == ["now", "speech_started"]
            each.leave()
        await asyncio.gather(*(each.answer for each in listeners))
        assert threads < 12, "one thread each"

    play(root, scene)


def test_each_event_comes_once(root: Path, journal: Journal) -> None:
    async def scene(app: Coalescer) -> None:
        listener = Listener(app)
        for number in range(1, 4):
            await listener.until(lambda number=number: len(listener.told) == number)  # type: ignore[misc]
            await asyncio.to_thread(journal.add, "mark", mark=number)
        await listener.until(lambda: len(listener.told) >= 4)
        assert [facts.get("mark") for _, _, facts in listener.told] == [None, 1, 2, 3]
        listener.leave()
        await listener.answer

    play(root, scene)


def test_it_goes_on_after_the_last_event_that_was_heard(root: Path, journal: Journal) -> None:
    for number in range(3):
        journal.add("mark", mark=number)

    async def scene(app: Coalescer) -> None:
        listener = Listener(app, last_event_id=str(journal.after(0)[0].id))
        await listener.until(lambda: len(listener.told) == 3)
        assert [facts.get("mark") for _, _, facts in listener.told] == [None, 1, 2]
        listener.leave()
        await listener.answer

    play(root, scene)


def test_a_listener_is_kept_awake_and_leaves_nothing_behind(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_asgi, "HEARTBEAT_SECONDS", 0.02)

    async def scene(app: Coalescer) -> None:
        listener = Listener(app)
        await listener.until(lambda: listener.heartbeats > 2)
        listener.leave()
        await listener.answer
        assert app._events
        assert app._events._listeners == 0
        assert app._events._watch._inotify is None
        assert not app._events._watch._waiters

    play(root, scene)


def test_a_client_whose_connection_breaks_leaves_nothing_behind(root: Path) -> None:
    async def scene(app: Coalescer) -> None:
        listener = Listener(app)
        await listener.until(lambda: bool(listener.told))
        listener.answer.cancel()  # as gunicorn does
        with pytest.raises(asyncio.CancelledError):
            await listener.answer
        assert app._events
        assert app._events._listeners == 0
        assert app._events._watch._inotify is None

    play(root, scene)


def test_a_stream_that_goes_ends_its_answers_at_once(root: Path, journal: Journal) -> None:
    journal.add("state", state="ended")

    async def scene(app: Coalescer) -> None:
        listener = Listener(app)
        await listener.until(lambda: bool(listener.told))
        await asyncio.to_thread(forget, root)
        await listener.answer

    play(root, scene)


def test_a_process_that_ends_lets_its_listeners_go(root: Path) -> None:
    async def scene(app: Coalescer) -> None:
        listener = Listener(app)
        await listener.until(lambda: bool(listener.told))
        app.close()
        await listener.answer
        late = Listener(app)
        await late.answer
        assert late.status == 503

    play(root, scene)


def test_there_is_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_asgi, "LISTENERS_AT_ONCE", 2)

    async def scene(app: Coalescer) -> None:
        two = [Listener(app) for _ in range(2)]
        for each in two:
            await each.until(lambda each=each: each.told)  # type: ignore[misc]
        third = Listener(app)
        await third.answer
        assert third.status == 503
        for each in two:
            each.leave()
            await each.answer

    play(root, scene)


def test_the_applications_own_refusals_come_through(root: Path) -> None:
    async def scene(app: Coalescer) -> None:
        for path, status in ((URL, 401), ("/api/streams/nobody/events", 401)):
            listener = Listener(app, path)
            await listener.answer
            assert listener.status == status
        good = Listener(app, authorization="Bearer secret-secret-secret")
        await good.until(lambda: bool(good.told))
        good.leave()
        await good.answer
        bad = Listener(app, authorization="Bearer secret-secret-secret", last_event_id="x")
        await bad.answer
        assert bad.status == 400

    play(root, scene, api_token="secret-secret-secret")
