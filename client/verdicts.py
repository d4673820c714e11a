"""What a check can conclude, and how a conclusion is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Generic, TypeVar

# A stream that breaks a rule in each playlist need not fill the screen.
_SHOWN_FAULTS = 3
_COUNTED_FAULTS = 1000
_SHOWN_CHARACTERS = 400


class Level(StrEnum):
    """How much a rule binds."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class Outcome(StrEnum):
    """What was concluded, the worst first."""

    FAILED = "failed"
    PASSED = "passed"
    NOT_SEEN = "not seen"  # it could have been, but did not happen while we watched
    NOT_APPLICABLE = "n/a"  # the stream does not offer what the rule is about
    HIDDEN = "hidden"  # nobody can see it from outside


class Late(str):
    """A fault that is nothing but lateness: on a busy machine a sound stream has it too."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A conclusion and what it rests on."""

    outcome: Outcome
    evidence: str
    only_late: bool = False  # failed, and every fault is lateness


Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """One rule, or one half of a rule that has two, over one kind of subject."""

    rule: int
    level: Level
    run: Callable[[Subject], Verdict]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    rule: int
    level: Level
    outcome: Outcome
    evidence: str
    only_late: bool = False

    @property
    def breaks_a_must(self) -> bool:
        """Whether this alone makes the check fail."""
        return self.level is Level.MUST and self.outcome is Outcome.FAILED


def must(rule: int, run: Callable[[Subject], Verdict]) -> Check[Subject]:
    """A check of something that must be so."""
    return Check(rule, Level.MUST, run)


def should(rule: int, run: Callable[[Subject], Verdict]) -> Check[Subject]:
    """A check of something that should be so."""
    return Check(rule, Level.SHOULD, run)


def judge(faults: Iterable[str], kept: str) -> Verdict:
    """Failed with the first faults, or passed with ``kept`` as evidence."""
    found = list(dict.fromkeys(islice(faults, _COUNTED_FAULTS)))
    if not found:
        return Verdict(Outcome.PASSED, printable(kept))
    shown = "; ".join(printable(fault) for fault in found[:_SHOWN_FAULTS])
    more = len(found) - _SHOWN_FAULTS
    only_late = all(isinstance(fault, Late) for fault in found)
    return Verdict(Outcome.FAILED, shown + (f"; and {more} more" if more > 0 else ""), only_late)


def late(text: str, seconds: float, most_seconds: float) -> str:
    """A fault that is lateness; who is later than ``most_seconds`` has stopped."""
    return Late(text) if seconds <= most_seconds else text


def not_applicable(reason: str) -> Verdict:
    """The stream does not offer what the rule is about."""
    return Verdict(Outcome.NOT_APPLICABLE, printable(reason))


def not_seen(reason: str) -> Verdict:
    """It did not happen while we watched."""
    return Verdict(Outcome.NOT_SEEN, printable(reason))


def run_all(checks: Iterable[Check[Subject]], subject: Subject) -> list[Finding]:
    """Run checks over one subject."""
    findings = []
    for check in checks:
        made = check.run(subject)
        findings.append(
            Finding(check.rule, check.level, made.outcome, made.evidence, made.only_late)
        )
    return findings


def printable(text: str) -> str:
    """Text of a foreign server, safe on a terminal and of bounded length."""
    clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:_SHOWN_CHARACTERS])
    return clean + ("…" if len(text) > _SHOWN_CHARACTERS else "")
