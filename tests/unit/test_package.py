"""What `pip install .` installs: every file of the packages, and nothing else."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]


def kept() -> list[str]:
    """The files that git has, or would take."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    told = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in told.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a copy, where setuptools may write; with what is installed here, and no network."""
    assert int(importlib.metadata.version("setuptools").split(".")[0]) >= 77, "pip install .[dev]"
    folder = tmp_path_factory.mktemp("package")
    for name in kept():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "tree" / name)
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*argv, "--wheel-dir", str(folder), "."], cwd=folder / "tree", check=True)
    (found,) = folder.glob("*.whl")
    return found


def test_a_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    tops = {package.partition(".")[0] for package in told["packages"]}
    modules = {f"{module}.py" for module in told["py-modules"]}
    wanted = {name for name in kept() if name.partition("/")[0] in tops or name in modules}
    names = set(ZipFile(wheel).namelist())
    found = {name for name in names if ".dist-info/" not in name}
    assert sorted(wanted - found) == []
    assert sorted(found - wanted) == []
    assert any(name.endswith("/licenses/LICENSE") for name in names)
