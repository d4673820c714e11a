"""Engines of TensorRT as files: what they depend on, and that half a one is never there."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from inference.checkpoint.networks import SPECS
from inference.engines.build import Step, carry_out, plan
from inference.engines.engine_files import (
    AMPERE_PLUS,
    Checksums,
    Recipe,
    alone,
    default_folder,
    recipe,
    sweep,
    write_whole,
)
from inference.engines.errors import FolderBusy, NetworkUnusable
from inference.engines.precision import in_half, precision, profile

ROOT = Path(__file__).resolve().parents[3]
BASE = Recipe("decoder", "ab" * 32, "10.8.0", "L4 8.9", "fp16")
HUBERT = ((1, 3240), (1, 6480), (1, 12960))


@pytest.fixture
def networks(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "onnx"
    folder.mkdir()
    paths = [folder / f"{name}.onnx" for name in ("decoder", "hubert", "stitch_network")]
    for path in paths:
        path.write_bytes(path.stem.encode())
    return paths


def test_precision_is_that_of_the_published_engines() -> None:
    exact = {"motion_extractor", "hubert", "lmdm_v0.4_hubert"}
    stems = {stem for spec in SPECS.values() for stem in spec.stems}
    assert {stem for stem in stems if precision(stem) == "fp32"} == exact
    assert not in_half("something_else")


def test_profiles() -> None:
    assert profile("hubert") == {"input_values": HUBERT}
    assert profile("landmark106") == {"data": ((1, 3, 192, 192),) * 3}
    assert profile("face_mesh") == {"input": ((1, 256, 256, 3),) * 3}
    assert profile("decoder") == {}
    assert profile("something_else") == {}


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, network="stitch_network"),
        replace(BASE, onnx_sha256="cd" * 32),
        replace(BASE, tensorrt="10.9.0"),
        replace(BASE, gpu="L4 8.6"),
        replace(BASE, gpu=AMPERE_PLUS),
        replace(BASE, precision="fp32"),
        replace(BASE, profile={"x": ((1,), (2,), (3,))}),
        replace(BASE, preparation=2),
    ],
)
def test_whatever_an_engine_depends_on_is_in_its_name(other: Recipe) -> None:
    assert other.file_name != BASE.file_name
    assert replace(BASE).file_name == BASE.file_name


def test_names_can_be_read() -> None:
    assert re.fullmatch(r"decoder_fp16-[0-9a-f]{16}\.engine", BASE.file_name)


def test_the_cache_of_the_user(tmp_path: Path) -> None:
    assert default_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "lipstream" / "engines"
    assert default_folder({"XDG_CACHE_HOME": "relative"}).is_relative_to(Path.home())


def test_builds_what_is_not_there_and_resumes(networks: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    built: list[str] = []
    seen: list[tuple[str, float]] = []

    def build(path: Path, wanted: Recipe, progress: object) -> bytes:
        assert callable(progress)
        progress(0.5)
        built.append(path.stem)
        return path.stem.encode() + wanted.gpu.encode()

    def steps(gpu: str = "L4 8.9", *, fresh: bool = False) -> list[Step]:
        return plan(networks, folder, "10.8.0", gpu, fresh=fresh)

    first = steps()
    assert [s.built for s in first] == [False] * 3
    assert first[1].recipe.profile == {"input_values": HUBERT}
    assert carry_out(first, build, lambda name, share: seen.append((name, share))) == ()
    assert built == ["decoder", "hubert", "stitch_network"]
    assert seen[:2] == [(first[0].target.name, 0.5), (first[0].target.name, 1.0)]
    assert first[0].target.read_bytes() == b"decoderL4 8.9"
    networks[2].write_bytes(b"another network")
    again = steps()
    assert [s.built for s in again] == [True, True, False]
    carry_out(again, build, lambda _n, _s: None)
    assert built[3:] == ["stitch_network"]
    assert not any(s.built for s in steps(AMPERE_PLUS))
    assert not any(s.built for s in steps(fresh=True))
    assert all(s.built for s in steps())


def test_one_that_cannot_be_built_stops_no_other(networks: list[Path], tmp_path: Path) -> None:
    def build(path: Path, _recipe: Recipe, _progress: object) -> bytes:
        if path.stem == "hubert":
            raise NetworkUnusable(path, "no", "wait")
        return b"engine"

    steps = plan(networks, tmp_path / "engines", "10.8.0", "L4 8.9", fresh=False)
    failures = carry_out(steps, build, lambda _n, _s: None)
    assert [f.path.stem for f in failures] == ["hubert"]
    assert [s.target.is_file() for s in steps] == [True, False, True]


def test_a_build_that_breaks_off_leaves_what_is_done(networks: list[Path], tmp_path: Path) -> None:
    def build(path: Path, _recipe: Recipe, _progress: object) -> bytes:
        if path.stem == "hubert":
            raise KeyboardInterrupt
        return b"engine"

    folder = tmp_path / "engines"
    steps = plan(networks, folder, "10.8.0", "L4 8.9", fresh=False)
    with pytest.raises(KeyboardInterrupt):
        carry_out(steps, build, lambda _n, _s: None)
    after = plan(networks, folder, "10.8.0", "L4 8.9", fresh=False)
    assert [s.built for s in after] == [True, False, False]
    carry_out(after, lambda *_a: b"engine", lambda _n, _s: None)  # the folder is free again


def test_two_builds_into_one_folder(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(FolderBusy, match="another build"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.engine"
    write_whole(path, b"old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.engine"]


KILLED = """
import sys
from pathlib import Path
from inference.engines import engine_files
def late(fd):
    print("written", flush=True)
    sys.stdin.read()
engine_files.os.fsync = late
engine_files.write_whole(Path(sys.argv[1]) / "a.engine", b"x" * 100_000)
"""


def test_a_process_that_is_killed_leaves_no_half_engine(tmp_path: Path) -> None:
    """Killed between writing and renaming; the next build sweeps what lies aside."""
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert list(tmp_path.glob("*.engine")) == []
    assert len(os.listdir(tmp_path)) == 1
    assert sweep(tmp_path) == 1
    assert os.listdir(tmp_path) == []


def test_checksums_are_kept_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache = tmp_path / "x.onnx", tmp_path / "cache"
    file.write_bytes(b"one")
    first = Checksums(cache).of(file)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)  # would fail if it were called
        assert Checksums(cache).of(file) == first
    written = file.stat().st_mtime_ns
    file.write_bytes(b"two")
    later = written + 1_000_000_000  # file systems count time in steps
    os.utime(file, ns=(later, later))
    second = Checksums(cache).of(file)
    assert second != first
    (cache / "checksums.json").write_bytes(b"damaged")
    assert Checksums(cache).of(file) == second


def test_recipes_name_the_file_as_it_is(networks: list[Path], tmp_path: Path) -> None:
    checksum = Checksums(tmp_path).of(networks[0])
    made = recipe(networks[0], checksum, "11.4.0", "H200 9.0")
    assert made == Recipe("decoder", checksum, "11.4.0", "H200 9.0", "fp16")
