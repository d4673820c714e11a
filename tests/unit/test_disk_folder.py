"""The folders on disk are checked before anything starts, and left as they were found."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import Settings
from encoder.disk_folder import DiskFolder, archive_folder, require_writable
from encoder.errors import FolderUnusable
from encoder.takes import check_record_folder
from server.app import create_app
from tests.unit.mounts import make_read_only, small_tmpfs


def test_nothing_is_done_without_a_setting() -> None:
    with DiskFolder("") as nothing:
        nothing.check_room([10**18])
        nothing.remove("demo")


def test_it_is_made_used_and_emptied(tmp_path: Path) -> None:
    disk = tmp_path / "a" / "disk"
    old = archive_folder(str(disk), "killed")
    old.mkdir(parents=True)
    (disk / "mine.txt").write_text("not lipstream's")
    with DiskFolder(str(disk)):
        assert not old.exists()
        folder = archive_folder(str(disk), "demo")
        folder.mkdir(parents=True)
    assert [path.name for path in disk.iterdir()] == ["mine.txt"]


def test_one_service_at_a_time(tmp_path: Path) -> None:
    with DiskFolder(str(tmp_path)):
        archive_folder(str(tmp_path), "demo").mkdir(parents=True)
        with pytest.raises(FolderUnusable, match="another lipstream"), DiskFolder(str(tmp_path)):
            pass
        assert archive_folder(str(tmp_path), "demo").is_dir()


def test_the_bounds_must_fit(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "mount") as disk, DiskFolder(str(disk)) as folder:
        folder.check_room([0, 65_536])
        with pytest.raises(FolderUnusable, match="65537 are needed; lower dvr_seconds"):
            folder.check_room([1, 65_536])
        media = archive_folder(str(disk), "demo") / "v0"
        media.mkdir(parents=True)
        (media / "1.m4s").write_bytes(b"a" * 32_768)
        folder.check_room([40_000, 20_000])  # what is used counts for its stream
        folder.remove("demo")
        assert not media.exists()
        folder.check_room([0, 65_536])


def test_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "mount") as disk:
        make_read_only(disk)
        with pytest.raises(FolderUnusable, match="Read-only file system; check the setting disk_"):
            DiskFolder(str(disk)).__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="check the setting record_folder"):
        require_writable("record_folder", tmp_path / "file")


def test_a_recording_needs_a_folder(tmp_path: Path) -> None:
    check_record_folder(Settings())
    check_record_folder(Settings(record="hls", record_folder=str(tmp_path / "new")))
    assert (tmp_path / "new").is_dir()
    with pytest.raises(FolderUnusable, match="record is mp4, it is empty; check the setting"):
        check_record_folder(Settings(record="mp4"))


def test_a_wished_recording_without_a_folder_is_refused(tmp_path: Path) -> None:
    """Before anything is started for it, and with the remedy."""
    (tmp_path / "run").mkdir()
    asking = create_app(Settings(), tmp_path).test_client()
    answer = asking.post("/api/streams", json={"record": "mp4", "dvr_seconds": 600})
    assert answer.status_code == 400
    assert "record_folder" in answer.get_json()["detail"]
    answer = asking.post("/api/streams", json={"record": "avi"})
    assert answer.status_code == 400
    assert "mp4, hls" in answer.get_json()["detail"]
    answer = asking.post("/api/streams", json={"record_folder": "/tmp"})
    assert answer.status_code == 400, "where files go is the operator's to say"
