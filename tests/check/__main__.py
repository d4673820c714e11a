"""Write ``docs/check-results.md`` from real runs: ``python -m tests.check``.

The report on a live stream of our own, and every broken stream with what caught it. Where our
stream breaks a MUST, or a broken stream is not caught, nothing is written.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from client.catalogue import TITLES
from client.verdicts import Finding, Outcome
from tests.certificates import make_pair
from tests.check.judging import judged
from tests.check.mutations import MUTATIONS, Mutation
from tests.service import Service, temporary_media_root
from tools import generated

PAGE = Path(__file__).resolve().parents[2] / "docs" / "check-results.md"
REPORT, CAUGHT = "report", "mutations"
# Twice the window: then segments are seen to leave the playlist.
WATCH_SECONDS = 30
# The port of a run is free chance; the page keeps one.
SHOWN_URL = "https://127.0.0.1:8443"
SHOWN_CHARACTERS = 160


def main() -> int:
    """Run both, then write."""
    found = [(mutation, judged(mutation)) for mutation in MUTATIONS]
    missed = [str(m) for m, finding in found if finding.outcome is not Outcome.FAILED]
    if missed:
        print(f"not caught: {', '.join(missed)}", file=sys.stderr)
        return 1
    report = live_report()
    if report is None:
        return 1
    generated.write(PAGE, CAUGHT, mutation_table(found))
    generated.write(PAGE, REPORT, f"```text\n{report}```\n")
    return 0


def mutation_table(found: Iterable[tuple[Mutation, Finding]]) -> str:
    """One line for each broken stream."""
    head = ("rule", "what it is about", "broken how", "level", "caught: what the check said")
    rows = (
        (str(m.rule), TITLES[m.rule], m.name, m.level.value, _cell(finding.evidence))
        for m, finding in found
    )
    return generated.table(head, rows)


def live_report() -> str | None:
    """Of a stream of ours over HTTPS; None if it breaks a MUST, and then it stands on stderr."""
    with TemporaryDirectory() as keys, temporary_media_root() as folder:
        pair = make_pair(Path(keys))
        media_root = Path(folder) / "media"
        with Service(media_root, pair.flags, authority=pair.authority) as service:
            argv = [sys.executable, "-m", "server", "check", "--insecure-tls"]
            argv += ["--seconds", str(WATCH_SECONDS), f"{service.url}/live/demo/index.m3u8"]
            done = subprocess.run(argv, check=False, capture_output=True, text=True)
            report = done.stdout.replace(service.url, SHOWN_URL)
    if done.returncode == 0:
        return report
    print(report, done.stderr, file=sys.stderr)
    return None


def _cell(text: str) -> str:
    """The first of several breaches, so that it cannot break a table."""
    first = text.split("; ")[0]
    short = first if len(first) <= SHOWN_CHARACTERS else first[: SHOWN_CHARACTERS - 1] + "…"
    return short.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
