"""Streams that are sessions of one process, whose workers only pretend: who ends, who goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from encoder.media_root import MediaRoot
from server import child as rules
from server.control import send
from server.exits import STUCK
from server.roster import Stream, read_roster
from server.sessions import Session, SharedProcess
from server.specs import StreamOrder
from server.streams import shared_process, stream_maker
from server.supervisor import Supervisor

# The real process, but for what its sessions do: they play, and what their stream's order says.
PROGRAM = """
import pathlib, signal, sys, time
from inference import sessions
from inference.worker import Ended

class Pretends:
    def __init__(self, opening):
        self.does, self.playlist = opening.settings["does"], opening.settings["playlist"]

    def run(self, stop, heart, ready):
        if self.does == "refuse":
            return Ended.of(2, ValueError("no such photo"))
        pathlib.Path(self.playlist).touch()
        if self.does == "fail":
            return Ended.of(1, ValueError("it came to nothing"))
        ready()
        while not stop.is_wished or self.does == "stay":
            time.sleep(0.005)
        return Ended(0)

sys.stdin.buffer.readline()
sessions.serve(Pretends, lambda: True)
"""
SECONDS = 60.0


class Hall:
    """A supervisor with such a process."""

    def __init__(self, root: MediaRoot, supervisor: Supervisor, shared: SharedProcess) -> None:
        self.root, self.supervisor, self.shared = root, supervisor, shared

    async def start(self, name: str, does: str = "play") -> Session:
        order = {"id": name, "encoder": "libx264", "settings": {"does": does}}
        assert (await asyncio.to_thread(send, self.root.control, {"start_stream": order}))["ok"]
        return self.session(name)

    async def play(self, name: str, does: str = "play") -> Session:
        """One that was heard of."""
        session = await self.start(name, does)
        await until(lambda: plays(session))
        return session

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(send, self.root.control, {"end_stream": name})

    def session(self, name: str) -> Session:
        (session,) = self.supervisor.streams[name].children
        assert isinstance(session, Session)
        return session

    def told(self, name: str) -> dict[str, Any]:
        """Of a session, as web processes know it."""
        streams = read_roster(self.root.roster)["streams"]
        (process,) = streams[name]["processes"]
        told: dict[str, Any] = process
        return told


def plays(session: Session) -> bool:
    """Whether its present run was heard of."""
    return session.running and session._heard > 0


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not happened():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def hall(
    root: MediaRoot, *, prewarmed: bool = False, program: list[str] | None = None
) -> AsyncIterator[Hall]:
    shared = SharedProcess(Settings(), prewarmed=prewarmed)
    shared.argv = program or [sys.executable, "-c", PROGRAM]

    def make(order: StreamOrder) -> Stream:
        playlist = root.live / order.id / "index.m3u8"
        settings = {"does": order.settings["does"], "playlist": str(playlist)}
        job = {"socket": str(root.socket(order.id)), "id": order.id, "settings": settings}
        session = Session(shared, order.id, lambda: job, SECONDS)
        return Stream(order.id, [session], playlist, bound_bytes=1000)

    supervisor = Supervisor(root, [], make, most_streams=4, shared=shared)
    runs = asyncio.ensure_future(supervisor.run(None, lambda: None))
    await until(root.control.exists)
    try:
        yield Hall(root, supervisor, shared)
    finally:
        supervisor.stop()
        await asyncio.wait_for(runs, SECONDS)


@pytest.fixture
def root(media_root: Path) -> Any:
    with MediaRoot(media_root) as entered:
        yield entered


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_streams_share_one_process_and_one_ends_alone(
    root: MediaRoot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def story() -> None:
        async with hall(root) as h:
            assert h.shared.pid is None, "nobody needs it yet"
            one, two = await h.play("one"), await h.play("two")
            pid = h.shared.pid
            assert pid is not None
            assert h.told("one")["pid"] == h.told("two")["pid"] == pid
            await h.delete("one")
            await until(lambda: "one" not in h.supervisor.streams)
            assert (one.running, one.pid, one.restarts.total()) == (False, None, 0)
            heard = two._heard
            await until(lambda: two._heard > heard)
            await h.delete("two")
            await until(lambda: not h.supervisor.streams)
            assert h.shared.pid == pid, "it keeps the networks for who comes next"
            again = await h.play("one")
            assert (again.pid, h.shared.restarts.total()) == (pid, 0)

    play(story())
    assert "process_killed" not in [record.message for record in caplog.records]


def test_it_runs_from_the_start_where_it_loads_before_it_is_needed(root: MediaRoot) -> None:
    async def story() -> None:
        async with hall(root, prewarmed=True) as h:
            await until(lambda: h.shared._heard > 0)
            assert h.shared.greeting() == {"prewarm": True}

    play(story())


def test_a_session_that_fails_is_started_again_alone(root: MediaRoot) -> None:
    async def story() -> None:
        async with hall(root) as h:
            other = await h.play("other")
            failing = await h.start("failing", "fail")
            await until(lambda: failing.restarts["exit 1"] >= 2)
            told = h.told("failing")
            assert told["last_exit"]["stderr"] == ["lipstream: it came to nothing"]
            assert told["last_exit"]["reason"] == "exit 1"
            assert other.restarts.total() == h.shared.restarts.total() == 0
            assert h.supervisor.streams["failing"].state.value == "running", "it was live once"

    play(story())


def test_a_session_that_cannot_be_is_the_end_of_its_stream_alone(root: MediaRoot) -> None:
    async def story() -> None:
        async with hall(root) as h:
            other = await h.play("other")
            await h.start("refused", "refuse")
            await until(lambda: h.supervisor.streams["refused"].has_failed)
            told = h.told("refused")
            assert told["last_exit"]["stderr"] == ["lipstream: no such photo"]
            assert (told["pid"], other.running) == (None, True)
            # it can be tried again under its name
            await h.play("refused")

    play(story())


def test_the_process_is_killed_and_all_its_sessions_come_back(root: MediaRoot) -> None:
    async def story() -> None:
        async with hall(root) as h:
            sessions = [await h.play(name) for name in ("one", "two")]
            killed = h.shared.pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            await until(lambda: all(session.restarts["SIGKILL"] == 1 for session in sessions))
            await until(lambda: all(plays(session) for session in sessions))
            assert h.shared.pid not in (None, killed)
            assert {session.restarts.total() for session in sessions} == {1}
            assert {h.told(name)["pid"] for name in ("one", "two")} == {h.shared.pid}

    play(story())


def test_one_that_is_stuck_takes_the_process_with_it(root: MediaRoot) -> None:
    """A thread cannot be ended from outside. How long it may be still: test_beats."""

    async def story() -> None:
        async with hall(root) as h:
            stuck, other = await h.play("stuck"), await h.play("other")
            killed = h.shared.pid
            stuck._kill_stuck(5.0)
            await until(lambda: bool(stuck.restarts.total() and other.restarts.total()))
            assert (stuck.restarts, other.restarts) == ({STUCK: 1}, {"SIGKILL": 1})
            await until(lambda: plays(stuck) and plays(other))
            assert h.shared.pid not in (None, killed)

    play(story())


def test_beats_of_the_process_are_not_those_of_its_sessions(root: MediaRoot) -> None:
    """A session that is not among the well is silent, though its process is not."""

    async def story() -> None:
        shared = SharedProcess(Settings(), prewarmed=False)
        one = Session(shared, "one", dict, 90.0)
        two = Session(shared, "two", dict, 90.0)
        for session in (one, two):
            await session._spawn()
            session.began = 1000.0
        shared.take_beat({"well": [1, 2], "ended": {}}, 1010.0)
        assert (one.silence(1012.0), two.silence(1012.0)) == (None, None)
        shared.take_beat({"well": [2], "ended": {}}, 1012.0)
        assert one.silence(1010.0 + rules.SILENT_SECONDS + 0.5) == rules.SILENT_SECONDS + 0.5
        assert two.silence(1010.0 + rules.SILENT_SECONDS + 0.5) is None
        shared.take_beat({"well": [1, 7], "ended": {"9": {"status": 0, "said": []}}}, 1013.0)
        assert two.running, "numbers of nobody are borne"
        shared.take_beat({"well": [], "ended": {"2": {"status": 1, "said": ["no"]}}}, 1014.0)
        assert (one.running, two.running) == (True, False)

    play(story())


def test_a_process_that_cannot_be_started_is_told_and_tried_again(
    root: MediaRoot, tmp_path: Path
) -> None:
    program = tmp_path / "program"

    async def story() -> None:
        async with hall(root, program=[str(program)]) as h:
            session = await h.start("one")
            await until(lambda: session.restarts["not started"] >= 1)
            assert session.last_exit is not None
            assert "No such file" in session.last_exit.stderr[-1]
            program.write_text(f"#!{sys.executable}\n{PROGRAM}")
            program.chmod(0o755)
            await until(lambda: plays(session))

    play(story())


def test_one_is_deleted_before_the_process_runs() -> None:
    async def story() -> None:
        session = Session(SharedProcess(Settings(), prewarmed=False), "one", dict, SECONDS)
        keeping = asyncio.ensure_future(session.keep(lambda: False, lambda: None))
        await until(lambda: session.running)
        session.say_last_word()
        await asyncio.wait_for(keeping, SECONDS)
        assert (session.over, session.restarts.total()) == (True, 0)

    play(story())


def test_one_that_does_not_end_is_killed_with_the_process(root: MediaRoot) -> None:
    """Where the service ends."""
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"

    async def story() -> None:
        async with hall(root, program=[sys.executable, "-c", deaf + PROGRAM]) as h:
            session = await h.play("one", "stay")
        assert not session.running
        assert h.shared.process is not None
        assert h.shared.process.returncode == -signal.SIGKILL

    play(story())


def test_which_streams_are_sessions(root: MediaRoot, tmp_path: Path) -> None:
    service = Settings(engine="ditto", checkpoint=str(tmp_path), image="face.png")
    shared = shared_process(service)
    assert shared is not None
    assert shared.greeting() == {"prewarm": True}

    def kind(service: Settings, shared: SharedProcess | None, **settings: Any) -> type:
        order = StreamOrder("demo", "libx264", settings)
        return type(stream_maker(service, root, shared)(order).children[0])

    async def story() -> None:
        assert kind(service, shared) is Session
        for other in (
            {"engine": "presenter"},
            {"source": "testcard"},
            {"source": "file:/film.mp4"},
            {"source": "camera:0"},
        ):
            assert kind(service, shared, **other) is rules.Child, other
        assert kind(service, None) is rules.Child

    play(story())
    assert shared_process(Settings(engine="ditto", ditto_process="each")) is None
    presents = shared_process(Settings(engine="presenter", checkpoint=str(tmp_path)))
    assert presents is not None
    assert presents.greeting() == {"prewarm": False}, "but a stream may wish for another engine"


def test_secrets_stay_with_the_service() -> None:
    shared = shared_process(Settings(api_token="a-secret-of-some-length"))
    assert shared is not None
    assert "a-secret-of-some-length" not in str(shared.environment)
