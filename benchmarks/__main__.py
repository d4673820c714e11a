"""The benchmarks of docs/performance.md, and that page of what they found: ``make bench``.

python -m benchmarks --help

Each script is a process of its own with a time limit, begins when the machine has become quiet, and
writes a JSON file; one that fails stops none of the others and is named on the page. All together
have half an hour. With --page-only the files of the last run are used. What takes longer, or needs
something of one's own, is run by hand: fanout, inference, paste, presenter, soak, start.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.page import budget, page
from benchmarks.processes import ROOT, busy_share
from benchmarks.results import Found, aim_line
from tools import generated

DOCS = ROOT / "docs"
LOG = ROOT / "benchmarks" / "performance-log.md"
RESULTS = ROOT / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Job:
    """A script, and the most that it may take."""

    name: str
    minutes: float
    title: str = ""


# In the order of the page. Together they may take more than there is: few need all they may have,
# and the last are those that are missed least.
JOBS = (
    Job("glass", 9, "Glass to glass"),
    Job("pipeline", 5, "Cost of the pipeline"),
    Job("feeding", 2, "Handing pictures to ffmpeg"),
    Job("publishing", 7, "Publish latency, and streams for each core"),
    Job("container", 3, "Overhead of containers and playlists"),
    Job("statics", 3, "Requests, against nginx with static files"),
    Job("crowds", 5, "Fan-out"),
    Job("startup", 4, "Start-up"),
    Job("memory", 4, "Memory"),
    Job("quality", 7, "Encode quality"),
    Job("playlist", 2, "What a part costs at different lengths of the window"),
    Job("testcard", 1, "The test card"),
    Job("microphone", 3, "Live speech"),
)
BUDGET_MINUTES = 30.0
# A script that is told to end has a service, browsers and viewers to end in its turn.
_KILL_SECONDS = 30.0
# What a script leaves behind, and what else runs, is let fade before the next one measures.
_QUIET_SHARE, _QUIET_SECONDS = 0.15, 20.0


def main() -> int:
    arguments = _parser().parse_args()
    wanted = arguments.only.split(",") if arguments.only else [job.name for job in JOBS]
    if unknown := set(wanted) - {job.name for job in JOBS}:
        sys.exit(f"there is no script {sorted(unknown)}; see --help")
    chosen = [job for job in JOBS if job.name in wanted]
    if not arguments.page_only:
        run_all(chosen, arguments.results, quick=arguments.quick)
    results = [_read(job, arguments.results) for job in JOBS]
    _write(results, arguments.docs)
    aims = [aim for found in results for aim in found.aims]
    print("\n".join(["", *map(aim_line, aims)]))
    failed = [found.name for found in results if found.failed]
    print(f"{sum(aim.is_met for aim in aims)} of {len(aims)} aims met; failed: {failed or 'none'}")
    return 1 if failed else 0


def run_all(jobs: Sequence[Job], folder: Path, *, quick: bool) -> None:
    """One after the other, within the budget."""
    deadline = time.monotonic() + BUDGET_MINUTES * 60
    for job in jobs:
        await_quiet(min(_QUIET_SECONDS, deadline - time.monotonic()))
        run(job, folder, quick=quick, seconds_left=deadline - time.monotonic())


def await_quiet(seconds: float) -> None:
    """Wait until the machine has little else to do, or for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and busy_share(1.0) > _QUIET_SHARE:
        pass


def run(job: Job, folder: Path, *, quick: bool, seconds_left: float = float("inf")) -> None:
    """One script; what it says goes to the terminal too.

    Args:
        job: which.
        folder: of its JSON file.
        quick: one short run.
        seconds_left: of the budget of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{job.name}.json"
    path.unlink(missing_ok=True)
    argv = [sys.executable, "-m", f"benchmarks.{job.name}", "--json", str(path)]
    argv += ["--quick"] if quick else []
    print(f"\n### {job.name}", flush=True)
    began = time.monotonic()
    seconds = max(0.0, min(job.minutes * 60, seconds_left))
    child = subprocess.Popen(argv, cwd=ROOT, start_new_session=True)
    try:
        status = child.wait(seconds)
        why = f"exit status {status}" if status or not path.exists() else ""
    except subprocess.TimeoutExpired:
        why = f"not done within {seconds / 60:.3g} minutes"
    finally:
        end(child)
    if why:
        failed = Found(job.name, job.title or job.name, failed=why, command=" ".join(argv[1:3]))
        failed.seconds = time.monotonic() - began
        failed.write(path)


def end(child: subprocess.Popen[bytes]) -> None:
    """Whatever it has started goes with it, politely first: servers then end their own children.

    Some of those lead sessions of their own, which no signal to the script's group reaches.
    """
    below = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sign)
            child.wait(_KILL_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    child.wait()
    for process in below:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _read(job: Job, folder: Path) -> Found:
    path = folder / f"{job.name}.json"
    if path.exists():
        return Found.read(path)
    return Found(job.name, job.title or job.name, failed="it was not run")


def _write(results: list[Found], docs: Path) -> None:
    from benchmarks.plots import draw

    for found in results:
        for plot in found.plots:
            draw(plot, docs / "images")
    log = LOG.read_text("utf-8") if LOG.exists() else ""
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "performance.md").write_text(page(results, log), "utf-8")
    latency = docs / "latency.md"
    for found in results:
        if found.name == "glass" and not found.failed and latency.exists():
            generated.write(latency, "budget", budget(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", default="", help=f"of {', '.join(job.name for job in JOBS)}, commas between")
    add("--quick", action="store_true", help="one short run of each: to see that all works")
    add("--page-only", action="store_true", help="measure nothing, write the page again")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="JSON files [%(default)s]")
    add("--docs", type=Path, default=DOCS, metavar="FOLDER", help="of the page [%(default)s]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
