"""Files of a recording: never over an old one, and whole as far as they are said to be."""

from __future__ import annotations

import itertools
import os
from pathlib import Path


def create_numbered(folder: Path, stem: str, suffix: str) -> tuple[Path, int]:
    """Open a new file for writing; where the name is taken, ``-2``, ``-3`` stand behind it."""
    for number in itertools.count(1):
        path = folder / f"{_numbered(stem, number)}{suffix}"
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            continue
    raise AssertionError


def make_numbered(folder: Path, stem: str) -> Path:
    """Make a new folder, in the same way."""
    for number in itertools.count(1):
        path = folder / _numbered(stem, number)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError


def write_at(handle: int, data: bytes, at: int) -> None:
    """Write all of it; what a failed write left behind the old end of the file is cut off.

    Raises:
        OSError: no room, or the disk refuses.
    """
    size = os.fstat(handle).st_size
    done = 0
    try:
        while done < len(data):
            done += os.pwrite(handle, data[done:], at + done)
    except OSError:
        os.ftruncate(handle, size)
        raise


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"
