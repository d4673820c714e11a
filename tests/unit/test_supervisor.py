"""Restarts, streams that come and go, and the stop ladder, with small real processes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from encoder.errors import StoreFull
from encoder.media_root import MediaRoot
from server.child import BAD_INPUT, Child
from server.control import Command, send
from server.errors import ProcessGaveUp
from server.exits import Exit
from server.roster import Stream, read_roster
from server.specs import StreamOrder
from server.supervisor import Supervisor
from tests.service import Service

DEMO = StreamOrder("demo", "libx264")
# Plays until it is told to end, then for a while more; deletes nothing.
PLAY = "(folder / 'index.m3u8').touch()\nsys.stdin.readline()\n"


def python(code: str) -> list[str]:
    """A child that knows the folder of its stream."""
    head = "import sys, json, pathlib, time, signal\n"
    head += "folder = pathlib.Path(json.loads(sys.stdin.readline())['folder'])\n"
    return [sys.executable, "-c", head + code]


def stream_of(root: MediaRoot, **codes: str) -> Callable[[StreamOrder], Stream]:
    """Makes streams whose processes run these programs."""

    def make(order: StreamOrder) -> Stream:
        folder = root.live / order.id
        children = [
            Child(
                name,
                python(order.settings.get(name, code)),
                lambda: {"folder": str(folder)},
                stream=order.id,
                last_word=b"end",
            )
            for name, code in codes.items()
        ]
        return Stream(order.id, children, folder / "index.m3u8", bound_bytes=1000)

    return make


def run_until_live(root: MediaRoot, **codes: str) -> Supervisor:
    supervisor = Supervisor(root, [], stream_of(root, **codes), most_streams=2)
    asyncio.run(asyncio.wait_for(supervisor.run(DEMO, supervisor.stop), 20))
    return supervisor


@pytest.fixture
def root(media_root: Path) -> Any:
    with MediaRoot(media_root) as entered:
        yield entered


def test_delays_double_and_are_forgotten_after_a_healthy_minute() -> None:
    failing = Child("x", [], dict)
    failing.began = 100.0
    delays = [failing.next_delay(101.0) for _ in range(10)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert failing.next_delay(161.0) == 0.2


def test_a_process_that_never_stays_is_tried_for_ever() -> None:
    """At one failure in 30 s a float's exponent would end after 8.5 hours."""
    failing = Child("x", [], dict)
    assert {failing.next_delay(1.0) for _ in range(3000)} >= {0.2, 30.0}
    assert failing.next_delay(1.0) == 30.0


@pytest.mark.parametrize(
    ("status", "reason"), [(0, "exit 0"), (3, "exit 3"), (-9, "SIGKILL"), (-63, "signal 63")]
)
def test_why_a_process_ended(status: int, reason: str) -> None:
    assert Exit(status, 0.0, (), ()).reason == reason


def test_a_child_that_ends_is_started_again_with_its_greeting(root: MediaRoot) -> None:
    """The second start makes the file that ends the test."""
    code = (
        "first = folder / 'first'\n"
        "if not first.exists(): first.touch(); print('oh', file=sys.stderr); sys.exit(1)\n" + PLAY
    )
    supervisor = run_until_live(root, encoder=code)
    [child] = supervisor.streams["demo"].children
    assert child.restarts == {"exit 1": 1}
    assert child.running is False


def test_one_that_cannot_be_started_is_tried_again(
    root: MediaRoot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that is replaced, or a machine without a descriptor or process left."""
    program = tmp_path / "program"
    child = Child("x", [str(program)], dict)

    async def story() -> None:
        keeping = asyncio.ensure_future(child.keep(lambda: False, lambda: None))
        await until(lambda: child.restarts["not started"] >= 2)
        assert child.last_exit is not None
        assert "No such file" in child.last_exit.stderr[-1]
        assert not child.over
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
        await until(lambda: child.running)
        await child.end()
        await asyncio.wait_for(keeping, 10)

    asyncio.run(story())
    said = [record.message for record in caplog.records]
    assert said.count("process_unstarted") == child.restarts["not started"]
    assert said.count("process_ended") == child.restarts["not started"]


def test_no_descriptor_is_left_for_a_child(root: MediaRoot) -> None:
    """The supervisor's own: it says so, and starts the child as soon as it can."""
    child = Child("x", python(PLAY), lambda: {"folder": str(root.live)})

    async def story() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            keeping = asyncio.ensure_future(child.keep(lambda: False, lambda: None))
            await until(lambda: child.restarts["not started"] >= 1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: child.running)
        await child.end()
        await asyncio.wait_for(keeping, 10)

    asyncio.run(story())
    assert set(child.restarts) == {"not started"}


def test_what_a_killed_child_had_started_ends_with_it(root: MediaRoot) -> None:
    """An ffmpeg that hangs does not notice that its pipes have ended."""
    code = (
        "import subprocess\n"
        "grandchild = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print(json.dumps({'state': 'live', 'sessions': [grandchild.pid]}), flush=True)\n"
        "time.sleep(60)\n"
    )
    child = Child("x", python(code), lambda: {"folder": str(root.live)}, beats=True)

    async def story() -> None:
        keeping = asyncio.ensure_future(child.keep(lambda: True, lambda: None))
        await until(lambda: bool(child.told))
        (grandchild,) = child.told["sessions"]
        os.kill(grandchild, signal.SIGSTOP)
        assert child.process is not None
        child.process.kill()
        await asyncio.wait_for(keeping, 10)
        await until(lambda: not Service.still_alive([grandchild]))
        assert child.told == {}, "of the dead nothing is told"

    asyncio.run(story())


def test_bad_input_is_not_tried_again(root: MediaRoot) -> None:
    with pytest.raises(ProcessGaveUp) as gave_up:
        run_until_live(root, choosy=f"sys.exit({BAD_INPUT})", other="sys.stdin.read()")
    assert gave_up.value.name == "choosy"
    assert gave_up.value.exit_status == BAD_INPUT


def test_a_start_that_keeps_failing_is_given_up(root: MediaRoot) -> None:
    with pytest.raises(ProcessGaveUp) as gave_up:
        run_until_live(root, broken="sys.exit(7)")
    assert gave_up.value.status == 7


def said_of_processes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.message.startswith("process_")]


def test_a_child_that_ignores_sigterm_is_killed_and_reaped(
    root: MediaRoot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PLAY + "time.sleep(60)\n"
    supervisor = run_until_live(root, stubborn=code)
    [stubborn] = supervisor.streams["demo"].children
    assert stubborn.process is not None
    assert stubborn.process.returncode == -9
    assert said_of_processes(caplog) == ["process_started", "process_killed"]


# --- streams that come and go -------------------------------------------------------------------


@asynccontextmanager
async def running(root: MediaRoot, **codes: str) -> AsyncIterator[Supervisor]:
    """A supervisor without a stream, two at most."""
    supervisor = Supervisor(root, [], stream_of(root, **codes), most_streams=2)
    runs = asyncio.ensure_future(supervisor.run(None, lambda: None))
    while not root.control.exists():
        await asyncio.sleep(0.01)
    try:
        yield supervisor
    finally:
        supervisor.stop()
        await asyncio.wait_for(runs, 10)


async def tell(root: MediaRoot, **command: Any) -> Command:
    return await asyncio.to_thread(send, root.control, command)


async def start(root: MediaRoot, name: str, **settings: str) -> Command:
    order = {"id": name, "encoder": "libx264", "settings": settings}
    return await tell(root, start_stream=order)


def has_failed(supervisor: Supervisor, name: str) -> bool:
    return supervisor.streams[name].has_failed


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.01)


def test_streams_start_and_end_while_others_play(root: MediaRoot) -> None:
    async def story() -> None:
        async with running(root, encoder=PLAY) as supervisor:
            assert (await start(root, "one"))["ok"]
            assert (root.live / "one").is_dir(), "who asks now is held, not refused"
            assert (await start(root, "two"))["ok"]
            playing = (root.live / "two/index.m3u8").exists
            await until(playing)
            assert (await tell(root, end_stream="one"))["ok"]
            await until(lambda: "one" not in supervisor.streams)
            assert not (root.live / "one").exists()
            assert playing()
            assert list(read_roster(root.roster)["streams"]) == ["two"]

    asyncio.run(story())


def test_one_id_one_stream_and_no_more_than_allowed(root: MediaRoot) -> None:
    async def story() -> None:
        async with running(root, encoder=PLAY):
            await start(root, "one")
            assert (await start(root, "one"))["status"] == 409
            await start(root, "two")
            third = await start(root, "three")
            assert third["status"] == 429
            assert "2 streams" in third["error"]
            assert (await tell(root, end_stream="three"))["status"] == 404

    asyncio.run(story())


def test_a_stream_that_cannot_be_says_why_and_can_be_tried_again(root: MediaRoot) -> None:
    async def story() -> None:
        broken = "print('no such photo', file=sys.stderr); sys.exit(2)"
        async with running(root, inference="sys.stdin.read()", encoder=PLAY) as supervisor:
            await start(root, "one", inference=broken)
            await until(lambda: read_roster(root.roster)["streams"]["one"]["state"] == "failed")
            await until(lambda: not supervisor.streams["one"].running)
            told = read_roster(root.roster)["streams"]["one"]
            assert "inference" in told["reason"]
            last = told["processes"][0]["last_exit"]
            assert last["stderr"] == ["no such photo"]
            assert last["reason"] == "exit 2"
            assert (await start(root, "one"))["ok"]
            assert supervisor.streams["one"].running
            await start(root, "two", inference=broken)
            await until(lambda: read_roster(root.roster)["streams"]["two"]["state"] == "failed")
            await tell(root, end_stream="two")
            await until(lambda: "two" not in supervisor.streams)

    asyncio.run(story())


def test_a_stream_that_was_live_is_never_given_up(root: MediaRoot) -> None:
    async def story() -> None:
        once = "(folder / 'index.m3u8').touch()\nsys.exit(7)"
        async with running(root, encoder=once) as supervisor:
            await start(root, "one")
            child = supervisor.streams["one"].children[0]
            await until(lambda: child.failures == 4)
            assert supervisor.streams["one"].state.value == "running"
            await until(lambda: child.restarts["exit 7"] >= 4)

    asyncio.run(story())


def test_what_a_child_says_comes_through(
    root: MediaRoot, capfd: pytest.CaptureFixture[str]
) -> None:
    run_until_live(root, encoder="print('{\"event\": 1}', file=sys.stderr, flush=True)\n" + PLAY)
    assert json.dumps({"event": 1}) in capfd.readouterr().err.splitlines()


def test_the_first_stream_is_deleted_before_it_was_live(root: MediaRoot) -> None:
    """The service is ready all the same: else its manager would kill it."""
    ready: list[bool] = []

    async def story() -> None:
        slow = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nsys.stdin.readline()\n"
        supervisor = Supervisor(root, [], stream_of(root, encoder=slow), most_streams=2)
        runs = asyncio.ensure_future(supervisor.run(DEMO, lambda: ready.append(True)))
        await until(lambda: "demo" in supervisor.streams and root.control.exists())
        assert not ready
        assert (await tell(root, end_stream="demo"))["ok"]
        await until(lambda: bool(ready))
        supervisor.stop()
        await asyncio.wait_for(runs, 10)

    asyncio.run(story())


def test_a_refused_stream_gives_back_what_it_was_lent(
    root: MediaRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = root.run / "two.image"
    made = stream_of(root, encoder=PLAY)

    def lending(order: StreamOrder) -> Stream:
        stream = made(order)
        link.touch()
        stream.lent = (link,)
        return stream

    def full(_bounds: object) -> None:
        raise StoreFull(root.path, "no")

    async def story() -> None:
        async with running(root, encoder=PLAY) as supervisor:
            supervisor._make_stream = lending
            monkeypatch.setattr(root, "check_room", full)
            assert (await start(root, "two"))["status"] == 503
            assert not link.exists()

    asyncio.run(story())


def test_a_failed_stream_holds_neither_room_nor_place(
    root: MediaRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    monkeypatch.setattr(root, "check_room", lambda bounds: asked.append(list(bounds)))

    async def story() -> None:
        async with running(root, encoder=PLAY) as supervisor:
            for name in ("one", "two"):  # as many as there may be
                await start(root, name, encoder="sys.exit(2)")
                await until(partial(has_failed, supervisor, name))
            assert (await start(root, "three"))["ok"]
            assert asked[-1] == [1000], "of itself alone"
            assert list(supervisor.streams) == ["two", "three"], "the first that failed gives way"

    asyncio.run(story())


def test_no_room_is_an_answer_not_an_end(root: MediaRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_bounds: object) -> None:
        raise StoreFull(root.path, "1 byte is free, a stream needs 2")

    async def story() -> None:
        async with running(root, encoder=PLAY) as supervisor:
            await start(root, "one")
            monkeypatch.setattr(root, "check_room", full)
            answer = await start(root, "two")
            assert answer["status"] == 503
            assert "1 byte" in answer["error"]
            assert list(supervisor.streams) == ["one"]

    asyncio.run(story())
