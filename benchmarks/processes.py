"""What processes used: CPU time, memory, bytes that went through system calls (Linux)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        found += [int(word) for word in text.split()]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes that run, all their threads, without their children."""
    return sum(map(_cpu_ticks, pids)) / _TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def busy_share(seconds: float) -> float:
    """Of the time of all cores, over the next seconds."""
    return psutil.cpu_percent(interval=seconds) / 100


def memory_bytes(pid: int) -> int:
    """Proportional: what processes share is divided among them."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))


def io_counts(pid: int) -> dict[str, int]:
    """``rchar`` and ``wchar``: bytes through read and write calls; ``syscr``, ``syscw``: calls."""
    rows = Path(f"/proc/{pid}/io").read_text().splitlines()
    return {name: int(value) for name, value in (row.split(": ") for row in rows)}


def command_line(pid: int) -> str:
    """Empty for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def find(top: int, word: str) -> list[int]:
    """The processes below one whose command line has a word."""
    return [pid for pid in family(top)[1:] if word in command_line(pid)]


def python(*words: str, **more: object) -> subprocess.Popen[bytes]:
    """Start a Python module of this tree with defaults only: no LIPSTREAM_ variables of ours."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LIPSTREAM_")}
    environ |= more.pop("env", {})  # type: ignore[call-overload]
    argv = [sys.executable, "-m", *words]
    return subprocess.Popen(argv, cwd=ROOT, env=environ, **more)  # type: ignore[call-overload,no-any-return]
