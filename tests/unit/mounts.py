"""A real, tiny tmpfs: the file system that lipstream writes to, with its limits in reach."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_tmpfs(folder: Path, size: str = "64k") -> Iterator[Path]:
    """Mount a tmpfs of that size on a folder; skip the test where we may not."""
    folder.mkdir(exist_ok=True)
    if _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(folder)):
        pytest.skip("cannot mount a tmpfs here: it takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(mounted: Path) -> None:
    """Root ignores permission bits; a read-only mount it has to respect."""
    assert _mount("-o", "remount,ro", str(mounted)) == 0


def _mount(*arguments: str) -> int:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 1
