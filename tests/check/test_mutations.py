"""The check can fail: every broken stream is caught by the number of the rule that it breaks."""

from __future__ import annotations

import pytest

from client import probes, rules
from client.catalogue import TITLES, UNSEEN
from client.verdicts import Level, Outcome
from tests.check.__main__ import CAUGHT, PAGE
from tests.check.judging import judged
from tests.check.mutations import MUTATIONS, Mutation
from tests.check.origin import Origin
from tests.check.recording import findings
from tests.check.stream import Stream
from tools import generated

SOUND = {
    "low latency": Stream(),
    "plain": Stream(parts=False),
    "with a discontinuity": Stream(break_at=17),
    "with one that slides out": Stream(break_at=7),
    "up to its end": Stream(ends_with=17),
    "plain, up to its end": Stream(parts=False, ends_with=17),
}
CHECKED = {(check.rule, check.level) for check in rules.CHECKS}
CHECKED |= {(check.rule, check.level) for check in probes.CHECKS}
# What a busy machine does to a sound stream as well; every other fault is none of its doing.
ONLY_LATE = {
    "20-stalls",
    "31-listed-but-slow",
    "33-trickles",
    "44-stale",
    "45-sound-is-late",
    "45-captions-are-late",
}
# Its window is 10 s; 900 s of made-up segments would only cost time.
WINDOW_RULE = (7, Level.SHOULD)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_stream_passes(name: str) -> None:
    broken = {
        (finding.rule, finding.level): finding.evidence
        for finding in findings(Origin(SOUND[name]))
        if finding.outcome is Outcome.FAILED
    }
    assert broken.keys() <= {WINDOW_RULE}, broken


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_broken_stream_is_caught_by_its_rule(mutation: Mutation) -> None:
    found = judged(mutation)
    assert found.outcome is Outcome.FAILED, found
    assert found.only_late is (str(mutation) in ONLY_LATE), found


def test_the_page_lists_every_broken_stream() -> None:
    listed = generated.read(PAGE, CAUGHT).splitlines()[2:]
    cells = [tuple(cell.strip() for cell in line.split(" | ")) for line in listed]
    wanted = [(f"| {m.rule}", TITLES[m.rule], m.name, m.level.value) for m in MUTATIONS]
    assert [row[:4] for row in cells] == wanted, "run python -m tests.check"


def test_there_is_a_broken_stream_for_every_rule() -> None:
    mutated = {(mutation.rule, mutation.level) for mutation in MUTATIONS}
    assert CHECKED - mutated == {WINDOW_RULE}
    assert {rule for rule, _level in CHECKED} == TITLES.keys()
    assert UNSEEN.keys() <= TITLES.keys()


def test_what_can_be_seen_of_a_sound_stream_is_seen() -> None:
    """Not failing is not enough: a rule that is never looked at would pass for ever."""
    seen: set[tuple[int, Level]] = set()
    for stream in SOUND.values():
        found = findings(Origin(stream))
        seen |= {(f.rule, f.level) for f in found if f.outcome is Outcome.PASSED}
    # A sound origin misses no media and does not stall.
    never = {(19, Level.SHOULD), (40, Level.SHOULD), WINDOW_RULE}
    assert CHECKED - seen == never
