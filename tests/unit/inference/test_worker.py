from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import rawmedia
from config import Settings
from inference.heart import Heart
from inference.presenter import Talker
from inference.source import Source, make_source
from inference.worker import BadJob, Ended, Job, Stop, Worker
from rawmedia import Disconnected, MediaFormat, SlotMemory

SMALL = Settings(width=64, height=64)
SLOTS = 3


class FakeEncoder:
    """The other end of the raw-media socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._listener.settimeout(20)

    def accept(self, refuse: str = "") -> tuple[socket.socket, SlotMemory | None, MediaFormat]:
        connection, _address = self._listener.accept()
        connection.settimeout(20)
        media = rawmedia.parse_hello(connection.recv(rawmedia.MAX_HELLO_BYTES))
        if refuse:
            connection.sendall(rawmedia.encode_line({"ok": False, "error": refuse}))
            connection.close()
            return connection, None, media
        memory, fd = SlotMemory.create(media, SLOTS)
        reply = rawmedia.encode_line({"ok": True, "slots": SLOTS})
        socket.send_fds(connection, [reply], [fd])
        os.close(fd)
        return connection, memory, media

    def close(self) -> None:
        self._listener.close()
        with suppress(FileNotFoundError):
            self.path.unlink()


@pytest.fixture
def encoder(tmp_path: Path) -> Iterator[FakeEncoder]:
    fake = FakeEncoder(tmp_path / "raw.sock")
    yield fake
    fake.close()


@contextmanager
def worker(settings: Settings, job: bytes) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "inference"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | settings.to_environment(),
    )
    assert child.stdin
    try:
        child.stdin.write(job)
        child.stdin.flush()
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stderr):
            if pipe:
                pipe.close()


def job_for(path: Path) -> bytes:
    return json.dumps({"socket": str(path), "id": "demo"}).encode() + b"\n"


def ready(child: subprocess.Popen[bytes]) -> None:
    """Wait until its source is made."""
    assert child.stderr
    assert json.loads(child.stderr.readline())["event"] == "source_ready"


def ended(child: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for the end; (status, what it wrote)."""
    assert child.stderr
    text = child.stderr.read().decode()
    return child.wait(20), text


BARE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("ready", flush=True)
signal.pause()
"""


@contextmanager
def promptly(seconds: float) -> Iterator[None]:
    """The block takes no longer than so, beside what a bare Python needs to end here and now."""
    with subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE) as bare:
        assert bare.stdout
        bare.stdout.readline()
        began = time.monotonic()
        bare.terminate()
        bare.wait(20)
    needed, began = time.monotonic() - began, time.monotonic()
    yield
    assert time.monotonic() - began < seconds + 10 * needed, needed


def test_units_come_and_back_pressure_holds(encoder: FakeEncoder) -> None:
    with worker(SMALL, job_for(encoder.path)):
        connection, memory, media = encoder.accept()
        assert memory
        assert media == MediaFormat(64, 64, 25)
        first = [connection.recv(1)[0] for _ in range(SLOTS)]
        assert sorted(first) == [0, 1, 2]
        assert memory.frame(first[0]).std() > 10
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)  # every slot is ours: it waits
        connection.sendall(bytes((first[1],)))
        connection.settimeout(20)
        assert connection.recv(1)[0] == first[1]


def test_the_end_of_stdin_ends_it_at_once(encoder: FakeEncoder) -> None:
    with worker(SMALL, job_for(encoder.path)) as child:
        connection, _memory, _media = encoder.accept()
        connection.recv(1)
        assert child.stdin
        with promptly(1.0):
            child.stdin.close()
            status, text = ended(child)
    assert status == 0, "nobody had to kill it"
    assert '"reason": "parent_gone"' in text


def test_sigterm_ends_it_well_and_sigint_is_not_for_it(encoder: FakeEncoder) -> None:
    with worker(SMALL, job_for(encoder.path)) as child:
        connection, _memory, _media = encoder.accept()
        connection.recv(1)
        child.send_signal(signal.SIGINT)
        connection.sendall(b"\0")
        connection.recv(1)
        assert child.poll() is None
        with promptly(0.8):
            child.terminate()
            status, text = ended(child)
    assert status == 0, "nobody had to kill it"
    assert '"reason": "terminated"' in text
    assert "Traceback" not in text


def test_sigterm_while_no_encoder_is_there(tmp_path: Path) -> None:
    with worker(SMALL, job_for(tmp_path / "nobody.sock")) as child:
        ready(child)
        with promptly(0.8):
            child.terminate()
            status, text = ended(child)
    assert status == 0, "nobody had to kill it"
    assert '"reason": "terminated"' in text


def test_it_waits_for_a_socket_that_comes_late(tmp_path: Path) -> None:
    path = tmp_path / "late.sock"
    with worker(SMALL, job_for(path)) as child:
        ready(child)
        encoder = FakeEncoder(path)
        connection, _memory, _media = encoder.accept()
        assert connection.recv(1)
        encoder.close()


def test_it_comes_back_to_a_restarted_encoder(encoder: FakeEncoder) -> None:
    with worker(SMALL, job_for(encoder.path)) as child:
        for _ in range(2):
            connection, _memory, _media = encoder.accept()
            assert connection.recv(1)
            connection.close()
        connection, _memory, _media = encoder.accept()
        assert connection.recv(1)
        assert child.poll() is None


def test_a_refusal_is_logged_and_borne(encoder: FakeEncoder) -> None:
    with worker(SMALL, job_for(encoder.path)) as child:
        ready(child)
        encoder.accept(refuse="this stream has another source")
        assert child.stderr
        line = child.stderr.readline().decode()
        told = json.loads(line)
        assert told["event"] == "encoder_refused"
        assert told["reason"] == "this stream has another source"
        assert child.poll() is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"audio": "/nonexistent.wav"}, "/nonexistent.wav: cannot be read: No such file"),
        ({"image": "/nonexistent.png"}, "/nonexistent.png: cannot be read: No such file"),
        ({"source": "tv"}, "source is 'tv': choose avatar"),
        ({"fps": 23}, "fps 23 does not divide"),
    ],
)
def test_bad_settings_are_one_line_and_status_2(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    given: dict[str, object] = {"width": 64, "height": 64} | change
    settings = Settings(**given)  # type: ignore[arg-type]
    with worker(settings, job_for(tmp_path / "raw.sock")) as child:
        status, text = ended(child)
    assert status == 2
    assert text.startswith("lipstream: ")
    assert text.count("\n") == 1
    assert words in text


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[]\n", b'{"id": "demo"}\n', b'{"socket": 5, "id": 1}\n']
)
def test_a_line_that_is_no_job(line: bytes) -> None:
    with pytest.raises(BadJob, match="give one line"):
        Job.parse(line)


def test_a_parent_gone_before_the_job(tmp_path: Path) -> None:
    with worker(SMALL, b"") as child:
        assert child.stdin
        child.stdin.close()
        assert ended(child) == (0, "")


class Thread:
    """A worker in a thread of this process."""

    def __init__(self, path: Path, settings: Settings = SMALL) -> None:
        self.stop, self.ready = Stop(), threading.Event()
        self.ended: list[Ended] = []
        self._worker = Worker(settings, Job(path, "demo"))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.ended.append(self._worker.run(self.stop, Heart(), self.ready.set))

    def end(self) -> Ended:
        self._thread.join(20)
        (ended,) = self.ended
        return ended


def test_it_stops_while_no_encoder_is_there(tmp_path: Path) -> None:
    thread = Thread(tmp_path / "nobody.sock")
    assert thread.ready.wait(20)
    thread.stop.wish()
    assert thread.end() == Ended(0)


def test_it_stops_while_the_encoder_holds_every_slot(encoder: FakeEncoder) -> None:
    before = listeners()
    thread = Thread(encoder.path)
    connection, _memory, _media = encoder.accept()
    assert listeners() - before
    for _ in range(SLOTS):
        connection.recv(1)  # and none is given back
    thread.stop.wish()
    assert thread.end() == Ended(0)
    assert connection.recv(1) == b"", "it hung up"
    assert not listeners() - before, "nobody listens for it any more"


def test_a_wish_before_the_beginning_is_heard(encoder: FakeEncoder) -> None:
    thread = Thread(encoder.path)
    thread.stop.wish()
    assert thread.end() == Ended(0)


def test_a_wish_while_it_connects_is_heard(encoder: FakeEncoder) -> None:
    """Between the greeting and the first wait nobody looks."""
    stop = Stop()
    connected = threading.Event()

    def accept() -> None:
        encoder.accept()
        connected.set()

    threading.Thread(target=accept, daemon=True).start()
    with rawmedia.connect(encoder.path, MediaFormat(64, 64, 25)) as producer:
        assert connected.wait(20)
        stop.wish()
        with stop.ends(producer):
            for _ in range(SLOTS):
                producer.wait()
                producer._free.pop()
            with pytest.raises(Disconnected):
                producer.wait()


def test_a_face_hears_whether_its_encoder_is_overloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Talker] = []

    def make(*given: Any, **more: Any) -> Source:
        source = make_source(*given, **more)
        assert isinstance(source, Talker)
        made.append(source)
        return source

    monkeypatch.setattr("inference.worker.make_source", make)
    thread = Thread(tmp_path / "demo.sock")
    assert thread.ready.wait(20)
    (face,), figures = made, tmp_path / "demo.json"
    assert not face.watch.ask_overloaded(), "nobody tells yet"
    for told, wanted in (
        ('{"state": "live", "overloaded": true}', True),
        ('{"state": "live", "overloaded": false}', False),
        ('{"state": "blocked"}', False),
        ("[", False),
    ):
        figures.write_text(told)
        assert face.watch.ask_overloaded() is wanted, told
    thread.stop.wish()
    assert thread.end() == Ended(0)


def test_bad_settings_are_told(tmp_path: Path) -> None:
    ended = Thread(tmp_path / "raw.sock", Settings(image="/nonexistent.png")).end()
    assert ended.status == 2
    assert ended.words.startswith("lipstream: /nonexistent.png: cannot be read")


def listeners() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "speech"}
