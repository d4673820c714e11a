"""Who waits for a folder hears of it, also where inotify has nothing left to give."""

from __future__ import annotations

import errno
import logging
import threading
import time
from pathlib import Path
from typing import Any

import inotify_simple
import pytest

from server.watcher import FolderWatcher

LONGEST = 5.0


def publish(folder: Path, name: str) -> None:
    partial = folder / ".partial-x"
    partial.write_text("x")
    partial.rename(folder / name)


def is_there(path: Path) -> bool | None:
    return path.exists() or None


def no_instance(*_: Any) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


def no_watch(*_: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(params=["inotify", "no instance left", "no watch left"])
def watcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FolderWatcher:
    if request.param == "no instance left":
        monkeypatch.setattr(inotify_simple, "INotify", no_instance)
    elif request.param == "no watch left":
        monkeypatch.setattr(inotify_simple.INotify, "add_watch", no_watch)
    return FolderWatcher()


def test_a_thread_that_waits_is_woken(watcher: FolderWatcher, tmp_path: Path) -> None:
    wanted, looked = tmp_path / "a", threading.Event()

    def check() -> bool | None:
        looked.set()
        return is_there(wanted)

    found: list[bool | None] = []
    thread = threading.Thread(
        target=lambda: found.append(watcher.wait_for(tmp_path, check, LONGEST))
    )
    thread.start()
    assert looked.wait(LONGEST)
    publish(tmp_path, "b")
    publish(tmp_path, "a")
    thread.join(LONGEST)
    assert found == [True]


def test_a_call_is_made_once_and_no_thread_waits(watcher: FolderWatcher, tmp_path: Path) -> None:
    calls, called = list[int](), threading.Event()

    def then() -> None:
        calls.append(1)
        called.set()

    ticket = watcher.call_when(tmp_path, lambda: is_there(tmp_path / "a"), then)
    publish(tmp_path, "b")
    assert not calls
    publish(tmp_path, "a")
    assert called.wait(LONGEST)
    publish(tmp_path, "c")
    assert not ticket.cancel()
    assert calls == [1]
    assert not watcher._waiters


def test_a_call_is_made_at_once_where_there_is_nothing_to_wait_for(
    watcher: FolderWatcher, tmp_path: Path
) -> None:
    calls: list[int] = []
    publish(tmp_path, "a")
    watcher.call_when(tmp_path, lambda: is_there(tmp_path / "a"), lambda: calls.append(1))
    watcher.call_when(tmp_path / "gone", lambda: None, lambda: calls.append(2))
    assert calls == [1, 2]


def test_a_call_is_made_when_the_folder_goes(watcher: FolderWatcher, tmp_path: Path) -> None:
    folder, called = tmp_path / "v0", threading.Event()
    folder.mkdir()
    watcher.call_when(folder, lambda: None, called.set)
    folder.rmdir()
    assert called.wait(LONGEST)


def test_a_call_that_was_cancelled_is_not_made(watcher: FolderWatcher, tmp_path: Path) -> None:
    calls, called = list[int](), threading.Event()
    wanted = tmp_path / "a"
    ticket = watcher.call_when(tmp_path, lambda: is_there(wanted), lambda: calls.append(1))
    watcher.call_when(tmp_path, lambda: is_there(wanted), called.set)
    assert ticket.cancel()
    publish(tmp_path, "a")
    assert called.wait(LONGEST)
    assert not calls


def test_who_cannot_look_or_be_told_disturbs_nobody_else(
    watcher: FolderWatcher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    called = threading.Event()

    def broken() -> None:
        raise ZeroDivisionError

    watcher.call_when(tmp_path, lambda: is_there(tmp_path / "a"), broken)
    watcher.call_when(tmp_path, lambda: is_there(tmp_path / "b"), called.set)
    publish(tmp_path, "a")
    publish(tmp_path, "b")
    assert called.wait(LONGEST)
    deadline = time.monotonic() + LONGEST  # it may be told in another order
    while "ZeroDivisionError" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_that_it_polls_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inotify_simple, "INotify", no_instance)
    watcher = FolderWatcher()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            watcher.call_when(tmp_path, lambda: None, lambda: None)
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", "inotify_unavailable")
    assert "Too many open files" in str(vars(record))


def test_after_an_overflow_everybody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel drops events that nobody reads in time, and says so once."""
    events, read = threading.Semaphore(0), inotify_simple.INotify.read

    def lossy(inotify: inotify_simple.INotify) -> list[inotify_simple.Event]:
        read(inotify)
        events.acquire()
        return [inotify_simple.Event(-1, inotify_simple.flags.Q_OVERFLOW, 0, "")]

    monkeypatch.setattr(inotify_simple.INotify, "read", lossy)
    called = threading.Event()
    FolderWatcher().call_when(tmp_path, lambda: is_there(tmp_path / "a"), called.set)
    publish(tmp_path, "a")
    events.release()
    assert called.wait(LONGEST)
