"""Fan-out in a short form: wake-ups against the number of viewers, and behind caches.

python -m benchmarks.crowds --help

Runs `benchmarks.fanout`, which has the details, with few seconds and few modes; docs/fanout.md has
the long form, with slow readers and storms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import fanout_table, script
from benchmarks.fanout_measure import Result
from benchmarks.processes import ROOT
from benchmarks.results import Found, Plot, Table
from tests.service import temporary_media_root

TITLE = "Fan-out"
COUNTS = (100, 300)
MODES = "bare,coalescer"
ALL_MODES = "bare,coalescer,bare-2,coalescer-2,varnish,nginx"
SHOWN = ("bare calm", "coalescer calm")


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Small crowds in two modes, then the large one in all."""
    most = 200 if arguments.quick else arguments.viewers
    counts = () if arguments.quick else COUNTS
    with temporary_media_root() as name:
        folder = Path(name)
        facts = [_fanout(folder, count, MODES, arguments) for count in counts]
        facts.append(_fanout(folder, most, ALL_MODES, arguments))
    _tell(found, [*counts, most], facts)


def _fanout(folder: Path, viewers: int, modes: str, given: argparse.Namespace) -> dict[str, Any]:
    path = folder / "fanout.json"
    argv = [sys.executable, "-m", "benchmarks.fanout", "--viewers", str(viewers)]
    argv += ["--modes", modes, "--runs", str(given.runs), "--seconds", "3"]
    argv += ["--seed", str(given.seed), "--json", str(path)]
    subprocess.run(argv, check=True, cwd=ROOT)
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


def _tell(found: Found, counts: list[int], facts: list[dict[str, Any]]) -> None:
    medians = [[Result(**row) for row in each["medians"]] for each in facts]
    table = fanout_table.markdown(medians[-1], facts[-1]["p99 over bare"])
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    headings = ["", *lines[0]]
    found.tables.append(Table("Viewers that wait for part after part", headings, lines[2:]))
    series: dict[str, list[tuple[float, float]]] = {}
    for results in medians:
        for result in results:
            if fanout_table.key(result) in SHOWN:
                name = fanout_table.title(result)
                points = (("p50", result.p50_ms), ("p99", result.p99_ms))
                for which, value in points:
                    series.setdefault(f"{name}, {which}", []).append((result.viewers, value))
    found.plots.append(Plot("fanout", "Wake-up", "viewers", "ms", series))
    rows = [[name, *(f"{value:.0f}" for _n, value in points)] for name, points in series.items()]
    found.tables.append(Table("Wake-up in ms", ["viewers", *map(str, counts)], rows))
    found.notes = [
        "Wake-up: from a part's rename to the first byte at the viewer. Encoder, servers and all "
        "viewers share the cores above; with two web processes there are twice as many viewers.",
        "Long form, slow readers and storms: [fanout.md](fanout.md).",
    ]
    ratio = facts[-1]["p99 over bare"].get("coalescer calm", float("nan"))
    found.ratio = ("wake-up p99, lipstream / bare ASGI application", ratio)
    found.data = {str(count): each["medians"] for count, each in zip(counts, facts, strict=True)}


def main() -> int:
    parser = script.parser_of("crowds", __doc__, runs=2)
    parser.add_argument("--viewers", type=int, default=1000, help="of the large crowd [1000]")
    return script.run("crowds", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
