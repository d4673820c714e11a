"""A program of one's own as the source, as the README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.service import Service

pytestmark = pytest.mark.ffmpeg

README = Path(__file__).parents[2] / "README.md"


def example(media_root: Path) -> str:
    """The README's program, with the media root of the test."""
    programs = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (program,) = (text for text in programs if "rawmedia.connect" in text)
    assert "/dev/shm/mine" in program
    return str(program).replace("/dev/shm/mine", str(media_root))


def test_the_readmes_program_is_a_source(media_root: Path, tmp_path: Path) -> None:
    file = tmp_path / "source.py"
    file.write_text(example(media_root))
    with Service(media_root, ("--source", "ingest")) as running:
        figures = f"{running.url}/api/streams/demo"
        assert requests.get(figures, timeout=5).json()["source"] == "waiting"
        program = subprocess.Popen(
            [sys.executable, str(file)],
            env=os.environ | {"PYTHONPATH": str(README.parent)},
            cwd=README.parent,
        )
        try:
            until(lambda: requests.get(figures, timeout=5).json()["source"] == "connected")
            before = requests.get(f"{running.url}/live/demo/snapshot.jpg", timeout=10).content
            until(
                lambda: (
                    requests.get(f"{running.url}/live/demo/snapshot.jpg", timeout=10).content
                    != before
                )
            )
            assert program.poll() is None
        finally:
            program.kill()
            program.wait()
        until(lambda: requests.get(figures, timeout=5).json()["source"] == "waiting")


def until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)
