"""`lipstream ingest`: pipes become units; who writes too fast waits; ends are told apart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from encoder.media_root import RUN
from rawmedia import MediaFormat, SlotMemory
from server.errors import IngestFailed
from server.ingest import Writer, parse_fps, parse_size
from tests.unit.inference.test_worker import SLOTS, FakeEncoder

MEDIA = MediaFormat(64, 32, 25, 8_000)
FLAGS = ("--size", "64x32", "--audio-rate", "8000")


class Stream:
    """A stream's end of the socket: takes units when it is let, keeps pictures and sounds."""

    def __init__(self, media_root: Path, media: MediaFormat = MEDIA) -> None:
        (media_root / RUN).mkdir(parents=True, exist_ok=True)
        (media_root / RUN / "demo.json").write_text(f'{{"fps": {media.fps}}}')
        self.fake = FakeEncoder(media_root / RUN / "demo.sock")
        self.shown: list[int] = []
        self.heard: list[int] = []
        self.may_take, self.connected = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        with suppress(OSError):  # nobody came before the end, or who came has gone
            self.link, memory, self.media = self.fake.accept()
            assert memory is not None
            self.connected.set()
            while slots := self.link.recv(1):
                self.may_take.wait(20)
                self._keep(memory, slots[0])
                with suppress(OSError):  # it may have hung up: its units are whole all the same
                    self.link.send(slots)

    def die(self) -> None:
        """As a process that is killed: no listener, no link."""
        self.fake.close()
        self.link.shutdown(socket.SHUT_RDWR)

    def _keep(self, memory: SlotMemory, slot: int) -> None:
        self.shown.append(int(memory.frame(slot)[0, 0, 0]))
        self.heard += memory.samples(slot)[:, 0].tolist()

    def ended(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def stream(media_root: Path) -> Iterator[Stream]:
    stream = Stream(media_root)
    stream.may_take.set()
    yield stream
    stream.fake.close()


@contextmanager
def ingest(
    media_root: Path, *flags: str, pass_fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "server", "ingest", "demo", "--media-root", str(media_root)]
    child = subprocess.Popen(
        [*argv, *flags], stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=pass_fds
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def pictures(count: int) -> bytes:
    return b"".join(bytes([number]) * MEDIA.frame_bytes for number in range(count))


def test_pictures_and_sound_become_units(media_root: Path, stream: Stream, tmp_path: Path) -> None:
    sound = np.arange(10 * MEDIA.samples_per_unit, dtype=np.int16)
    (tmp_path / "sound.raw").write_bytes(sound.tobytes())
    with ingest(media_root, *FLAGS, "--audio", str(tmp_path / "sound.raw")) as child:
        _, told = child.communicate(pictures(12), timeout=20)
    assert child.returncode == 0, told
    assert b"12 pictures" in told
    stream.ended()
    assert stream.media == MEDIA
    assert stream.shown == list(range(12))
    assert stream.heard == [*sound, *[0] * (2 * MEDIA.samples_per_unit)], "then silence"


def test_sound_from_a_descriptor(media_root: Path, stream: Stream) -> None:
    reading, writing = os.pipe()
    flags = (*FLAGS, "--audio-fd", str(reading))
    with ingest(media_root, *flags, pass_fds=(reading,)) as child:
        os.close(reading)
        os.write(writing, np.full(3 * MEDIA.samples_per_unit, 7, np.int16).tobytes())
        os.close(writing)
        child.communicate(pictures(3), timeout=20)
    stream.ended()
    assert (stream.shown, set(stream.heard)) == ([0, 1, 2], {7})


def test_a_writer_faster_than_real_time_waits(media_root: Path) -> None:
    stream = Stream(media_root)
    with ingest(media_root, "--size", "64x32", "--audio-rate", "8000") as child:
        assert child.stdin is not None
        os.set_blocking(child.stdin.fileno(), False)
        written, quiet = 0, 0
        while quiet < 15:
            time.sleep(0.1)
            took = _write(child.stdin.fileno(), bytes(MEDIA.frame_bytes))
            written, quiet = written + took, 0 if took else quiet + 1
            assert written < 600 * MEDIA.frame_bytes, "nobody makes it wait"
        # what the pipe holds, and a unit in each slot
        assert written <= (1 << 20) + (SLOTS + 1) * MEDIA.frame_bytes
        stream.may_take.set()
        os.set_blocking(child.stdin.fileno(), True)
        child.stdin.write(bytes(-written % MEDIA.frame_bytes))
        child.stdin.close()
        assert child.wait(20) == 0
    stream.ended()
    assert len(stream.shown) == -(-written // MEDIA.frame_bytes)
    stream.fake.close()


def _write(fd: int, data: bytes) -> int:
    """All that the pipe takes now."""
    written = 0
    while True:
        try:
            written += os.write(fd, data)
        except BlockingIOError:
            return written


def test_a_model_of_fifteen_is_paced_to_the_streams_rate(media_root: Path, stream: Stream) -> None:
    with ingest(media_root, *FLAGS, "--fps", "15") as child:
        child.communicate(pictures(30), timeout=20)
    stream.ended()
    assert len(stream.shown) == 50, "two seconds are two seconds"
    assert stream.shown == sorted(stream.shown)
    assert set(stream.shown) == set(range(30))


def test_a_writer_that_stops_in_a_picture_is_told_both_sizes(
    media_root: Path, stream: Stream
) -> None:
    with ingest(media_root, *FLAGS) as child:
        _, told = child.communicate(pictures(2) + b"x" * 100, timeout=20)
    assert child.returncode == 2
    assert f"stdin ended 100 bytes into picture 2, which has {MEDIA.frame_bytes} as 64x32" in (
        told.decode()
    )
    stream.ended()
    assert stream.shown == [0, 1], "what was whole is shown"


def test_another_size_is_refused_with_the_streams_word(media_root: Path) -> None:
    (media_root / RUN).mkdir(parents=True)
    fake = FakeEncoder(media_root / RUN / "demo.sock")
    answer = threading.Thread(target=lambda: fake.accept(refuse="this stream takes 640x360"))
    answer.start()
    with ingest(media_root, *FLAGS) as child:
        _, told = child.communicate(timeout=20)
    assert child.returncode == 2
    assert b"this stream takes 640x360" in told
    answer.join(5)
    fake.close()


def test_an_encoder_that_comes_back_is_found(media_root: Path) -> None:
    first = Stream(media_root)
    with ingest(media_root, *FLAGS) as child:
        assert child.stdin is not None
        child.stdin.write(pictures(2))
        child.stdin.flush()
        assert first.connected.wait(20)
        first.die()
        second = Stream(media_root)
        second.may_take.set()
        child.stdin.write(pictures(9)[2 * MEDIA.frame_bytes :])
        child.stdin.close()
        assert child.wait(20) == 0
    second.ended()
    assert second.shown[-3:] == [6, 7, 8]
    assert second.shown == sorted(set(second.shown))
    second.fake.close()


class Api(ThreadingHTTPServer):
    """A service that says the same to everything, in its own time, and remembers all of it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.status = 200
        self.asked: list[str] = []
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Asked(BaseHTTPRequestHandler):
    server: Api

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.is_asked.set()
        self.server.may_answer.wait(20)
        if self.command == "DELETE":
            self.server.may_end.wait(20)
        self.send_response(self.server.status)
        self.end_headers()

    do_POST = do_DELETE = _answer  # noqa: N815 - as http.server calls them

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    yield api
    api.may_answer.set()
    api.may_end.set()
    api.shutdown()
    api.server_close()


OWN = ["POST /api/streams", "DELETE /api/streams/demo"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whoever_ends_the_command_ends_its_stream(
    media_root: Path, stream: Stream, api: Api, sign: signal.Signals
) -> None:
    api.may_answer.set()
    with ingest(media_root, *FLAGS, "--create", "--url", api.url) as child:
        assert stream.connected.wait(20)
        child.send_signal(sign)
        child.wait(20)
    assert api.asked == OWN


def test_a_signal_while_the_stream_is_made_ends_it_too(
    media_root: Path, stream: Stream, api: Api
) -> None:
    """Also a second one: it is being ended already."""
    api.may_end.clear()
    with ingest(media_root, *FLAGS, "--create", "--url", api.url) as child:
        assert api.is_asked.wait(20)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert child.poll() is None, "whether there is a stream is not known yet"
        api.is_asked.clear()
        api.may_answer.set()
        assert api.is_asked.wait(20)
        child.send_signal(signal.SIGHUP)
        api.may_end.set()
        assert child.wait(20) == 128 + signal.SIGTERM
    assert api.asked == OWN


def test_a_stream_of_somebody_else_is_not_ended(media_root: Path, api: Api) -> None:
    """A refusal made nothing."""
    api.status = 409
    api.may_answer.set()
    with ingest(media_root, *FLAGS, "--create", "--url", api.url) as child:
        _, told = child.communicate(timeout=20)
    assert child.returncode == 2
    assert b"says 409" in told
    assert api.asked == OWN[:1]


def test_who_ignores_a_hangup_goes_on_ignoring_it(
    media_root: Path, stream: Stream, api: Api
) -> None:
    """As under nohup."""
    api.may_answer.set()
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # children inherit that
    try:
        with ingest(media_root, *FLAGS, "--create", "--url", api.url) as child:
            assert stream.connected.wait(20)
            child.send_signal(signal.SIGHUP)
            child.communicate(pictures(3), timeout=20)
    finally:
        signal.signal(signal.SIGHUP, ignored)
    assert child.returncode == 0
    stream.ended()
    assert stream.shown == [0, 1, 2]
    assert api.asked == OWN


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "no stream 'demo' takes raw media"),
        (("--size", "64"), "--size is '64'"),
        (("--size", "63x32"), "no stream 'demo'"),
        (("--fps", "0"), "--fps is '0'"),
        (("--audio", "/nonexistent"), "--audio /nonexistent cannot be read"),
        (("--audio-fd", "77"), "--audio-fd 77 cannot be read"),
        (("--audio", "x", "--audio-fd", "3"), "give one"),
        (("--create", "--url", "http://127.0.0.1:9"), "no service answers at http://127.0.0.1:9"),
    ],
)
def test_what_cannot_begin_says_why(media_root: Path, flags: tuple[str, ...], words: str) -> None:
    with ingest(media_root, *flags) as child:
        _, told = child.communicate(timeout=20)
    assert child.returncode == 2
    assert words in told.decode()
    assert told.count(b"\n") == 1


@pytest.mark.parametrize(
    ("text", "fps"), [("25", 25), ("12.5", Fraction(25, 2)), ("30000/1001", Fraction(30000, 1001))]
)
def test_rates(text: str, fps: Fraction) -> None:
    assert parse_fps(text) == fps


@pytest.mark.parametrize("text", ["", "x", "-1", "1/0", "nan", "inf", "1e9"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(IngestFailed, match="--fps"):
        parse_fps(text)


def test_sizes() -> None:
    assert parse_size("640x360") == (640, 360)


def test_without_the_streams_rate_only_a_whole_one_will_do() -> None:
    writer = Writer(64, 32, Fraction(25, 2), 8_000, 1, None)
    assert writer.media(25) == MEDIA
    with pytest.raises(IngestFailed, match=r"12\.5"):
        writer.media(None)
