"""What a service holds: memory, descriptors, threads, and bytes in the media root."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MEGABYTE = 1 << 20
# Above this from the first third of a run to the last, it grows: a share, and what noise may be.
GROWTH_SHARE = 0.10
NOISE = {"memory_mb": 8.0, "descriptors": 8.0, "threads": 4.0, "media_mb": 2.0}
# Words in a command line that tell a role, in this order; the first process is the supervisor.
_ROLES = (
    ("rawvideo", "ffmpeg"),
    ("-m encoder", "encoder"),
    ("-m inference", "inference"),
    ("server.web", "web"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. ``figures``: by role, by name of the figure, summed over its processes."""

    at: float  # seconds since the beginning
    figures: dict[str, dict[str, float]]


def look(at: float, supervisor: int, media_root: Path) -> Sample:
    """Look at all processes below the supervisor, and at the media root."""
    figures: dict[str, dict[str, float]] = {}
    root = psutil.Process(supervisor)
    for process in [root, *root.children(recursive=True)]:
        try:
            role = "supervisor" if process is root else _role(process)
            held = _held(process)
        except psutil.Error:  # it ended just now
            continue
        total = figures.setdefault(role, dict.fromkeys(held, 0.0))
        for name, value in held.items():
            total[name] += value
    figures["media root"] = {"media_mb": _bytes_below(media_root) / MEGABYTE}
    return Sample(at, figures)


def _role(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    # gunicorn's workers name themselves.
    return next((role for word, role in _ROLES if word in line), "web")


def _held(process: psutil.Process) -> dict[str, float]:
    """PSS, not RSS: what forked workers share is counted once."""
    with process.oneshot():
        return {
            "memory_mb": process.memory_full_info().pss / MEGABYTE,
            "descriptors": float(process.num_fds()),
            "threads": float(process.num_threads()),
        }


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.*"):
        try:
            total += path.stat().st_size
        except OSError:  # it left the window just now
            continue
    return total


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure of one role over a run: medians of its first and last third, and its peak."""

    role: str
    figure: str
    first: float
    last: float
    peak: float

    @property
    def grows(self) -> bool:
        return self.last > self.first * (1 + GROWTH_SHARE) + NOISE[self.figure]


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Of every figure that was seen in the first and in the last third."""
    third = max(1, len(samples) // 3)
    names = sorted(
        {(role, name) for s in samples for role, held in s.figures.items() for name in held}
    )
    found = []
    for role, name in names:
        values = [s.figures.get(role, {}).get(name) for s in samples]
        first = [v for v in values[:third] if v is not None]
        last = [v for v in values[-third:] if v is not None]
        if first and last:
            peak = max(v for v in values if v is not None)
            found.append(Trend(role, name, statistics.median(first), statistics.median(last), peak))
    return found
