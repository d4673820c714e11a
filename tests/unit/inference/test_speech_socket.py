"""The socket of a face: whoever wants silence waits for nobody."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference import utterances as queue
from inference.errors import AudioRejected
from inference.speech_socket import SpeechSocket
from inference.utterances import Utterances
from journal import Journal
from rawmedia import MediaFormat

MEDIA = MediaFormat(64, 64, 25)
MANY = 16


class Decoder:
    """Takes as long as it is let."""

    def __init__(self) -> None:
        self.at_work, self.may_end = threading.Event(), threading.Event()

    def load(self, path: Path, _media: MediaFormat, _max_seconds: int) -> Any:
        self.at_work.set()
        assert self.may_end.wait(20)
        raise AudioRejected(path, "is none", "send another")


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    made = Decoder()
    monkeypatch.setattr(queue, "load_clip", made.load)
    yield made
    made.may_end.set()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[SpeechSocket]:
    folder = tmp_path / "demo.speech"
    folder.mkdir()
    utterances = Utterances(MEDIA, folder, 600, Journal(tmp_path / "demo.events"))
    made = SpeechSocket(tmp_path / "demo.say", utterances, 600)
    made.start()
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path, listening: SpeechSocket) -> Path:
    return tmp_path / "demo.say"


def wish(path: Path, **what: Any) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(5)
    link.connect(str(path))
    link.sendall(json.dumps(what).encode() + b"\n")
    return link


def answer(link: socket.socket) -> dict[str, Any]:
    with link, link.makefile("rb") as lines:
        said: dict[str, Any] = json.loads(lines.readline())
        return said


def test_silence_does_not_wait_for_what_is_being_decoded(path: Path, decoder: Decoder) -> None:
    posts = [wish(path, say="/nowhere", interrupt=False) for _ in range(MANY)]
    assert decoder.at_work.wait(10)
    assert answer(wish(path, hush=True)) == {"ok": True, "dropped": []}
    assert answer(wish(path, ask=True)) == {"ok": True, "queued_seconds": 0.0}
    decoder.may_end.set()
    assert {answer(post)["refused"] for post in posts} == {"file"}


def test_who_says_nothing_holds_up_nobody(path: Path) -> None:
    silent = []
    for _ in range(MANY):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(5)
        link.connect(str(path))
        silent.append(link)
    assert answer(wish(path, ask=True))["ok"]
    for link in silent:
        link.close()


def test_closed_it_lets_go_of_everybody_and_can_be_opened_anew(
    tmp_path: Path, path: Path, listening: SpeechSocket
) -> None:
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    silent.connect(str(path))
    speaker = wish(path, live=16_000)
    with speaker.makefile("rb") as lines:
        assert json.loads(lines.readline())["ok"]
        speaker.sendall(bytes(3200))
        listening.close()
        lines.readlines()  # comes to its end, as if the process had gone
    silent.settimeout(5)
    assert silent.recv(1) == b""
    assert not listening._busy, "nobody is left"
    with pytest.raises(OSError, match="refused"):
        wish(path, ask=True)
    utterances = Utterances(MEDIA, tmp_path / "demo.speech", 600, Journal(tmp_path / "demo.events"))
    again = SpeechSocket(path, utterances, 600)
    again.start()
    assert answer(wish(path, ask=True))["ok"]
    again.close()


def test_closing_waits_for_what_is_under_way(
    path: Path, listening: SpeechSocket, decoder: Decoder
) -> None:
    """Nothing of it comes when the stream has gone."""
    post = wish(path, say="/nowhere", interrupt=False)
    assert decoder.at_work.wait(10)
    closing = threading.Thread(target=listening.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    decoder.may_end.set()
    closing.join(20)
    assert not closing.is_alive()
    post.close()
