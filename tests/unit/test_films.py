"""Which files the API may name: those right in the operator's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import ConfigError
from server.films import find_film


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    films = tmp_path / "films"
    (films / "below").mkdir(parents=True)
    for path in (films / "clip one.mp4", films / "below" / "deep.mp4", tmp_path / "secret.mp4"):
        path.write_bytes(b"x")
    (films / "out.mp4").symlink_to(tmp_path / "secret.mp4")
    (films / "same.mp4").symlink_to("clip one.mp4")
    (films / "circle.mp4").symlink_to("circle.mp4")
    return films


def test_a_file_of_the_folder(folder: Path) -> None:
    assert find_film(str(folder), "clip one.mp4") == folder / "clip one.mp4"
    assert find_film(str(folder), "same.mp4") == folder / "clip one.mp4"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "missing.mp4",
        "below",
        "below/deep.mp4",
        "../secret.mp4",
        "/etc/passwd",
        "out.mp4",
        "circle.mp4",
        "clip\0.mp4",
        "clip\n.mp4",
        "x" * 5000,
    ],
)
def test_nothing_else(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="film_folder"):
        find_film(str(folder), name)


def test_without_a_folder_uploads_are_said_not_to_be_taken() -> None:
    with pytest.raises(ConfigError, match=r"uploads of video are not taken.*--film-folder"):
        find_film("", "clip.mp4")
