"""How fast do a thousand held viewers get a part, and what does it cost?

python -m benchmarks.fanout --help

One real encoder makes a small stream of 0.2 s parts. In turn, and several times, each server
serves it to viewers that all wait for the next part: one web process, several, and the programs of
deploy/ in front of one. A wake-up is the time from the part's rename into tmpfs, taken by a process
of its own, to the first byte of the answer at the viewer. Missed: a part that a viewer did not get,
or only after the next one was there. Absolute figures belong to the machine; the ratio to a bare
ASGI application in the same run is what to look at. That application is no server: it serves
nothing else, checks nothing and forgets nothing (benchmarks/fanout_bare.py).

With --slow-readers or --storm each server is measured again among clients that make trouble, which
are not counted as viewers; that they, too, get what they ask for is not looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks import fanout_table
from benchmarks.fanout_fronts import Mode, go_first, modes
from benchmarks.fanout_measure import CALM, Bench, Result, medians, stamping
from config import Settings
from tests.service import Service, temporary_media_root

SMALL = ("--width", "320", "--height", "180", "--video-kbit", "150", "--web-processes", "1")
LEFT_OUT_BY_DEFAULT = ("gthread", "nginx-h2")

Runs = dict[str, list[Result]]


def main() -> int:
    arguments = _parser().parse_args()
    every = modes(arguments.processes)
    wanted = arguments.modes.split(",") if arguments.modes else []
    if unknown := set(wanted) - set(every):
        sys.exit(f"there is no mode {sorted(unknown)}: choose from {', '.join(every)}")
    chosen = [every[name] for name in wanted or every if wanted or name not in LEFT_OUT_BY_DEFAULT]
    for mode in chosen:
        if why := mode.missing():
            print(f"SKIPPED {mode.name}: {why}")
    runs = _run(arguments, [mode for mode in chosen if not mode.missing()])
    summary = [medians(results) for results in runs.values()]
    found = fanout_table.ratios(runs)
    print(f"\nmedians of {arguments.runs} runs, {arguments.ask} held, seed {arguments.seed}\n")
    print(fanout_table.text(summary, found))
    if arguments.json:
        arguments.json.write_text(json.dumps(_facts(arguments, runs, summary, found), indent=2))
    if arguments.markdown:
        table = fanout_table.markdown(summary, found)
        arguments.markdown.write_text(f"`{fanout_table.command(sys.argv[1:])}`\n\n{table}")
    return 0


def _facts(
    arguments: argparse.Namespace, runs: Runs, summary: list[Result], found: dict[str, float]
) -> dict[str, object]:
    return {
        "command": fanout_table.command(sys.argv[1:]),
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "runs": {name: [asdict(result) for result in results] for name, results in runs.items()},
        "medians": [asdict(result) for result in summary],
        "p99 over bare": found,
    }


def _cases(arguments: argparse.Namespace) -> dict[str, int]:
    """What is measured of each mode, and with how many who make trouble."""
    cases = {CALM: 0, "slow": arguments.slow_readers, "storm": arguments.storm}
    return {case: clients for case, clients in cases.items() if clients or case == CALM}


def _viewers(arguments: argparse.Namespace, mode: Mode) -> int:
    if mode.is_tls:
        return int(arguments.tls_viewers or arguments.viewers)
    return int(arguments.viewers * mode.processes)


def _run(arguments: argparse.Namespace, chosen: list[Mode]) -> Runs:
    order = random.Random(arguments.seed)
    plan = [
        (mode, case, clients)
        for mode in chosen
        for case, clients in _cases(arguments).items()
        if case == CALM or mode.kind != "bare"  # which has no answer to what they ask
    ]
    runs: Runs = {f"{mode.name} {case}": [] for mode, case, _ in plan}
    if arguments.first:
        go_first([os.getpid()])  # what is started from here inherits it
    cpus = _divide_cpus(arguments.processes, pin=arguments.pin)
    with temporary_media_root() as name, Service(Path(name) / "media", SMALL) as service:
        folder, media = Path(name), Path(name) / "media"
        time.sleep(2)  # past the first segment, which is encoded in one go
        if arguments.first:
            go_first(service.processes())
        with stamping(media / "live" / "demo" / "v0") as stamps:
            bench = Bench(
                media,
                folder,
                stamps,
                Settings(),
                arguments.seconds,
                arguments.ask,
                cpus,
                is_first=arguments.first,
            )
            for number in range(1, arguments.runs + 1):
                for mode, case, clients in order.sample(plan, len(plan)):
                    result = bench.measure(mode, _viewers(arguments, mode), case, clients)
                    runs[fanout_table.key(result)].append(result)
                    print(f"run {number}:")
                    print(fanout_table.text([result], {}), flush=True)
    return runs


def _divide_cpus(processes: int, *, pin: bool) -> dict[int, str]:
    """The last CPU for one web process; the viewers and the encoder get the others."""
    cpus = sorted(os.sched_getaffinity(0))
    everything = ",".join(map(str, cpus))
    if not pin or len(cpus) < 2:
        return {0: everything, 1: everything, processes: everything}
    os.sched_setaffinity(0, cpus[:-1])
    return {0: everything, processes: everything, 1: str(cpus[-1])}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fanout",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    without = ", ".join(LEFT_OUT_BY_DEFAULT)
    add("--modes", default="", help=f"of {', '.join(modes(2))}, commas between [all but {without}]")
    add("--viewers", type=int, default=1000, help="for each web process [%(default)s]")
    add("--tls-viewers", type=int, default=0, help="where they come over TLS [as --viewers]")
    add("--processes", type=int, default=2, help="web processes, where several [%(default)s]")
    add("--runs", type=int, default=3, help="of each mode [%(default)s]")
    add("--seconds", type=float, default=5.0, help="measured, in each run [%(default)s]")
    add(
        "--ask",
        choices=("part", "playlist"),
        default="part",
        help="what is held: the hinted part, or the playlist reload that announces it [part]",
    )
    add("--slow-readers", type=int, default=0, metavar="N", help="clients that read 1 byte/s [0]")
    add(
        "--storm",
        type=int,
        default=0,
        metavar="N",
        help="clients that leave and return at once [0]",
    )
    add("--seed", type=int, default=1, help="of the order [%(default)s]")
    add(
        "--pin",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="one web process on a CPU of its own [yes]",
    )
    add(
        "--first",
        action="store_true",
        help="all of it goes before other work of the machine (nice -20; needs root)",
    )
    add("--json", type=Path, metavar="FILE", help="write all results")
    add("--markdown", type=Path, metavar="FILE", help="write the table, with the command")
    return parser


if __name__ == "__main__":
    sys.exit(main())
