"""What web processes are asked for, and how often for each thing."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

# How long each file of a folder was at one moment: all that came until then.
Mark = Mapping[Path, int]


class Asked:
    """Notes what one process is asked for: a line each, in a file of its own, so without a lock.

    Args:
        folder: of the files of all processes.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / str(os.getpid())).open("ab", buffering=0)

    def note(self, what: str) -> None:
        """One request: its method, path and query."""
        self._file.write(f"{what}\n".encode())


def mark(folder: Path) -> Mark:
    """This moment. Nothing is read, so that nobody waits for it who is measured meanwhile."""
    return {path: path.stat().st_size for path in folder.iterdir()}


def between(begin: Mark, end: Mark) -> Counter[str]:
    """How often each thing was asked for from one moment to another."""
    return Counter(line for path, size in end.items() for line in _lines(path, begin, size))


def _lines(path: Path, begin: Mark, end: int) -> Iterable[str]:
    return path.read_bytes()[begin.get(path, 0) : end].decode().splitlines()


def per_thing(asked: Mapping[str, int]) -> float:
    """Requests for each thing that was asked for: 1 behind a cache that asks for nothing twice.

    The things are what the requests tell apart, parts or not: by the parts alone, what is asked
    for beside the crowd would read as parts that were asked for again.

    Args:
        asked: how often, by thing.

    Returns:
        The mean; NaN where nothing was asked for.
    """
    return sum(asked.values()) / len(asked) if asked else math.nan
