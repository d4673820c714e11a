"""The accounts of a stream: lag, skew, and why things were replaced or refused."""

from __future__ import annotations

import ast
from pathlib import Path

from encoder.clock import NANOSECONDS
from encoder.ledger import ENFORCED_RULES, WINDOW_PARTS, Fault, HandOvers, Ledger

SECOND = NANOSECONDS


def test_lag_is_from_hand_over_to_publication() -> None:
    ledger = Ledger(HandOvers())
    for unit, lag in ((4, 0.1), (9, 0.3), (14, 0.2)):
        ledger.handed.note(unit, unit * SECOND)
        ledger.published(unit, unit * SECOND + round(lag * SECOND), 0.0)
    assert ledger.figures()["encode_lag_seconds"] == {"median": 0.2, "max": 0.3}


def test_a_replaced_encoder_is_judged_by_what_it_was_given() -> None:
    """The unit is fed again to the new one: the old hand-over would make the lag huge."""
    ledger = Ledger(HandOvers())
    ledger.handed.note(4, 0)
    ledger.handed.note(4, 10 * SECOND)
    ledger.published(4, 10 * SECOND + SECOND // 10, 0.0)
    assert ledger.figures()["encode_lag_seconds"]["max"] == 0.1


def test_what_was_forgotten_is_not_told() -> None:
    handed = HandOvers()
    handed.note(0, SECOND)
    for unit in range(1, 600):
        handed.note(unit, SECOND)
    assert handed.when(0) is None
    assert handed.when(599) == SECOND
    ledger = Ledger(handed)
    ledger.published(0, 9 * SECOND, 0.25)
    assert ledger.figures()["encode_lag_seconds"] == {"median": None, "max": None}
    assert ledger.figures()["av_skew_seconds"] == 0.25


def test_old_parts_leave_the_window() -> None:
    ledger = Ledger(HandOvers())
    for skew in (5.0, *[0.1] * WINDOW_PARTS):
        ledger.handed.note(1, 0)
        ledger.published(1, SECOND if skew > 1 else 0, skew)
    figures = ledger.figures()
    assert figures["encode_lag_seconds"]["max"] == 0
    assert figures["av_skew_seconds"] == 0.1


def test_every_reason_is_told_from_the_start() -> None:
    """A counter that appears with its first event hides that event from a rate."""
    ledger = Ledger(HandOvers())
    assert ledger.figures()["encoder_restarts_by_reason"] == {fault.value: 0 for fault in Fault}
    ledger.restarts[Fault.STUCK.value] += 1
    ledger.refused[22] += 2
    figures = ledger.figures()
    assert figures["encoder_restarts_by_reason"]["stuck"] == 1
    assert figures["refused_by_rule"] == {**dict.fromkeys(map(str, ENFORCED_RULES), 0), "22": 2}


def test_every_rule_that_is_enforced_is_counted_from_the_start() -> None:
    root = Path(__file__).resolve().parents[2]
    enforced = set()
    for path in (root / "encoder").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "StreamBroken":
                (rule,) = (word.value for word in node.keywords if word.arg == "rule")
                assert isinstance(rule, ast.Constant), f"{path}:{node.lineno}: say which rule"
                enforced.add(rule.value)
    assert enforced == set(ENFORCED_RULES)
