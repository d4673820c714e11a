"""What the benchmarks measure is what a stream does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.inference import LIVE
from encoder.playlist_reader import read_segments
from rawmedia import MediaFormat

pytestmark = pytest.mark.ffmpeg

MEDIA = MediaFormat(320, 180, 25)
PICTURES = 60


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    path = tmp_path / "frames.raw"
    shape = (10, MEDIA.height, MEDIA.width, 3)
    np.random.default_rng(1).integers(0, 255, shape, np.uint8).tofile(path)
    return path


def figures(kind: str, frames: Path, folder: Path) -> dict[str, float]:
    size = f"{MEDIA.width}x{MEDIA.height}"
    argv = [sys.executable, "-m", "benchmarks.pipeline_run", kind, str(frames), str(PICTURES)]
    argv += [size, str(MEDIA.fps), "200", str(folder)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_pictures_as_fast_as_it_goes_become_a_whole_stream(frames: Path, tmp_path: Path) -> None:
    found = figures("ours", frames, tmp_path / "live")
    assert found["parts"] == PICTURES / 5
    assert 0 < found["python"] < found["seconds"] + found["ffmpeg"]
    text = (tmp_path / "live/v0/media.m3u8").read_text()
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert sum(segment.duration for segment in read_segments(text)[1]) == Fraction(
        PICTURES, MEDIA.fps
    )


def test_the_alternative_makes_nothing(frames: Path, tmp_path: Path) -> None:
    found = figures("null", frames, tmp_path / "none")
    assert found["parts"] == 0
    assert found["ffmpeg"] > 0
    assert not (tmp_path / "none").exists()


def test_the_talking_heads_networks_are_measured() -> None:
    """On the tiny networks, as short as can be: each figure that docs/engines.md names is told."""
    argv = [sys.executable, "-m", "benchmarks.inference", "--runtime", "onnx-cpu"]
    argv += ["--threads", "1", "--runs", "1", "--steps", "1", "--most", "1"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=150)
    said = done.stdout
    assert "onnx-cpu" in said.splitlines()[0]
    assert "the synthetic checkpoint" in said.splitlines()[0]
    rows = re.findall(r"^\| ([\w +]+) \| ([\d.]+) \| ([\d.]+) \|$", said, re.MULTILINE)
    assert [name for name, _median, _worst in rows] == [*LIVE, "stitch + warp + decoder"]
    median = {name: float(value) for name, value, _worst in rows}
    assert median["stitch + warp + decoder"] > 0
    (first,) = re.findall(r"^first session, weights included: (\d+) MiB$", said, re.MULTILINE)
    assert int(first) > 0
    # 5 windows of sound, 2.5 windows of motion of one step, 25 pictures
    costs = 5 * median["hubert"] + 2.5 * median["lmdm"] + 25 * median["stitch + warp + decoder"]
    (second,) = re.findall(r"^one second of a session takes (\d+) ms", said, re.MULTILINE)
    assert int(second) == pytest.approx(costs, abs=1)
    (rate,) = re.findall(r"^1 together: ([\d.]+) frames a second each$", said, re.MULTILINE)
    (kept,) = re.findall(r"^sessions at 25 frames a second: (\d)", said, re.MULTILINE)
    assert int(kept) == (float(rate) > 25) or float(rate) == 25
