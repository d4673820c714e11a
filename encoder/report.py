"""The result of the trials for people (`lipstream encoders`) and programs (`/api/encoders`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from encoder.probe import Trial


def encoder_table(trials: Sequence[Trial], chosen: str) -> str:
    """A plain-text table, one encoder a line; ``*`` marks the chosen one."""
    rows = [("  encoder", "works", "time", "reason")]
    for trial in trials:
        mark = "*" if trial.name == chosen else " "
        works = "yes" if trial.works else "no"
        rows.append((f"{mark} {trial.name}", works, f"{trial.milliseconds} ms", trial.reason))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "".join(_line(row, widths) for row in rows)


def _line(row: tuple[str, str, str, str], widths: list[int]) -> str:
    name, works, time, reason = row
    name_width, works_width, time_width = widths
    line = f"{name:<{name_width}}  {works:<{works_width}}  {time:>{time_width}}  {reason}"
    return line.rstrip() + "\n"


def encoder_json(trials: Sequence[Trial], chosen: str) -> dict[str, object]:
    """The same for JSON; ``chosen`` is null where no encoder works."""
    encoders = [asdict(trial) | {"chosen": trial.name == chosen} for trial in trials]
    return {"chosen": chosen or None, "encoders": encoders}


def first_working(trials: Sequence[Trial]) -> str:
    """The name that `auto` takes; empty if none works."""
    return next((trial.name for trial in trials if trial.works), "")
