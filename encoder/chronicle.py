"""What an encoder process tells of its stream in the journal: moments of speech, and changes.

Changes are read off the figures that it publishes anyway, so nothing else has to tell of them.
"""

from __future__ import annotations

import logging
from typing import Any

from journal import (
    KEPT_EVENTS,
    Journal,
    Moment,
    change_name,
    read_face,
    read_mark,
    read_place,
)
from logs import event

# Of the units between two looks, so many came from no source: it has stalled.
STALLED_SHARE = 0.5
_KINDS = {
    Moment.POINT: "mark",
    Moment.STARTED: "speech_started",
    Moment.FINISHED: "speech_finished",
    Moment.INTERRUPTED: "speech_interrupted",
}
_FACE_CHANGED = "face_changed"

# What figures lack while nothing is encoded.
_OF_LIFE = frozenset(("encoder_restarts", "overloaded", "units_fed", "units_repeated"))

Told = tuple[str, dict[str, Any]]
log = logging.getLogger(__name__)


class Chronicle:
    """Writes one stream's journal; a full disk is no reason to stop a stream."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._figures: dict[str, Any] = {}
        self._stalled = False
        self._last: dict[str, str] | None = None  # told of whom; None: not looked up yet

    def moment(self, mark: int, place: dict[str, Any]) -> None:
        """A unit with a mark is fed.

        A source whose encoder process has gone marks again what that one may not have come to.
        """
        kind, facts = told_of(mark, place)
        is_point = kind == _KINDS[Moment.POINT]
        if is_point or self._is_news(_of_whom(facts), kind, again=bool(read_place(mark))):
            self._add(kind, facts)

    def _is_news(self, whom: str, kind: str, *, again: bool) -> bool:
        if self._last is None:
            self._last = last_moments(self._journal)
        last = self._last.get(whom)
        if last is not None and was_told(kind, last, again=again):
            return False
        self._last[whom] = kind
        if len(self._last) > KEPT_EVENTS:
            del self._last[next(iter(self._last))]
        return True

    def figures(self, figures: dict[str, Any]) -> None:
        """Look what has changed since the last look, and tell what could not be told before."""
        self._journal.retry()
        before, self._figures = self._figures, figures
        for told in changes(before, figures):
            self._add(*told)
        stalled = is_stalled(before, figures, was=self._stalled)
        if stalled != self._stalled:
            self._stalled = stalled
            self._add("source_stalled" if stalled else "source_recovered", where(figures))

    def _add(self, kind: str, facts: dict[str, Any]) -> None:
        try:
            self._journal.tell(kind, **facts)
        except OSError as error:
            path, reason = self._journal.path, error.strerror
            event(log, "event_unwritten", level=logging.WARNING, path=path, reason=reason)


def told_of(mark: int, place: dict[str, Any]) -> Told:
    """The event of a mark; ``place`` says where its unit stands."""
    if change := read_face(mark):
        return _FACE_CHANGED, {"change": change_name(change)} | place
    utterance, moment = read_mark(mark)
    name = {"mark": utterance} if moment is Moment.POINT else {"utterance": f"u{utterance:x}"}
    started = {"started": True} if moment is Moment.INTERRUPTED else {}
    return _KINDS[moment], name | started | place


def _of_whom(facts: dict[str, Any]) -> str:
    """The utterance or the change of face that a moment is of."""
    whom: str = facts["change"] if "change" in facts else facts["utterance"]
    return whom


def last_moments(journal: Journal) -> dict[str, str]:
    """Of each utterance and change of face, what an encoder process before has told last."""
    try:
        events = journal.after(0)
    except OSError:
        return {}
    kinds = {*_KINDS.values(), _FACE_CHANGED} - {_KINDS[Moment.POINT]}
    return {_of_whom(event.facts): event.kind for event in events if event.kind in kinds}


def was_told(kind: str, last: str, *, again: bool) -> bool:
    """Whether a moment of an utterance is an old one.

    Args:
        kind: of the moment's event.
        last: the last one that was told of the utterance.
        again: it is a beginning that was marked before.
    """
    return again if kind == _KINDS[Moment.STARTED] else last != _KINDS[Moment.STARTED]


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[Told]:
    """The events between two looks at a stream's figures; ``before`` is empty at first."""
    told: list[Told] = []
    for key, kind in (("state", "state"), ("source", "source"), ("encoder", "encoder")):
        if key in now and before.get(key) != now[key]:
            told.append((kind, {key: now[key], "was": before.get(key)} | where(now)))
    if not _OF_LIFE.issubset(before.keys() & now.keys()):
        return told
    restarts = now["encoder_restarts"]
    if restarts > before["encoder_restarts"]:
        facts = {"encoder": now["encoder"], "restarts": restarts}
        told.append(("encoder_restarted", facts | where(now)))
    if before["overloaded"] != now["overloaded"]:
        told.append(("overloaded" if now["overloaded"] else "kept_up", where(now)))
    return told


def is_stalled(before: dict[str, Any], now: dict[str, Any], *, was: bool) -> bool:
    """Whether a source that was there gives nothing; a new encoder is fed old units too."""
    if not _OF_LIFE.issubset(before.keys() & now.keys()):
        return was
    if before["encoder_restarts"] != now["encoder_restarts"]:
        return was
    fed: int = now["units_fed"] - before["units_fed"]
    repeated: int = now["units_repeated"] - before["units_repeated"]
    if not fed or before["state"] == "starting":
        return was
    return repeated > 0 if was else repeated >= STALLED_SHARE * fed


def where(figures: dict[str, Any]) -> dict[str, Any]:
    """About where the stream was then."""
    return {key: figures[key] for key in ("msn", "media_seconds") if key in figures}
