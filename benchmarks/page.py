"""docs/performance.md, made of what the scripts found; the log at its end is written by hand."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import BUDGET, Aim, Found, Table, number

_HEAD = """# Performance, measured

Written by `make bench` from what the scripts in `benchmarks/` found; only the log at the end, *What
was tried*, is written by hand. Each script measures the alternative in the same run and takes
medians; `--help` tells the rest. Ratios hold on other machines too; milliseconds belong to the one
below.
"""
_IMAGES = "images"


def page(results: Sequence[Found], log: str = "") -> str:
    """The whole page.

    Args:
        results: of the scripts, in their order; a script that failed is one of them.
        log: what was tried, as Markdown under a heading of the second level.
    """
    parts = [_HEAD, _machine(results), _aims(results)]
    parts += [_section(found) for found in results]
    parts += [log.strip()] if log else []
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _machine(results: Sequence[Found]) -> str:
    ran = [found for found in results if found.machine]
    if not ran:
        return "Nothing was measured."
    first = ran[0].machine
    minutes = sum(found.seconds for found in results) / 60
    facts = f"{first['processor']}, {first['system']}, Python {first['Python']}, {first['at']}; "
    return facts + f"{minutes:.0f} minutes of measuring. The browser, too, runs on these cores."


def _aims(results: Sequence[Found]) -> str:
    failed = [found for found in results if found.failed]
    aims = [aim for found in results for aim in found.aims]
    kept = sum(aim.is_met for aim in aims)
    lines = ["## Aims", "", f"{kept} of {len(aims)} aims are met.", ""]
    lines += [f"**`{found.name}` failed: {found.failed}**\n" for found in failed]
    lines += ["| | | aim | |", "|---|---|---|---|"]
    lines += [_aim(aim) for aim in aims]
    return "\n".join(lines)


def _aim(aim: Aim) -> str:
    unit = f" {aim.unit}" if aim.unit else ""
    sign = "≥" if aim.is_floor else "≤"
    verdict = aim.verdict if aim.is_met else f"**{aim.verdict}**"
    value, limit = number(aim.value), number(aim.limit)
    return f"| {aim.what} | {value}{unit} | {sign} {limit}{unit} | {verdict} |"


def _section(found: Found) -> str:
    lines = [f"## {found.title}", ""]
    if found.failed:
        return "\n".join([*lines, f"**Failed: {found.failed}** (`{found.command}`)"])
    lines += [_run(found), ""]
    for table in found.tables:
        lines += [*_table(table), ""]
    for plot in found.plots:
        lines += [f"![{plot.title}]({_IMAGES}/{plot.name}.svg)", ""]
    lines += [f"- {note}" for note in found.notes]
    what, value = found.ratio
    if what:
        lines += ["", f"**{what}: {number(value)}**"]
    return "\n".join(lines)


def budget(found: Found) -> str:
    """Where the time of a picture goes, for the page about latency: which run, and its table.

    Args:
        found: what the benchmark `glass` has to tell.
    """
    (table,) = (each for each in found.tables if each.title == BUDGET)
    untitled = Table("", table.headings, table.rows)
    return "\n".join([_run(found), "", *_table(untitled), ""])


def _run(found: Found) -> str:
    machine = found.machine  # with --only its time is not that of the others
    busy = f"load {machine['load before']} before, {machine['load afterwards']} after"
    median = f"medians of {found.runs} runs" if found.runs > 1 else "one run"
    took = f"{found.seconds:.0f} s, {machine['at']}"
    return f"`{found.command}`: {median}, seed {found.seed}, {took}; {busy}."


def _table(table: Table) -> list[str]:
    lines = [f"**{table.title}**", ""] if table.title else []
    lines += [f"| {' | '.join(table.headings)} |", "|---" * len(table.headings) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in table.rows]
