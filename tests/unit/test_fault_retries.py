"""When a row of the fault table is measured again, and when never."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import viewers
from tests.faults.viewers import Audience, Row, Seen

CALM = Seen("x", 0.2, 0.1, 0, 0, 0, 0, ())


class Scripted(Audience):
    """Sees what a test says, one after the other."""

    script: list[Seen]

    @contextmanager
    def _measured(self, fault: str, *, settle_segments: int = 2) -> Iterator[Row]:
        row = Row()
        yield row
        row.seen = self.script.pop(0)


@pytest.fixture
def audience(tmp_path: Path) -> Scripted:
    return Scripted("http://x", None, tmp_path / "rows")  # type: ignore[arg-type] # no browser


def pressure(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(viewers.CpuPressure, "share", share)


def rows(audience: Scripted) -> list[float]:
    assert audience.rows is not None
    if not audience.rows.exists():
        return []
    return [json.loads(line)["freeze"] for line in audience.rows.read_text().splitlines()]


def test_a_starved_machine_is_given_another_try(
    monkeypatch: pytest.MonkeyPatch, audience: Scripted
) -> None:
    pressure(monkeypatch, 0.9)
    audience.script = [replace(CALM, freeze=3.0), CALM]
    tries: list[Row] = []
    undone: list[bool] = []
    audience.promise("x", tries.append, undo=lambda: undone.append(True))
    assert len(tries) == 2
    assert undone == [True]
    assert rows(audience) == [0.1], "what counts is in the table, once"


def test_it_is_given_two_more_at_most(monkeypatch: pytest.MonkeyPatch, audience: Scripted) -> None:
    pressure(monkeypatch, 0.9)
    audience.script = [replace(CALM, freeze=3.0)] * 9
    with pytest.raises(AssertionError):
        audience.promise("x", lambda _row: None)
    assert len(audience.script) == 9 - viewers.TRIES
    assert rows(audience) == [3.0]


@pytest.mark.parametrize("slow", [replace(CALM, freeze=3.0), replace(CALM, part_gap=3.0)])
def test_a_machine_with_time_is_given_none(
    monkeypatch: pytest.MonkeyPatch, audience: Scripted, slow: Seen
) -> None:
    pressure(monkeypatch, 0.5)
    audience.script = [slow, CALM]
    with pytest.raises(AssertionError):
        audience.promise("x", lambda _row: None, part_gap=1.0)
    assert audience.script == [CALM]


@pytest.mark.parametrize(
    "broken",
    [
        replace(CALM, broken=("8: segment 3 was ...",)),
        replace(CALM, reloads=1),
        replace(CALM, fatal_errors=1),
        replace(CALM, discontinuities=1),
    ],
)
def test_what_is_broken_is_broken_on_any_machine(
    monkeypatch: pytest.MonkeyPatch, audience: Scripted, broken: Seen
) -> None:
    pressure(monkeypatch, 1.0)
    audience.script = [broken, CALM]
    with pytest.raises(AssertionError):
        audience.promise("x", lambda _row: None)
    assert audience.script == [CALM]


def test_the_kernel_tells_who_waited() -> None:
    """``some avg10=... total=<microseconds>``; 0 where it tells nothing."""
    assert viewers.CpuPressure().share >= 0
