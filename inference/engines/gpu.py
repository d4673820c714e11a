"""What can be learned of NVIDIA GPUs from their driver, without CUDA; and of memory."""

from __future__ import annotations

import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_QUERY = ("name", "compute_cap", "driver_version", "memory.used", "memory.total")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as its driver tells."""

    name: str
    compute: str  # capability, such as 8.9
    driver: str
    used_bytes: int  # by all processes
    total_bytes: int


def gpus() -> tuple[list[Gpu], str]:
    """The GPUs, and why there are none if so."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], "no NVIDIA driver: there is no nvidia-smi"
    query = [program, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi: {error}"
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        return [], f"nvidia-smi: {said[-1] if said else done.returncode}"
    found = parse(done.stdout)
    return found, "" if found else "nvidia-smi names no GPU"


def parse(text: str) -> list[Gpu]:
    """The GPUs of nvidia-smi's table."""
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line]
    return [
        Gpu(name, compute, driver, _bytes(used), _bytes(total))
        for name, compute, driver, used, total in (row for row in rows if len(row) == len(_QUERY))
    ]


def _bytes(mebibytes: str) -> int:
    return int(mebibytes) * _MIB if mebibytes.isdigit() else 0  # some say [N/A]


def memory_in_use(index: int) -> int | None:
    """Memory of that GPU in use by all processes."""
    found, _reason = gpus()
    return found[index].used_bytes if index < len(found) else None


def resident_bytes() -> int | None:
    """Memory of the machine that this process holds; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return None
    return pages * resource.getpagesize()
