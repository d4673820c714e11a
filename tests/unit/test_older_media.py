"""Segments that have moved from tmpfs to the disk folder: the same answers under the same URIs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from flask import send_file
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import Settings
from encoder.disk_folder import archive_folder
from server.app import create_app

NAME = "abc123-7.m4s"
DATA = bytes(range(256)) * 8
# What may differ between two answers: when, and how long it took.
OF_THE_MOMENT = {"Date", "Server-Timing"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The rendition's folder in memory, and on the disk."""
    memory = tmp_path / "media" / "live" / "demo" / "v0"
    disk = archive_folder(str(tmp_path / "disk"), "demo") / "v0"
    for folder in (memory, disk):
        folder.mkdir(parents=True)
    (tmp_path / "media" / "run").mkdir()
    (memory / NAME).write_bytes(DATA)
    return memory, disk


@pytest.fixture
def client(tmp_path: Path, folders: tuple[Path, Path]) -> FlaskClient:
    settings = Settings(disk_folder=str(tmp_path / "disk"))
    return create_app(settings, tmp_path / "media").test_client()


def get(client: FlaskClient, name: str = NAME, **headers: str) -> TestResponse:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return client.get(f"/live/demo/v0/{name}", headers=named)


def shown(response: TestResponse) -> tuple[int, bytes, dict[str, str]]:
    headers = {k: v for k, v in response.headers if k not in OF_THE_MOMENT}
    return response.status_code, response.data, headers


def test_an_answer_does_not_tell_that_the_file_moved(
    client: FlaskClient, folders: tuple[Path, Path]
) -> None:
    asked: list[dict[str, str]] = [
        {},
        {"Range": "bytes=10-19"},
        {"Range": "bytes=99999-"},
        {"If_None_Match": f'"{NAME}"'},
    ]
    before = [shown(get(client, **headers)) for headers in asked]
    assert [status for status, _, _ in before] == [200, 206, 416, 304]
    memory, disk = folders
    shutil.copy2(memory / NAME, disk / NAME)
    both = [shown(get(client, **headers)) for headers in asked]
    (memory / NAME).unlink()
    assert [shown(get(client, **headers)) for headers in asked] == before == both
    (disk / NAME).unlink()
    assert get(client).status_code == 404


def test_a_file_that_moves_between_the_look_and_the_opening(
    client: FlaskClient, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, disk = folders

    def moved_just_now(path: Path, *arguments: object, **named: object) -> object:
        if path.parent == memory:
            shutil.copy2(memory / NAME, disk / NAME)
            (memory / NAME).unlink()
        return send_file(path, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("server.hls.send_file", moved_just_now)
    answer = get(client)
    assert (answer.status_code, answer.data) == (200, DATA)


@pytest.mark.parametrize("place", [0, 1])
def test_no_link_leads_out_of_the_media(
    client: FlaskClient, folders: tuple[Path, Path], tmp_path: Path, place: int
) -> None:
    secret = tmp_path / "abc123-8.m4s"
    secret.write_bytes(b"secret")
    (tmp_path / "media.m3u8").write_text("secret")
    (folders[place] / secret.name).symlink_to(secret)
    assert get(client, secret.name).status_code == 404
    (folders[place] / "abc123-9.m4s").mkdir()
    assert get(client, "abc123-9.m4s").status_code == 404
    (folders[0].parent / "v1").symlink_to(tmp_path)
    assert client.get(f"/live/demo/v1/{secret.name}").status_code == 404
    assert client.get("/live/demo/v1/media.m3u8").status_code == 404
    (folders[0] / "media.m3u8").symlink_to(tmp_path / "media.m3u8")
    assert get(client, "media.m3u8").status_code == 404


def test_without_a_disk_folder_there_is_one_place(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    memory, disk = folders
    shutil.move(memory / NAME, disk / NAME)
    client = create_app(Settings(), tmp_path / "media").test_client()
    assert get(client).status_code == 404
