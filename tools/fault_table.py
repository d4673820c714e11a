"""Run the rows of the fault table, and write what viewers saw to docs/reliability.md.

``python -m tools.fault_table`` runs the tests that measure rows and replaces the table between the
markers in the page; ``--print`` only prints it, ``--from FILE ...`` takes the rows of runs that
were made with ``pytest tests/faults --fault-rows FILE``. A row whose test fails is in the table as
it was seen, and the exit status says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools import generated

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
NAME = "faults"
HEAD = (
    "| fault | longest wait for a part | player stood still | fatal hls.js errors "
    "| player began anew | page reloads | DISCONTINUITY added | |\n"
    "|---|---|---|---|---|---|---|---|\n"
)
Row = dict[str, Any]


def measure() -> tuple[int, list[Row]]:
    """Run the tests; the exit status of pytest, and the rows."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        rows.touch()
        argv = [sys.executable, "-m", "pytest", "tests/faults", "--fault-rows", str(rows)]
        status = subprocess.run(argv, cwd=ROOT, check=False).returncode
        return status, read([rows])


def read(files: Sequence[Path]) -> list[Row]:
    """The rows of runs."""
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    return HEAD + "".join(
        f"| {row['fault']} | {row['part_gap']:.2f} s | {row['freeze']:.2f} s "
        f"| {row['fatal_errors']} | {row['restarts']} | {row['reloads']} "
        f"| {row['discontinuities']} | {row['note']} |\n"
        for row in rows
    )


def main() -> int:
    """Measure, and write or print."""
    parser = argparse.ArgumentParser(prog="python -m tools.fault_table", description=__doc__)
    parser.add_argument("--print", action="store_true", dest="only_print", help="write no file")
    parser.add_argument("--from", nargs="+", type=Path, dest="files", help="rows of earlier runs")
    given = parser.parse_args()
    status, rows = (0, read(given.files)) if given.files else measure()
    made = table(rows)
    print(made)
    if not given.only_print:
        generated.write(PAGE, NAME, made)
    return status


if __name__ == "__main__":
    sys.exit(main())
