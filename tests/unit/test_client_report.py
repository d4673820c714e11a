"""Verdicts, the report, and the command's errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from client.report import as_json, gather, table, verdict
from client.verdicts import Finding, Late, Level, Outcome, judge, late, printable
from server.cli import main
from tests.check.origin import Origin
from tests.check.recording import record
from tests.check.stream import Stream

MUST, SHOULD = Level.MUST, Level.SHOULD


def finding(rule: int, outcome: Outcome, evidence: str = "", level: Level = MUST) -> Finding:
    return Finding(rule, level, outcome, evidence)


def test_the_worst_finding_of_a_rule_counts() -> None:
    found = gather(
        [
            finding(63, Outcome.PASSED, "good"),
            finding(63, Outcome.FAILED, "bad"),
            finding(63, Outcome.FAILED, "worse"),
            finding(7, Outcome.FAILED, "short", SHOULD),
            finding(7, Outcome.NOT_SEEN, "young"),
            finding(7, Outcome.PASSED, "long enough"),
        ]
    )
    assert found == [
        finding(7, Outcome.PASSED, "long enough"),
        finding(7, Outcome.FAILED, "short", SHOULD),
        finding(63, Outcome.FAILED, "bad; worse"),
    ]


def test_what_is_only_late_is_told_apart() -> None:
    """So that a gate on a busy machine can let lateness pass and nothing else."""
    assert judge([Late("a"), Late("b")], "").only_late
    assert not judge([Late("a"), "gone"], "").only_late
    assert not judge([], "").only_late
    assert late("a", 5.9, 6).__class__ is Late
    assert late("a", 6.1, 6).__class__ is str
    slow = Finding(31, MUST, Outcome.FAILED, "slow", only_late=True)
    gone = Finding(31, MUST, Outcome.FAILED, "gone")
    kept = finding(31, Outcome.PASSED, "kept")
    assert [found.only_late for found in gather([slow, kept])] == [True]
    assert [found.only_late for found in gather([slow, gone])] == [False]
    assert slow.breaks_a_must


def test_the_verdict_names_what_is_broken() -> None:
    kept = [finding(1, Outcome.PASSED), finding(42, Outcome.NOT_APPLICABLE)]
    assert verdict(kept) == "1 kept; 1 n/a; every MUST that was seen is kept"
    broken = [*kept, finding(7, Outcome.FAILED, level=SHOULD), finding(36, Outcome.FAILED)]
    assert verdict(broken) == "1 kept; 1 n/a; SHOULD broken: 7; MUST broken: 36"


def test_evidence_is_bounded_and_counted() -> None:
    verdict = judge((f"fault {n}" for n in range(10**9)), "")
    assert verdict.evidence == "fault 0; fault 1; fault 2; and 997 more"
    assert len(judge(["x" * 10_000], "").evidence) < 500


def test_a_foreign_server_cannot_paint_the_terminal() -> None:
    assert printable("a\x1b[31mb\r\nc") == "a\\x1b[31mb\\r\\nc"


def test_the_table_and_the_json_tell_the_same() -> None:
    observation = record(Origin(Stream(parts=False)), seconds=1)
    found = [finding(1, Outcome.PASSED, "clean"), finding(62, Outcome.FAILED, "unpacked")]
    lines = table(observation, found).splitlines()
    assert "  1  MUST    ok        UTF-8, #EXTM3U first, clean attribute lists: clean" in lines
    assert any(line.startswith(" 62  MUST    FAILED    gzip") for line in lines)
    assert any(line.startswith("not visible from outside: ") for line in lines)
    assert lines[-1].endswith("MUST broken: 62")
    report = as_json(observation, found)
    assert report["ok"] is False
    assert report["renditions"] == [f"{name}/media.m3u8" for name in ("v0", "v1", "a0", "s0")]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """One that nobody can have meanwhile, and where nobody listens."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield deaf.getsockname()[1]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not-an-address", ("not-an-address", "http://")),
        ("file:///etc/passwd", ("http://",)),
        ("http://127.0.0.1:{port}/live/x/index.m3u8", ("refused",)),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_2(
    url: str, words: tuple[str, ...], closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", url.format(port=closed_port), "--seconds", "1"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = [line for line in shown.err.splitlines() if line.startswith("lipstream: ")]
    assert all(word in line for word in ("cannot check", *words))
