"""What all scripts share: their flags, and how they end."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.results import Found, text

Measure = Callable[[argparse.Namespace, Found], None]


def parser_of(name: str, doc: str | None, *, runs: int) -> argparse.ArgumentParser:
    """A parser with the flags of all scripts."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--runs", type=int, default=runs, help="of which medians are taken [%(default)s]"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is random [%(default)s]")
    parser.add_argument("--quick", action="store_true", help="one short run: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found")
    return parser


def run(name: str, title: str, parser: argparse.ArgumentParser, measure: Measure) -> int:
    """Measure, tell, write; the value is the exit status."""
    arguments = parser.parse_args()
    # Leaves every `with`: what runs in sessions of its own is ended by nobody else.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if arguments.quick:
        arguments.runs = 1
    found = Found(name, title, seed=arguments.seed, runs=arguments.runs)
    found.command = command(name, sys.argv[1:])
    began = time.monotonic()
    found.machine = machine()
    measure(arguments, found)
    found.seconds = time.monotonic() - began
    found.machine["load afterwards"] = _load()
    if arguments.json:
        found.write(arguments.json)
    print(text(found))
    return 0


def command(name: str, arguments: list[str]) -> str:
    """How this was called, without the file that it writes."""
    kept, words = [], iter(arguments)
    for word in words:
        if word == "--json":
            next(words, "")
        elif not word.startswith("--json="):
            kept.append(word)
    return shlex.join(["python", "-m", f"benchmarks.{name}", *kept])


def machine() -> dict[str, str]:
    """What it ran on, and how busy that was before."""
    return {
        "processor": f"{len(os.sched_getaffinity(0))} x {_processor()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load before": _load(),
    }


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return names[0] if names else platform.machine()
