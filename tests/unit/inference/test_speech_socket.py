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
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "demo.speech"
    folder.mkdir()
    utterances = Utterances(MEDIA, folder, 600, Journal(tmp_path / "demo.events"))
    SpeechSocket(tmp_path / "demo.say", utterances, 600).start()
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
