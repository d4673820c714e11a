"""What a benchmark found: tables, aims, plots and one ratio, as values that go to JSON and back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Title of the table of `glass` that docs/latency.md shows, too.
BUDGET = "The budget, in ms"


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure that was promised, and what it is."""

    what: str
    value: float
    limit: float
    unit: str = ""
    is_floor: bool = False  # at least, not at most

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps the promise; no figure (NaN) keeps none."""
        return self.value >= self.limit if self.is_floor else self.value <= self.limit

    @property
    def verdict(self) -> str:
        """Met or missed, and by how much of the limit."""
        if self.value != self.value:
            return "missed: no figure"
        if self.limit == 0:
            return "met" if self.is_met else f"missed by {number(abs(self.value))}"
        margin = abs(self.value - self.limit) / abs(self.limit)
        return f"{'met' if self.is_met else 'missed'}, by {margin:.0%}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Plot:
    """Points by name; ``bars``: the first of each pair is a place, not a measure."""

    name: str  # of the file, without suffix
    title: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]]
    bars: bool = False
    ticks: Sequence[str] = ()  # names of the places 0, 1, 2 ...


@dataclass(slots=True)
class Found:
    """All that one script has to tell. ``data``: what the rest was computed from."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ratio: tuple[str, float] = ("", float("nan"))
    command: str = ""
    seed: int = 0
    runs: int = 0
    seconds: float = 0.0
    machine: dict[str, str] = field(default_factory=dict)
    failed: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """To a JSON file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, default=str))

    @classmethod
    def read(cls, path: Path) -> Found:
        """From a JSON file."""
        row = json.loads(path.read_text())
        row["tables"] = [Table(**each) for each in row["tables"]]
        row["aims"] = [Aim(**each) for each in row["aims"]]
        row["plots"] = [Plot(**each) for each in row["plots"]]
        row["ratio"] = tuple(row["ratio"])
        return cls(**row)


def percentile(values: Sequence[float], percent: float) -> float:
    """Between the two nearest values in proportion; NaN where there is none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Sequence[float]) -> float:
    """NaN where there is none."""
    return statistics.median(values) if values else float("nan")


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of runs that followed each other: both saw the same machine."""
    pairs = zip(ours, theirs, strict=True)
    return median([a / b for a, b in pairs if b])


def number(value: float) -> str:
    """Three figures, for people."""
    if value != value:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def text(found: Found) -> str:
    """For a terminal; the ratio comes last."""
    lines = [f"== {found.title}"]
    for table in found.tables:
        lines += ["", table.title, *_aligned([table.headings, *table.rows])]
    lines += ["", *(f"{aim_line(aim)}" for aim in found.aims)]
    lines += [found.failed] if found.failed else []
    what, value = found.ratio
    return "\n".join([*lines, f"ratio: {what}: {number(value)}"])


def aim_line(aim: Aim) -> str:
    """One aim as a line."""
    sign, unit = (">=" if aim.is_floor else "<="), f" {aim.unit}" if aim.unit else ""
    return f"{aim.what}: {number(aim.value)}{unit} ({sign} {number(aim.limit)}): {aim.verdict}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
