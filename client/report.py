"""What was found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from client.catalogue import TITLES, UNSEEN
from client.observation import Observation
from client.verdicts import Finding, Level, Outcome

_ORDER = list(Outcome)  # the worst first
_MARKS = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "FAILED",
    Outcome.NOT_SEEN: "not seen",
    Outcome.NOT_APPLICABLE: "n/a",
    Outcome.HIDDEN: "hidden",
}


def gather(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each rule and level: the worst, with all evidence of that outcome."""
    groups: dict[tuple[int, Level], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.rule, finding.level), []).append(finding)
    gathered = []
    for (rule, level), members in groups.items():
        worst = min((m.outcome for m in members), key=_ORDER.index)
        those = [member for member in members if member.outcome is worst]
        texts = dict.fromkeys(member.evidence for member in those if member.evidence)
        only_late = all(member.only_late for member in those)
        gathered.append(Finding(rule, level, worst, "; ".join(texts), only_late))
    return sorted(gathered, key=lambda finding: (finding.rule, finding.level))


def table(observation: Observation, findings: Sequence[Finding]) -> str:
    """A line for each rule, then what cannot be seen, then the verdict."""
    rows = [
        f"{finding.rule:>3}  {finding.level:<6}  {_MARKS[finding.outcome]:<8}  "
        f"{TITLES[finding.rule]}" + (f": {finding.evidence}" if finding.evidence else "")
        for finding in findings
    ]
    names = ", ".join(rendition.name for rendition in observation.renditions)
    head = f"{observation.url}: {names}, watched for {observation.seconds:.0f} s"
    unseen = "; ".join(f"{rule} {text}" for rule, text in UNSEEN.items())
    notes = [f"note: {note}" for note in observation.notes]
    return (
        "\n".join(
            [
                head,
                "",
                *rows,
                "",
                f"not visible from outside: {unseen}",
                *notes,
                "",
                verdict(findings),
            ]
        )
        + "\n"
    )


def verdict(findings: Sequence[Finding]) -> str:
    """The last line."""
    counts = Counter(finding.outcome for finding in findings)
    musts = [str(finding.rule) for finding in findings if finding.breaks_a_must]
    shoulds = [
        str(finding.rule)
        for finding in findings
        if finding.outcome is Outcome.FAILED and not finding.breaks_a_must
    ]
    told = [f"{counts[Outcome.PASSED]} kept"]
    told += [f"{counts[o]} {o}" for o in (Outcome.NOT_SEEN, Outcome.NOT_APPLICABLE) if counts[o]]
    if shoulds:
        told.append(f"SHOULD broken: {', '.join(shoulds)}")
    told.append(f"MUST broken: {', '.join(musts)}" if musts else "every MUST that was seen is kept")
    return "; ".join(told)


def as_json(observation: Observation, findings: Sequence[Finding]) -> dict[str, object]:
    """The same for programs."""
    return {
        "url": observation.url,
        "seconds": round(observation.seconds, 3),
        "renditions": [rendition.name for rendition in observation.renditions],
        "ok": not any(finding.breaks_a_must for finding in findings),
        "rules": [
            {
                "rule": finding.rule,
                "level": finding.level.value,
                "outcome": finding.outcome.value,
                "title": TITLES[finding.rule],
                "evidence": finding.evidence,
                "only_late": finding.only_late,
            }
            for finding in findings
        ],
        "not_visible": {str(rule): text for rule, text in UNSEEN.items()},
        "notes": list(observation.notes),
    }
