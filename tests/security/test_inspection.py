"""The child that decodes: what it may not do, and what becomes of an upload whose child fails."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from server import inspection
from server.errors import UploadRefused
from server.inspection import Order, inspect
from tests.security import files

BEGIN = "import json, sys\nfrom server import inspection\n"
CONFINE = "order = inspection.Order(**json.load(sys.stdin))\ninspection.confine(order)\n"


def order(tmp_path: Path, data: bytes) -> Order:
    source = tmp_path / "source"
    source.write_bytes(data)
    return Order(str(source), str(tmp_path / "target"), 40_000_000, 600)


def confined(order: Order, code: str, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run code in a child that is confined as the real one is."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + first + CONFINE + code],
        input=json.dumps({name: getattr(order, name) for name in order.__slots__}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_picture_goes_through_the_child(tmp_path: Path) -> None:
    told = inspect(order(tmp_path, files.picture()))
    assert told == {"type": "image", "width": 320, "height": 240}
    assert (tmp_path / "target").read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o600


def test_a_refusal_comes_back_in_words(tmp_path: Path) -> None:
    with pytest.raises(UploadRefused, match="3600000000 pixels, the limit is 40000000") as caught:
        inspect(order(tmp_path, files.png_bomb(60_000, 60_000)))
    assert caught.value.status == 422


def test_the_largest_picture_fits_into_its_memory(tmp_path: Path) -> None:
    """With transparency: it is decoded to four bytes a pixel, then flattened."""
    side = 6324  # 39,992,976 pixels
    told = inspect(order(tmp_path, files.png(side, side, 6, bytes((4 * side + 1) * side))))
    assert (told["width"], told["height"]) == (4096, 4096)


def test_memory_is_limited(tmp_path: Path) -> None:
    ran = confined(order(tmp_path, b""), "bytearray(2 << 30)")
    assert "MemoryError" in ran.stderr
    assert confined(order(tmp_path, b""), "bytearray(256 << 20)").returncode == 0


def test_written_bytes_are_limited(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(130 << 20))"
    assert "File too large" in confined(order(tmp_path, b""), code).stderr


def test_processor_time_is_limited(tmp_path: Path) -> None:
    one_second = order(tmp_path, b"")
    ran = confined(one_second, "while True: pass", "inspection.CPU_SECONDS = 1\n")
    with pytest.raises(UploadRefused, match="of processor time; simplify it"):
        inspection._answer(ran.returncode, ran.stdout)


def test_a_decoder_that_crashes_costs_one_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = confined(
        order(tmp_path, b""), "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    with pytest.raises(UploadRefused, match="makes its decoder fail"):
        inspection._answer(crash.returncode, crash.stdout)


@pytest.mark.parametrize("said", ["", "{", "{}", '{"type": "program"}'])
def test_a_child_that_talks_nonsense_is_not_believed(said: str) -> None:
    with pytest.raises(UploadRefused, match="makes its decoder fail"):
        inspection._answer(0, said)


def test_a_child_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "WALL_SECONDS", 0.01)
    with pytest.raises(UploadRefused, match=r"more than 0\.01 s") as caught:
        inspect(order(tmp_path, files.picture()))
    assert caught.value.status == 503


def test_the_child_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTREAM_API_TOKEN", "a-secret")
    monkeypatch.setenv("LIPSTREAM_VIEWER_KEY", "a-secret-key-1234")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    assert not any("secret" in value for value in inspection._environment().values())
