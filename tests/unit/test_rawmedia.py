"""The format of a unit, its memory, and a producer's end of the socket."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawmedia import (
    MAX_HELLO_BYTES,
    PROTOCOL,
    RECALL,
    Disconnected,
    FormatError,
    Frame,
    MediaFormat,
    Producer,
    Refused,
    Samples,
    SlotMemory,
    connect,
    encode_line,
    parse_hello,
)

MEDIA = MediaFormat(32, 16, 25)


@settings(max_examples=100, deadline=None)
@given(
    width=st.integers(8, 2048).map(lambda n: 2 * n),
    height=st.integers(8, 2048).map(lambda n: 2 * n),
    fps=st.sampled_from([1, 24, 25, 30, 50, 60]),
    channels=st.integers(1, 2),
)
def test_a_format_survives_its_wire_form(width: int, height: int, fps: int, channels: int) -> None:
    media = MediaFormat(width, height, fps, 48_000, channels)
    assert parse_hello(encode_line({"lipstream": PROTOCOL} | asdict(media))) == media
    assert media.samples_per_unit * fps == 48_000
    assert media.slot_bytes >= media.frame_bytes + media.samples_bytes
    assert media.slot_bytes % os.sysconf("SC_PAGESIZE") == 0


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"width": 0}, "width is 0: give a whole number from 16 to 4096"),
        ({"width": 4098}, "width is 4098"),
        ({"height": 181}, "height is 181: give an even number, such as 180"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": True}, "fps is True"),
        ({"fps": 29.97}, r"fps is 29\.97"),
        ({"fps": 7}, "fps 7 does not divide audio_rate_hz 48000"),
        ({"audio_rate_hz": 96_000}, "audio_rate_hz is 96000"),
        ({"audio_channels": 6}, "audio_channels is 6"),
        ({"width": "320"}, "width is '320'"),
    ],
)
def test_formats_that_no_stream_can_have(changed: dict[str, int], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        MediaFormat(**(asdict(MediaFormat(320, 180, 25)) | changed))


GREETINGS = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff\xfe\n",
    b"[]\n",
    b'["lipstream"]\n',
    b"7\n",
    b"null\n",
    b'"lipstream"\n',
    b"{}\n",
    b'{"lipstream":2,"width":320}\n',
    b'{"lipstream":1,"width":320,"height":180,"fps":25}\n',
    b'{"lipstream":2}\n',
    b'{"lipstream":2,"width":320,"height":180,"fps":25,"colour":"green"}\n',
    b'{"lipstream":2,"width":[],"height":180,"fps":25}\n',
    b'{"lipstream":' + b"[" * 4000 + b"\n",
    b'{"lipstream":2,"width":' + b"9" * 4000 + b',"height":180,"fps":25}\n',
)


@pytest.mark.parametrize("line", GREETINGS, ids=range(len(GREETINGS)))
def test_greetings_that_are_none(line: bytes) -> None:
    with pytest.raises(FormatError):
        parse_hello(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("lipstream"), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100))
def test_any_greeting_is_read_or_refused(line: bytes) -> None:
    with pytest.raises(FormatError):
        parse_hello(line)


def test_both_sides_see_the_same_slots() -> None:
    ours, fd = SlotMemory.create(MEDIA, 3)
    theirs = SlotMemory(fd, MEDIA, 3)
    for slot in range(3):
        theirs.frame(slot)[:] = slot + 1
        theirs.samples(slot)[:] = -slot - 1
    for slot in range(3):
        assert ours.frame(slot).shape == (16, 32, 3)
        assert ours.samples(slot).shape == (1920, 1)
        assert (ours.frame(slot) == slot + 1).all()
        assert (ours.samples(slot) == -slot - 1).all()
    os.close(fd)


def test_memory_that_cannot_be_made_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def fail(fd: int) -> int:
        made.append(fd)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", fail)
    with pytest.raises(OSError, match="Too many open files"):
        SlotMemory.create(MEDIA, 3)
    (fd,) = made
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_stereo_samples_are_interleaved() -> None:
    memory, fd = SlotMemory.create(MediaFormat(16, 16, 25, 48_000, 2), 1)
    memory.samples(0)[:] = (1, 2)
    raw = np.frombuffer(os.pread(fd, 8, 16 * 16 * 3), np.int16)
    assert raw.tolist() == [1, 2, 1, 2]
    os.close(fd)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="seals are Linux's")
@pytest.mark.parametrize("size", [0, 1 << 30])
def test_a_producer_cannot_change_the_size_of_the_memory(size: int) -> None:
    """Shrunk memory would kill the encoder with SIGBUS."""
    memory, fd = SlotMemory.create(MEDIA, 2)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, size)
    assert not memory.frame(1).any()
    os.close(fd)


# --- the producer's end, against an encoder made by hand ----------------------------------------


class ByHand:
    """An encoder's end: sends a prepared reply, then what the test wants."""

    def __init__(self, folder: Path, slots: int = 2) -> None:
        self.path = folder / "s.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self.slots = slots
        self.hello = b""

    def answer(self, reply: bytes | None = None) -> None:
        """Take one producer in the background."""
        threading.Thread(target=self._answer, args=(reply,), daemon=True).start()

    def _answer(self, reply: bytes | None) -> None:
        self.link, _ = self._listener.accept()
        self.hello = self.link.recv(MAX_HELLO_BYTES)
        if reply is not None:
            self.link.sendall(reply)
            self.link.close()
            return
        self.memory, fd = SlotMemory.create(MEDIA, self.slots)
        socket.send_fds(self.link, [encode_line({"ok": True, "slots": self.slots})], [fd])
        os.close(fd)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def encoder(tmp_path: Path) -> Iterator[ByHand]:
    by_hand = ByHand(tmp_path)
    yield by_hand
    by_hand.close()


@pytest.fixture
def producer(encoder: ByHand) -> Iterator[Producer]:
    encoder.answer()
    with connect(encoder.path, MEDIA) as connected:
        yield connected


def unit(number: int) -> tuple[Frame, Samples]:
    return np.full((16, 32, 3), number, np.uint8), np.full((1920, 1), number, np.int16)


def test_a_unit_is_written_and_told(encoder: ByHand, producer: Producer) -> None:
    producer.write(*unit(7))
    assert encoder.link.recv(10) == b"\0"
    assert (encoder.memory.frame(0) == 7).all()
    assert (encoder.memory.samples(0) == 7).all()
    assert parse_hello(encoder.hello) == MEDIA


def test_a_producer_blocks_while_all_slots_are_taken(encoder: ByHand, producer: Producer) -> None:
    """This is what paces a source to real time."""
    for number in (1, 2):
        producer.write(*unit(number))
    done = threading.Event()

    def third() -> None:
        producer.write(*unit(3))
        done.set()

    threading.Thread(target=third, daemon=True).start()
    assert encoder.link.recv(1) + encoder.link.recv(1) == b"\0\1"
    assert not done.wait(0.1)
    encoder.link.send(b"\1")
    assert done.wait(5)
    assert encoder.link.recv(1) == b"\1"
    assert (encoder.memory.frame(1) == 3).all()


def test_an_error_while_drawing_sends_nothing(encoder: ByHand, producer: Producer) -> None:
    def draw() -> None:
        with producer.unit():
            raise KeyError

    for _ in range(3):  # more often than there are slots: each is given back
        with pytest.raises(KeyError):
            draw()
    producer.write(*unit(1))
    encoder.link.setblocking(False)
    assert len(encoder.link.recv(10)) == 1


FRAME, SAMPLES = unit(0)


@pytest.mark.parametrize(
    ("frame", "samples", "problem"),
    [
        (np.zeros((8, 32, 3), np.uint8), SAMPLES, r"frame is \(8, .*uint8; .*\(16, 32, 3\) uint8"),
        (FRAME.astype(np.float32), SAMPLES, r"frame is .* float32; .* uint8"),
        (np.zeros((16, 32, 4), np.uint8), SAMPLES, r"frame is \(16, 32, 4\)"),
        (None, SAMPLES, "frame is NoneType"),
        (FRAME, np.zeros((1920, 2), np.int16), r"samples is \(1920, 2\) int16; .*\(1920, 1\)"),
        (FRAME, SAMPLES[:, 0], r"samples is \(1920,\)"),
        (FRAME, SAMPLES.astype(np.float32), "samples is .* float32; .* int16"),
        (FRAME, SAMPLES[:640], r"samples is \(640, 1\)"),
    ],
)
def test_wrong_arrays_are_named_and_nothing_is_sent(
    encoder: ByHand, producer: Producer, frame: object, samples: object, problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        producer.write(frame, samples)  # type: ignore[arg-type] # that is the point
    encoder.link.setblocking(False)
    with pytest.raises(BlockingIOError):
        encoder.link.recv(1)


def test_an_encoder_that_hangs_up_is_told(encoder: ByHand, producer: Producer) -> None:
    for number in (1, 2):
        producer.write(*unit(number))
    encoder.link.close()
    with pytest.raises(Disconnected, match="the encoder hung up"):
        producer.write(*unit(3))


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Disconnected, match=r"no encoder answers at .*nobody"):
        connect(tmp_path / "nobody", MEDIA).__enter__()


def test_a_refusal_carries_its_reason(encoder: ByHand) -> None:
    encoder.answer(encode_line({"ok": False, "error": "busy"}))
    with pytest.raises(Refused, match=r"^busy$"):
        connect(encoder.path, MEDIA).__enter__()


@pytest.mark.parametrize(
    "reply",
    [b"", b'{"ok":', b"hello\n", b"[]\n", b'{"ok":true}\n', b'{"ok":true,"slots":2}\n'],
)
def test_an_answer_that_is_none(encoder: ByHand, reply: bytes) -> None:
    encoder.answer(reply)
    with pytest.raises((Disconnected, Refused)):
        connect(encoder.path, MEDIA).__enter__()


# --- marks, and units that are taken back --------------------------------------------------------


def test_a_mark_belongs_to_one_unit(encoder: ByHand, producer: Producer) -> None:
    producer.write(*unit(1), mark=2**63 + 5)
    producer.write(*unit(2))
    assert encoder.link.recv(10) == b"\0\1"
    assert [encoder.memory.mark(slot) for slot in (0, 1)] == [2**63 + 5, 0]
    encoder.link.send(b"\0")
    producer.write(*unit(3))  # into the slot that had a mark
    assert encoder.link.recv(10) == b"\0"
    assert encoder.memory.mark(0) == 0
    assert (encoder.memory.samples(0) == 3).all(), "the mark lies behind the samples"


def test_what_is_taken_back_can_be_drawn_anew(encoder: ByHand, producer: Producer) -> None:
    for number in (1, 2):
        producer.write(*unit(number))
    assert encoder.link.recv(10) == b"\0\1"
    encoder.link.send(bytes((RECALL, 1, 1)))
    assert producer.recall() == 1
    assert encoder.link.recv(10) == bytes((RECALL,))
    producer.write(*unit(9))
    assert encoder.link.recv(10) == b"\1"
    assert (encoder.memory.frame(1) == 9).all()


def test_slots_that_came_free_meanwhile_are_not_lost(encoder: ByHand, producer: Producer) -> None:
    for number in (1, 2):
        producer.write(*unit(number))
    encoder.link.send(bytes((0, RECALL, 1, 1)))
    assert producer.recall() == 1
    for number in (3, 4):
        producer.write(*unit(number))
    assert encoder.link.recv(10) == bytes((0, 1, RECALL, 0, 1))


def test_an_encoder_that_leaves_while_it_is_asked(encoder: ByHand, producer: Producer) -> None:
    producer.write(*unit(1))
    encoder.link.close()
    with pytest.raises(Disconnected, match="the encoder hung up"):
        producer.recall()
