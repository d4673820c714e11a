"""Where media goes, who may use it, and that nothing is left behind."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoder import media_root
from encoder.errors import StoreFull, StoreUnwritable
from encoder.media_root import (
    LONGEST_SOCKET_PATH,
    MediaRoot,
    choose,
    is_tmpfs,
    remove_abandoned,
)
from tests.unit.mounts import make_read_only, small_tmpfs


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The places that are looked at, all of them ours; nothing is mounted."""
    found = {name: tmp_path / name for name in ("tmpfs", "shm", "mounts")}
    found["tmpfs"].mkdir()
    found["shm"].mkdir()
    found["mounts"].write_text("proc /proc proc rw 0 0\n")
    monkeypatch.setattr(media_root, "MOUNT_POINT", found["tmpfs"])
    monkeypatch.setattr(media_root, "SHARED_MEMORY", found["shm"])
    monkeypatch.setattr(media_root, "MOUNTS", found["mounts"])
    return found


def mount(places: dict[str, Path], name: str, kind: str = "tmpfs") -> None:
    with places["mounts"].open("a") as mounts:
        mounts.write(f"none {places[name]} {kind} rw,size=64k 0 0\n")


def own_name(port: int) -> str:
    return f"lipstream-{os.getuid()}-{port}"


def test_a_wish_is_taken_as_it_is(places: dict[str, Path], tmp_path: Path) -> None:
    mount(places, "tmpfs")
    assert choose(str(tmp_path / "a" / ".." / "wished"), 8000) == tmp_path / "wished"


def test_the_mounted_tmpfs_comes_first_then_shared_memory(places: dict[str, Path]) -> None:
    mount(places, "shm")
    assert choose("", 8000) == places["shm"] / own_name(8000)
    mount(places, "tmpfs")
    assert choose("", 8000) == places["tmpfs"] / own_name(8000)


def test_another_file_system_there_is_no_tmpfs(places: dict[str, Path]) -> None:
    mount(places, "tmpfs", "ext4")
    mount(places, "shm")
    assert choose("", 8000) == places["shm"] / own_name(8000)


def test_without_any_tmpfs_media_goes_to_disk_and_it_is_said(
    places: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose("", 8000) == places["tmpfs"] / own_name(8000)
    assert "media_on_disk" in caplog.text


def test_two_services_of_one_user_are_kept_apart(places: dict[str, Path]) -> None:
    mount(places, "shm")
    assert choose("", 8000) != choose("", 8001)


def test_a_mount_point_with_a_blank_in_its_name(places: dict[str, Path], tmp_path: Path) -> None:
    """The kernel writes it as \\040."""
    folder = tmp_path / "my streams"
    escaped = str(folder).replace(" ", "\\040")
    places["mounts"].write_text(f"none {escaped} tmpfs rw 0 0\n")
    assert is_tmpfs(folder)
    assert not is_tmpfs(tmp_path / "my")


def test_where_there_is_no_proc_nothing_is_a_tmpfs(places: dict[str, Path]) -> None:
    places["mounts"].unlink()
    assert not is_tmpfs(places["shm"])


# --- its life -----------------------------------------------------------------------------------


def test_folders_are_made_and_everything_goes(tmp_path: Path) -> None:
    path = tmp_path / "root"
    with MediaRoot(path) as root:
        assert root.live.is_dir()
        assert root.run.stat().st_mode & 0o777 == 0o700
        (root.live / "demo").mkdir()
        (root.live / "demo" / "1.m4s").write_bytes(b"abc")
        root.figures("demo").write_text("{}")
    assert not path.exists()


def test_a_folder_that_was_there_stays_with_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with MediaRoot(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_what_a_killed_service_left_is_cleared(tmp_path: Path) -> None:
    for name in ("live/demo/v0", "run"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "live/demo/v0/1.m4s").write_bytes(b"old")
    (tmp_path / "run/demo.sock").write_text("")
    (tmp_path / ".lock").write_text("")  # nobody holds it
    with MediaRoot(tmp_path) as root:
        assert list(root.live.iterdir()) == []
        assert list(root.run.iterdir()) == []


def test_a_second_service_is_refused_and_the_first_unharmed(tmp_path: Path) -> None:
    with MediaRoot(tmp_path) as first:
        (first.live / "1.m4s").write_bytes(b"abc")
        with pytest.raises(StoreUnwritable, match=r"another lipstream is using it; .* folder"):
            MediaRoot(tmp_path).__enter__()
        assert (first.live / "1.m4s").read_bytes() == b"abc"
        lock = os.open(tmp_path / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)
    with MediaRoot(tmp_path):
        pass


def test_media_goes_also_when_the_service_fails(tmp_path: Path) -> None:
    path = tmp_path / "root"
    with pytest.raises(KeyError), MediaRoot(path):
        raise KeyError
    assert not path.exists()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    with small_tmpfs(tmp_path / "mount") as mounted:
        yield mounted


def test_too_little_room_is_said_with_both_figures(tiny: Path) -> None:
    with pytest.raises(StoreFull, match=r"\d+ bytes are free, a stream needs 100000") as caught:
        _check(tiny, 100_000)
    assert str(tiny / "root") in str(caught.value)
    assert "media_root" in str(caught.value)
    assert list(tiny.iterdir()) == []
    _check(tiny, 1000)


def _check(tiny: Path, *bounds: int) -> None:
    with MediaRoot(tiny / "root") as root:
        root.check_room(bounds)


def test_room_that_is_promised_to_other_streams_is_not_given_again(tiny: Path) -> None:
    room = os.statvfs(tiny)
    half = room.f_bavail * room.f_frsize // 2
    _check(tiny, half)
    with pytest.raises(StoreFull, match=f"{half + 8192} of them promised to running streams"):
        _check(tiny, half + 8192, half)
    with MediaRoot(tiny / "root") as root:  # what they hold already is not counted twice
        (root.live / "one").mkdir()
        (root.live / "one" / "1.m4s").write_bytes(bytes(half))
        root.check_room([half, half - 8192])


def test_a_place_that_cannot_be_written(tiny: Path) -> None:
    make_read_only(tiny)
    with pytest.raises(StoreUnwritable, match=r"root: Read-only file system; .* media_root"):
        MediaRoot(tiny / "root").__enter__()


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("mine")
    with pytest.raises(StoreUnwritable, match=str(tmp_path / "root")):
        MediaRoot(tmp_path / "root").__enter__()
    assert (tmp_path / "root").read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_said_before_it_is_used(tmp_path: Path) -> None:
    root = MediaRoot(tmp_path)
    room = LONGEST_SOCKET_PATH - len(os.fsencode(root.run / ".sock"))
    assert len(os.fsencode(root.socket("x" * room))) == LONGEST_SOCKET_PATH
    with pytest.raises(StoreUnwritable, match=f"{LONGEST_SOCKET_PATH} are the limit"):
        root.socket("x" * (room + 1))


def test_a_folder_that_somebody_else_put_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In /dev/shm anybody can make a folder of the name that we would take."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/root").mkdir()
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr("encoder.media_root.os.geteuid", lambda: owner + 1)
    real = os.lstat

    def lstat(path: Path) -> os.stat_result:
        found = list(real(path))
        found[4] = owner or 12345  # root's own folders are trusted; tests may run as root
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", lstat)
    (tmp_path / "shared").chmod(0o1777)
    with pytest.raises(StoreUnwritable, match=r"it belongs to user \d+, who could change"):
        MediaRoot(tmp_path / "shared/root").__enter__()
    (tmp_path / "shared").chmod(0o755)  # where only its owner makes folders, it was meant for us
    with MediaRoot(tmp_path / "shared/root"):
        pass


def test_a_folder_is_taken_when_the_last_process_of_a_killed_service_has_ended(
    tmp_path: Path,
) -> None:
    """Its encoders inherit the lock: they may still write, and remove what they wrote."""
    ends_soon = "import sys, time; time.sleep(0.7)"
    with MediaRoot(tmp_path) as killed:
        orphan = subprocess.Popen([sys.executable, "-c", ends_soon], pass_fds=(killed.lock_fd,))
        os.close(killed.lock_fd)
        killed._lock = None  # as a SIGKILL leaves it
    (tmp_path / ".lock").write_text("4194305")  # beyond the largest process id
    with MediaRoot(tmp_path):
        assert orphan.wait(1) == 0


def test_roots_that_nobody_uses_are_removed_and_others_are_not(tmp_path: Path) -> None:
    mine = f"lipstream-{os.getuid()}-"
    gone, used, foreign = (tmp_path / f"{mine}1", tmp_path / f"{mine}2", tmp_path / "notes")
    for path in (gone, foreign):
        (path / "live").mkdir(parents=True)
        (path / ".lock").write_text("1")
    with MediaRoot(used):
        remove_abandoned(tmp_path)
        assert not gone.exists()
        assert (used / "live").is_dir()
        assert (foreign / "live").is_dir()
