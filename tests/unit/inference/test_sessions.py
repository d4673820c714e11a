"""Many sessions in one process: how they are opened, told of, closed, and how one fails alone."""

from __future__ import annotations

import io
import json
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import logs
from config import ConfigError, Settings
from inference import lifeline
from inference.engines.errors import NetworkFailed, NetworkUnusable
from inference.errors import InferenceError
from inference.heart import LONGEST_WORK_SECONDS, Heart
from inference.sessions import Sessions
from inference.worker import BAD_INPUT, Ended, Job, Stop

pytestmark = pytest.mark.usefixtures("loggers_as_before")

NOW = 1000.0
WAIT_SECONDS = 20.0


class Fake:
    """A worker that does as it is told: one step, then it waits for the next."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.begun = threading.Event()
        self.steps: list[Callable[[], Ended | None]] = []
        self._more = threading.Semaphore(0)
        self.stop: Stop
        self.heart: Heart
        self.ready: Callable[[], None]

    def then(self, step: Callable[[], Ended | None]) -> None:
        self.steps.append(step)
        self._more.release()

    def run(self, stop: Stop, heart: Heart, ready: Callable[[], None]) -> Ended:
        self.stop, self.heart, self.ready = stop, heart, ready
        self.begun.set()
        while True:
            while not self._more.acquire(timeout=0.01):
                if stop.is_wished:
                    return Ended(0)
            ended = self.steps.pop(0)()
            if ended is not None:
                return ended


class Process:
    """The sessions of one, without the process."""

    def __init__(self) -> None:
        self.fakes: dict[str, Fake] = {}
        self.lines: list[dict[str, Any]] = []
        self.engine_works = True
        self.news = threading.Condition()
        self.sessions = Sessions(self._make, lambda: self.engine_works, self._take)

    def _make(self, job: Job) -> Fake:
        if (job.settings or {}).get("LIPSTREAM_FPS") == "none":
            raise ConfigError("LIPSTREAM_FPS is 'none'")
        fake = Fake(job)
        with self.news:
            self.fakes[job.id] = fake
            self.news.notify_all()
        return fake

    def _take(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        with self.news:
            self.lines.append(json.loads(line))
            self.news.notify_all()

    def open(self, number: int, name: str, **settings: str) -> None:
        line = {"open": number, "socket": f"/x/{name}.sock", "id": name, "settings": settings}
        self.sessions.obey(json.dumps(line).encode() + b"\n")

    def opened(self, number: int, name: str) -> Fake:
        """One that has begun and is ready."""
        self.open(number, name)
        with self.news:
            assert self.news.wait_for(lambda: name in self.fakes, WAIT_SECONDS)
        fake = self.fakes[name]
        assert fake.begun.wait(WAIT_SECONDS)
        fake.ready()
        return fake

    def close(self, number: int) -> None:
        self.sessions.obey(json.dumps({"close": number}).encode() + b"\n")

    def told(self, now: float = NOW) -> dict[str, Any]:
        """What a beat says."""
        self.sessions.beat(now)
        return self.lines[-1]

    def end_of(self, number: int) -> dict[str, Any]:
        """As it is told when it has ended."""

        def is_told() -> bool:
            return bool(self.lines) and str(number) in self.lines[-1]["ended"]

        with self.news:
            assert self.news.wait_for(is_told, WAIT_SECONDS)
            end: dict[str, Any] = self.lines[-1]["ended"][str(number)]
            return end


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    for number in range(1, 10):
        made.close(number)
    for thread in threading.enumerate():
        if thread.name.startswith("session "):
            thread.join(WAIT_SECONDS)


def test_each_is_well_once_it_is_loaded(process: Process) -> None:
    process.open(1, "slow")
    process.opened(2, "quick")
    assert process.told() == {"well": [2], "ended": {}}
    with process.news:
        assert process.news.wait_for(lambda: "slow" in process.fakes, WAIT_SECONDS)
    slow = process.fakes["slow"]
    assert slow.begun.wait(WAIT_SECONDS)
    slow.ready()
    assert process.told()["well"] == [1, 2]


def test_it_is_given_its_own_settings(process: Process) -> None:
    process.open(1, "one", **Settings(seed=7).to_environment())
    with process.news:
        assert process.news.wait_for(lambda: "one" in process.fakes, WAIT_SECONDS)
    job = process.fakes["one"].job
    assert (job.settings or {})["LIPSTREAM_SEED"] == "7"
    assert str(job.socket) == "/x/one.sock"


def test_one_that_is_closed_ends_and_is_told_of_until_that_is_known(process: Process) -> None:
    process.opened(1, "one")
    process.opened(2, "two")
    process.close(1)
    assert process.end_of(1) == {"status": 0, "said": []}
    assert process.told() == {"well": [2], "ended": {"1": {"status": 0, "said": []}}}, "again"
    process.close(1)
    assert process.told() == {"well": [2], "ended": {}}
    process.close(1)  # a line that comes twice does no harm


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InferenceError("the camera is gone"), "lipstream: the camera is gone"),
        (ZeroDivisionError("division by zero"), "lipstream: it crashed: ZeroDivisionError"),
    ],
)
def test_one_that_fails_ends_alone(
    process: Process, error: Exception, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, _two = process.opened(1, "one"), process.opened(2, "two")

    def fail() -> Ended:
        if isinstance(error, InferenceError):  # which a worker knows
            return Ended.of(1, error)
        raise error

    one.then(fail)
    end = process.end_of(1)
    assert end["status"] == 1
    (said,) = end["said"]
    assert said.startswith(words)
    assert process.told()["well"] == [2]
    crashes = [record for record in caplog.records if record.message == "crashed"]
    assert len(crashes) == (not isinstance(error, InferenceError)), "its traceback is in the log"


class Face:
    """Holds itself, as what a worker makes does."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("crashes", [False, True])
def test_what_it_held_is_gone_when_its_end_is_told(process: Process, *, crashes: bool) -> None:
    logs.configure("json", io.StringIO())  # that of the tests keeps tracebacks
    held: list[weakref.ref[Face]] = []

    def work() -> Ended:
        face = Face()
        held.append(weakref.ref(face))
        if crashes:
            raise ValueError(face.itself)
        return Ended.of(1, InferenceError("it cannot go on"))

    process.opened(1, "one").then(work)
    process.end_of(1)
    assert held[0]() is None


def test_settings_that_cannot_be_are_its_end(process: Process) -> None:
    process.open(1, "one", LIPSTREAM_FPS="none")
    assert process.end_of(1) == {
        "status": BAD_INPUT,
        "said": ["lipstream: LIPSTREAM_FPS is 'none'"],
    }


def test_one_that_is_at_work_for_too_long_is_not_well(process: Process) -> None:
    hung = process.opened(1, "hung")
    process.opened(2, "two")
    hung.heart._working_since = NOW
    assert process.told(NOW + LONGEST_WORK_SECONDS - 0.1)["well"] == [1, 2]
    assert process.told(NOW + LONGEST_WORK_SECONDS)["well"] == [2]


def test_a_process_whose_engine_runs_nothing_any_more_ends(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[str, int]] = []
    gone = threading.Event()

    def leave(reason: str, status: int = 0) -> None:
        left.append((reason, status))
        gone.set()

    monkeypatch.setattr(lifeline, "leave", leave)
    failed = Ended.of(1, NetworkFailed("decoder", "no memory left"))
    process.opened(1, "one").then(lambda: failed)
    assert process.end_of(1)["status"] == 1
    assert not left, "others still can work"
    process.engine_works = False
    unusable = Ended.of(BAD_INPUT, NetworkUnusable(Path("x.onnx"), "is none", "fetch it again"))
    process.opened(2, "two").then(lambda: unusable)
    process.end_of(2)
    assert not left, "a file is wrong, not the engine"
    process.opened(3, "three").then(lambda: failed)
    assert gone.wait(WAIT_SECONDS)
    assert left == [("engine_lost", 1)]


def test_lines_of_a_session_say_whose_they_are(process: Process) -> None:
    stream = io.StringIO()
    logs.configure("json", stream)
    log = logging.getLogger(__name__)
    told_all = threading.Event()

    def help_out() -> None:
        log.warning("from a helper")

    def tell() -> None:
        log.warning("from its thread")
        helper = threading.Thread(target=logs.carries(help_out))
        helper.start()
        helper.join()
        told_all.set()

    for fake in (process.opened(1, "one"), process.opened(2, "two")):
        fake.then(tell)
        assert told_all.wait(WAIT_SECONDS)
        told_all.clear()
    log.warning("from the process")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [(line["event"], line.get("stream")) for line in lines]
    assert told == [
        ("from its thread", "one"),
        ("from a helper", "one"),
        ("from its thread", "two"),
        ("from a helper", "two"),
        ("from the process", None),
    ]
