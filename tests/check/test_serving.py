"""The whole command against real sockets, in real time: sound and broken streams at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from client.check import check
from client.verdicts import Finding, Level, Outcome
from server.cli import main
from tests.check.mutations import MUTATIONS
from tests.check.origin import Origin
from tests.check.serving import serving
from tests.check.stream import Stream

SECONDS = 2.0
BROKEN = (
    "27-other-bytes",
    "36-answers-early",
    "42-forgets-a-segment",
    "69-not-on-404",
    "70-blocks",
)

Checked = dict[str, set[int]]


def musts(findings: list[Finding]) -> set[int]:
    """Those broken by more than lateness: how punctual it looks depends on this machine."""
    must = (finding for finding in findings if finding.level is Level.MUST)
    broken = (finding for finding in must if finding.outcome is Outcome.FAILED)
    return {finding.rule for finding in broken if not finding.only_late}


def broken_musts(origin: Origin) -> set[int]:
    with serving(origin) as url:
        return musts(check(url, SECONDS, verify_tls=True)[1])


@pytest.fixture(scope="module")
def checked() -> Iterator[Checked]:
    """MUSTs that each stream breaks; all are watched at the same time."""
    origins = {"sound": Origin(Stream()), "plain": Origin(Stream(parts=False))}
    origins |= {str(m): Origin(m.stream, m.fault, m.packing) for m in MUTATIONS if str(m) in BROKEN}
    with ThreadPoolExecutor(len(origins)) as pool:
        futures: dict[str, Future[set[int]]] = {
            name: pool.submit(broken_musts, origin) for name, origin in origins.items()
        }
        yield {name: future.result() for name, future in futures.items()}


@pytest.mark.parametrize("name", ["sound", "plain"])
def test_a_sound_stream_breaks_no_must(checked: Checked, name: str) -> None:
    assert checked[name] == set()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_caught(checked: Checked, name: str) -> None:
    assert int(name.partition("-")[0]) in checked[name]


def test_the_command_prints_json_and_says_1_where_a_must_is_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mutation = next(m for m in MUTATIONS if str(m) == "1-bom")
    with serving(Origin(Stream(parts=False), mutation.fault)) as url:
        assert main(["check", url, "--seconds", "1", "--json"]) == 1
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert report["ok"] is False
    rule = next(row for row in report["rules"] if row["rule"] == 1)
    assert (rule["level"], rule["outcome"]) == ("MUST", "failed")
    assert "byte order mark" in rule["evidence"]
    assert "watching" in shown.err


def test_the_command_says_0_where_every_must_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Origin(Stream(ends_with=13))) as url:  # it ended long ago: nothing is in a hurry
        assert main(["check", url, "--seconds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(url)
    assert lines[-1].endswith("every MUST that was seen is kept")
