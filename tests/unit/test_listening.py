"""The port of a service: taken by somebody else, or for a moment by one that was killed."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Settings
from encoder.media_root import LOCK
from server import serve
from server.errors import PortTaken


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def settings(folder: Path, taken: socket.socket) -> Settings:
    return Settings(port=taken.getsockname()[1], media_root=str(folder))


def test_a_port_that_a_killed_service_still_has_is_waited_for(
    tmp_path: Path, taken: socket.socket
) -> None:
    (tmp_path / LOCK).write_text("no process")
    began = time.monotonic()
    threading.Timer(0.3, taken.close).start()
    with serve.listen(settings(tmp_path, taken)) as listener:
        assert listener.getsockname()[1] > 0
    assert time.monotonic() - began >= 0.25


def test_it_is_not_waited_for_for_ever(
    tmp_path: Path, taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "ORPHANS_END_SECONDS", 0.2)
    (tmp_path / LOCK).write_text("no process")
    with pytest.raises(PortTaken, match=r"already in use; .*--port"):
        serve.listen(settings(tmp_path, taken))


@pytest.mark.parametrize("pid", [None, os.getppid()])
def test_anybody_elses_port_is_told_at_once(
    tmp_path: Path, taken: socket.socket, pid: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", pytest.fail)
    if pid is not None:
        (tmp_path / LOCK).write_text(str(pid))
    with pytest.raises(PortTaken):
        serve.listen(settings(tmp_path, taken))
