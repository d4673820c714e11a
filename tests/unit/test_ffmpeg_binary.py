from __future__ import annotations

from pathlib import Path

import pytest

from encoder.errors import FfmpegMissing, FfmpegTooOld
from encoder.ffmpeg import find_ffmpeg, parse_version


def stand_in(folder: Path, banner: str, *, mode: int = 0o755) -> Path:
    script = folder / "ffmpeg"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{banner}\nEND\n", "utf-8")
    script.chmod(mode)
    return script


@pytest.mark.parametrize(
    ("banner", "expected"),
    [
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c)", ("5.1.9-0+deb12u1", 5, 1)),
        ("ffmpeg version 7.0.2-static https://x.org/", ("7.0.2-static", 7, 0)),
        (
            "ffmpeg version n9.0.2-17-g2a571b6068-20260930 C",
            ("n9.0.2-17-g2a571b6068-20260930", 9, 0),
        ),
        ("ffmpeg version 10.12 Copyright", ("10.12", 10, 12)),
        ("ffmpeg version N-1234-gabcdef0 Copyright", ("N-1234-gabcdef0", 0, 0)),
        ("ffmpeg version N-9-g1\nlibavcodec     61. 19.100 / 61. 19.100", ("N-9-g1", 7, 0)),
        ("ffmpeg version N-9-g1\nlibavcodec     59. 18.100 / 59. 18.100", ("N-9-g1", 5, 1)),
        ("ffmpeg version 2026-01-31-git-abc-full Copyright", ("2026-01-31-git-abc-full", 0, 0)),
        ("ffprobe version 7.1", ("", 0, 0)),
        ("", ("", 0, 0)),
    ],
)
def test_parse_version(banner: str, expected: tuple[str, int, int]) -> None:
    assert parse_version(banner) == expected


@pytest.mark.parametrize(
    "banner",
    [
        "ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright",
        "ffmpeg version 5.0.1 Copyright",
        "ffmpeg version N-9-gabc\nlibavcodec     58. 134.100 / 58. 134.100",
    ],
)
def test_too_old_is_one_line_with_version_limit_and_remedy(tmp_path: Path, banner: str) -> None:
    script = stand_in(tmp_path, banner)
    with pytest.raises(FfmpegTooOld) as caught:
        find_ffmpeg(str(script))
    assert caught.value.version == banner.split()[2]
    assert caught.value.minimum == (5, 1)
    message = str(caught.value)
    assert caught.value.version in message
    assert "5.1 or newer" in message
    assert "leave ffmpeg empty" in message
    assert "\n" not in message


def test_snapshot_without_a_number_is_accepted(tmp_path: Path) -> None:
    found = find_ffmpeg(str(stand_in(tmp_path, "ffmpeg version N-1234-gabcdef0")))
    assert (found.version, found.major, found.minor) == ("N-1234-gabcdef0", 0, 0)


def test_name_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = stand_in(tmp_path, "ffmpeg version 6.1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert find_ffmpeg("ffmpeg").path == str(script)


def test_identity_changes_with_the_binary(tmp_path: Path) -> None:
    before = find_ffmpeg(str(stand_in(tmp_path, "ffmpeg version 6.1")))
    again = find_ffmpeg(before.path)
    after = find_ffmpeg(str(stand_in(tmp_path, "ffmpeg version 6.1.1")))
    assert before.identity == again.identity != after.identity


def test_identity_follows_links(tmp_path: Path) -> None:
    script = stand_in(tmp_path, "ffmpeg version 6.1")
    link = tmp_path / "other-name"
    link.symlink_to(script)
    assert find_ffmpeg(str(link)).identity == find_ffmpeg(str(script)).identity


def test_missing_file() -> None:
    with pytest.raises(FfmpegMissing, match="there is no such file") as caught:
        find_ffmpeg("/nonexistent/ffmpeg")
    assert caught.value.wanted == "/nonexistent/ffmpeg"
    assert "\n" not in str(caught.value)


def test_not_executable(tmp_path: Path) -> None:
    script = stand_in(tmp_path, "ffmpeg version 6.1", mode=0o644)
    with pytest.raises(FfmpegMissing, match="not executable"):
        find_ffmpeg(str(script))


def test_another_program(tmp_path: Path) -> None:
    with pytest.raises(FfmpegMissing, match="does not call itself ffmpeg"):
        find_ffmpeg(str(stand_in(tmp_path, "GNU cat 9.1")))


def test_a_file_the_system_cannot_run(tmp_path: Path) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    with pytest.raises(FfmpegMissing, match="cannot run"):
        find_ffmpeg(str(broken))


def test_bundled_one_is_the_default() -> None:
    found = find_ffmpeg("")
    assert found.major >= 7
    assert "imageio_ffmpeg" in found.path


def test_wheel_without_a_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio_ffmpeg

    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.\nInstall ffmpeg")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(FfmpegMissing, match="reinstall imageio-ffmpeg") as caught:
        find_ffmpeg("")
    assert "\n" not in str(caught.value)
