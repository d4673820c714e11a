"""The command line as a user meets it: help, and one-line errors."""

from __future__ import annotations

import json
import socket
from dataclasses import fields
from pathlib import Path

import pytest

from config import Settings
from server.cli import build_parser, main


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line of error text."""
    text = capsys.readouterr().err
    lines = [line for line in text.splitlines() if line.startswith("lipstream: ")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_help_teaches_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["serve", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for item in fields(Settings):
        assert "--" + item.name.replace("_", "-") in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--fps", "0"], ("fps", "0", "from 1 to 60")),
        (["--fps", "7"], ("fps 7", "48000", "24, 25, 30")),
        (["--width", "1281"], ("1281", "even")),
        (["--width", "wide"], ("--width", "wide", "whole number")),
        (["--latency", "instant"], ("instant", "ultra, low, normal")),
        (["--ffmpeg", "/no/such/ffmpeg"], ("/no/such/ffmpeg", "leave it empty")),
        (["--encoder", "h265_magic"], ("h265_magic", "libx264")),
        (["--host", "0.0.0.0"], ("0.0.0.0", "LIPSTREAM_API_TOKEN", "--insecure")),
        (["--api-token", "secret"], ("api_token has 6 characters", "16", "openssl")),
        (["--stream", "../etc"], ("../etc", "small letters")),
        (["--source", "telepathy"], ("telepathy",)),
        (["--image", "/no/such/photo.jpg"], ("/no/such/photo.jpg",)),
        (["--audio", "/no/such/voice.wav"], ("/no/such/voice.wav",)),
        (["--media-root", "/proc/lipstream"], ("/proc/lipstream", "media_root")),
        (["--config", "/no/such.toml"], ("/no/such.toml",)),
    ],
)
def test_bad_input_is_one_line_with_value_limit_and_remedy(
    arguments: list[str], expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", *arguments]) == 2
    line = one_line(capsys)
    for word in expected:
        assert word in line


def test_a_taken_port_says_which_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    line = one_line(capsys)
    assert f"127.0.0.1:{port}" in line
    assert f"--port {port + 1}" in line


def test_unknown_settings_suggest_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lipstream.toml"
    file.write_text("video_kbits = 500\n")
    assert main(["serve", "--config", str(file)]) == 2
    assert "did you mean 'video_kbit'?" in one_line(capsys)


def test_no_command_shows_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", "--video-kbits", "5"], "no flag --video-kbits; did you mean --video-kbit?"),
        (["serve", "--latencey=low"], "no flag --latencey; did you mean --latency?"),
        (["watch", "http://h/", "--record"], "no flag --record; did you mean --record-file?"),
        (["serve", "--zzzzzz"], "no flag --zzzzzz; `lipstream serve --help` lists all"),
        (["token", "demo", "more"], "'more' is one word more than lipstream token takes"),
    ],
)
def test_unknown_flags_suggest_the_right_one(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert told in one_line(capsys)


# --- lipstream config ---------------------------------------------------------------------------

SECRET = "not-for-the-eyes-of-others"


def shown(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["config", "show", *flags]) == 0
    return capsys.readouterr().out


def test_config_tells_every_setting_and_where_it_is_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lipstream.toml"
    file.write_text("fps = 30\nwidth = 640\nheight = 360\n")
    monkeypatch.setenv("LIPSTREAM_WIDTH", "320")
    monkeypatch.setenv("LIPSTREAM_HEIGHT", "180")
    text = shown(capsys, "--config", str(file), "--height", "240")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert rows["fps"] == ["30", "file", str(file)]
    assert rows["width"] == ["320", "environment", "LIPSTREAM_WIDTH"]
    assert rows["height"] == ["240", "flag", "--height"]
    assert rows["port"] == ["8000", "default"]
    assert rows["insecure"] == ["false", "default"]
    assert rows["image"] == ['""', "default"]
    assert rows.keys() >= {item.name for item in fields(Settings)}


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_config_never_shows_a_secret(
    form: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTREAM_API_TOKEN", SECRET)
    text = shown(capsys, "--viewer-key", SECRET, *form)
    assert SECRET not in text
    assert text.count("********") == 2


def test_config_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(shown(capsys, "--json", "--fps", "50"))
    assert told["fps"] == {"value": 50, "place": "flag", "where": "--fps"}
    assert told["viewer_key"] == {"value": "", "place": "default", "where": ""}
    assert list(told) == [item.name for item in fields(Settings)]


def test_config_refuses_what_serve_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--fps", "0"]) == 2
    assert "from 1 to 60" in one_line(capsys)
