"""The folders keep apart: imports run one way, and every module says what it is for."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ("config", "logs", "pacing", "rawmedia", "journal")
FOLDERS = ("client", "encoder", "inference", "server")
# Who may import what of ours, besides its own folder.
ALLOWED = {
    "config": set(),
    "logs": set(),
    "rawmedia": set(),
    "pacing": {"rawmedia"},
    "journal": set(),
    "client": {"encoder"},
    "encoder": {*SHARED},
    "inference": {*SHARED},
    "server": {*SHARED, "client", "encoder", "inference"},
}


def sources(owner: str) -> list[Path]:
    if owner in SHARED:
        return [ROOT / f"{owner}.py"]
    return sorted((ROOT / owner).rglob("*.py"))


def imports(tree: ast.Module) -> Iterator[str]:
    """Top-level packages that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the way"
            yield (node.module or "").partition(".")[0]


MODULES = [(owner, path) for owner in ALLOWED for path in sources(owner)]


@pytest.mark.parametrize(
    ("owner", "path"), MODULES, ids=[str(path.relative_to(ROOT)) for _owner, path in MODULES]
)
def test_imports_run_one_way(owner: str, path: Path) -> None:
    found = set(imports(ast.parse(path.read_text("utf-8"))))
    ours = found & {*SHARED, *FOLDERS, "tests"}
    assert ours <= ALLOWED[owner] | ({owner} if owner in FOLDERS else set())


@pytest.mark.parametrize(
    "path", [p for _owner, p in MODULES], ids=[str(p.relative_to(ROOT)) for _owner, p in MODULES]
)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_the_folders_are_there() -> None:
    assert all(len(sources(owner)) > 1 for owner in FOLDERS)


def test_an_import_inside_a_function_is_seen() -> None:
    tree = ast.parse("def f():\n    from server.app import x\n    import encoder.boxes as b\n")
    assert set(imports(tree)) == {"server", "encoder"}


def test_make_test_runs_every_folder_of_tests() -> None:
    """A folder that nobody runs is a check that cannot fail; that of GPUs is run by test-gpu."""
    lines = (ROOT / "Makefile").read_text("utf-8").splitlines()
    run = {
        word
        for line in lines
        if line.startswith(("QUICK :=", "TIMED :=", "GPU :="))
        for word in line.partition(":=")[2].split()
    }
    holding = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")}
    tops = {"/".join(folder.split("/")[:2]) for folder in holding}
    assert run == tops


def test_make_test_says_what_it_leaves_out() -> None:
    """Tests for a GPU run where there is none, against the CPU itself; else they would rot."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # of this run
    argv = ["make", "--dry-run", "test", "ARGS="]
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    parity = [line for line in lines if "tests/gpu/test_parity.py" in line]
    assert [line.split()[0] for line in parity] == ["LIPSTREAM_TEST_RUNTIME=onnx-cpu"]
    assert "left out: tests/gpu" in lines[-1]
    assert "make test-gpu" in lines[-1]


def test_make_compiles_what_processes_load() -> None:
    """Whatever the environment says of bytecode: who wishes for a stream waits for two of them."""
    lines = (ROOT / "Makefile").read_text("utf-8").splitlines()
    (code,) = (line.partition(":=")[2].split() for line in lines if line.startswith("CODE :="))
    assert {*FOLDERS} <= {*code}
    assert "$(wildcard" in code
    rules = {line.partition(":")[0]: line for line in lines if re.match(r"[a-z]+:", line)}
    for target in ("run", "test", "bench"):
        assert rules[target].split()[-1] == "compiled"
