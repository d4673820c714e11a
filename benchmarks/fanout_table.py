"""Results as a table, for a terminal and for a page."""

from __future__ import annotations

import shlex
import statistics

from benchmarks.fanout_measure import CALM, Result

TITLES = {
    "bare": "bare ASGI app, 1 process",
    "coalescer": "lipstream, 1 web process",
    "varnish": "Varnish",
    "nginx": "nginx with Lua",
    "nginx-h2": "nginx with Lua, TLS + h2",
    "haproxy": "HAProxy (TLS, h2), Varnish",
    "caddy": "Caddy (TLS, h2), Varnish",
    "gthread": "lipstream, gthread",
}
CASES = {CALM: "", "slow": "slow readers", "storm": "reconnect storm"}


def title(result: Result) -> str:
    """What a row is about."""
    kind, _, number = result.mode.rpartition("-")
    name = TITLES.get(result.mode) or {
        "bare": f"bare ASGI app, {number} processes",
        "coalescer": f"lipstream, {number} web processes",
    }.get(kind, result.mode)
    return f"{name} + {CASES[result.case]}" if result.case != CALM else name


def _by_program(values: dict[str, float]) -> str:
    return " + ".join(f"{value:.0f}" for value in values.values())


def _cells(result: Result, ratio: float | None) -> list[str]:
    return [
        title(result),
        f"{result.viewers:.0f}",
        f"{result.p50_ms:.0f} / {result.p99_ms:.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{result.missed:.0f}",
        f"{result.origin_per_thing:.2f}",
        _by_program(result.cpu_us),
        _by_program(result.memory_mb),
        f"{result.refused:.0f} / {result.lost:.0f}",
    ]


HEADINGS = [
    "",
    "viewers",
    "wake-up p50 / p99 ms",
    "p99 / bare",
    "missed",
    "origin requests a thing",
    "CPU us an answer",
    "memory MB",
    "refused / lost",
]


def text(results: list[Result], found: dict[str, float]) -> str:
    """For a terminal."""
    rows = [HEADINGS, *(_cells(result, found.get(key(result))) for result in results)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADINGS))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines) + "\n"


def markdown(results: list[Result], found: dict[str, float]) -> str:
    """For a page."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(_cells(r, found.get(key(r))))} |" for r in results]
    return "\n".join(lines) + "\n"


def command(arguments: list[str]) -> str:
    """How this was called, without the files that it writes.

    Args:
        arguments: as given.
    """
    kept, words = [], iter(arguments)
    for word in words:
        if word in ("--json", "--markdown"):
            next(words, "")
        elif not word.startswith(("--json=", "--markdown=")):
            kept.append(word)
    return shlex.join(["python", "-m", "benchmarks.fanout", *kept])


def key(result: Result) -> str:
    """Names a row."""
    return f"{result.mode} {result.case}"


def ratios(runs: dict[str, list[Result]]) -> dict[str, float]:
    """p99 over that of the bare application in the same run, with as many processes if that was
    measured; the median of all runs."""
    found = {}
    for name, results in runs.items():
        number = results[0].mode.rpartition("-")[2]
        for bare in (f"bare-{number} {CALM}", f"bare {CALM}"):
            if bare in runs:
                pairs = zip(results, runs[bare], strict=False)
                found[name] = statistics.median(a.p99_ms / b.p99_ms for a, b in pairs)
                break
    return found
