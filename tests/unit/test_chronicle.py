"""What the encoder process tells: moments of speech where they happen, and what has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from encoder.chronicle import Chronicle, changes, told_of
from journal import Journal, Moment, face_mark, mark_of

PLACE = {"media_seconds": 7.16, "msn": 4, "part": 5, "date_ms": 1795185154766}
FIGURES: dict[str, Any] = {
    "state": "live",
    "source": "connected",
    "encoder": "libx264",
    "msn": 4,
    "media_seconds": 7.2,
    "encoder_restarts": 0,
    "overloaded": False,
    "units_fed": 100,
    "units_repeated": 0,
}


def later(figures: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Half a second on, and what else has changed."""
    return figures | {"units_fed": figures["units_fed"] + 12} | changed


@pytest.mark.parametrize(
    ("mark", "kind", "facts"),
    [
        (mark_of(0xABC, Moment.STARTED), "speech_started", {"utterance": "uabc"}),
        (mark_of(0xABC, Moment.FINISHED), "speech_finished", {"utterance": "uabc"}),
        (
            mark_of(0xABC, Moment.INTERRUPTED),
            "speech_interrupted",
            {"utterance": "uabc", "started": True},
        ),
        (mark_of(7, Moment.POINT), "mark", {"mark": 7}),
        (face_mark(0xABC), "face_changed", {"change": "fabc"}),
    ],
)
def test_a_mark_becomes_an_event(mark: int, kind: str, facts: dict[str, Any]) -> None:
    assert told_of(mark, PLACE) == (kind, facts | PLACE)


def test_the_first_look_tells_how_things_stand() -> None:
    assert [kind for kind, _ in changes({}, FIGURES)] == ["state", "source", "encoder"]


@pytest.mark.parametrize(
    ("changed", "kind", "facts"),
    [
        ({"state": "ended"}, "state", {"state": "ended", "was": "live"}),
        ({"source": "waiting"}, "source", {"source": "waiting", "was": "connected"}),
        ({"encoder": "h264_nvenc"}, "encoder", {"encoder": "h264_nvenc", "was": "libx264"}),
        ({"encoder_restarts": 2}, "encoder_restarted", {"encoder": "libx264", "restarts": 2}),
        ({"overloaded": True}, "overloaded", {}),
    ],
)
def test_a_change_is_an_event(changed: dict[str, Any], kind: str, facts: dict[str, Any]) -> None:
    place = {"msn": 4, "media_seconds": 7.2}
    assert changes(FIGURES, later(FIGURES, **changed)) == [(kind, facts | place)]


def test_nothing_has_changed() -> None:
    assert changes(FIGURES, later(FIGURES)) == []


def test_a_source_that_stalls_and_comes_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo.events")
    chronicle = Chronicle(journal)
    figures = FIGURES
    chronicle.figures(figures)
    for repeated in (0, 3, 0, 12, 12, 2, 0, 0):
        more = {"units_repeated": figures["units_repeated"] + repeated}
        figures = later(figures, **more)
        chronicle.figures(figures)
    kinds = [event.kind for event in journal.after(0)][3:]
    assert kinds == ["source_stalled", "source_recovered"]


def test_a_new_encoder_is_no_stall(tmp_path: Path) -> None:
    """It is fed again what the old one did not give back."""
    journal = Journal(tmp_path / "demo.events")
    chronicle = Chronicle(journal)
    chronicle.figures(FIGURES)
    chronicle.figures(later(FIGURES, encoder_restarts=1, units_repeated=12))
    assert [event.kind for event in journal.after(0)][3:] == ["encoder_restarted"]


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    Chronicle(Journal(tmp_path / "gone" / "demo.events")).figures(FIGURES)


def test_figures_of_a_stream_that_cannot_encode_now() -> None:
    blocked = {"state": "blocked"}
    assert changes({}, blocked) == [("state", {"state": "blocked", "was": None})]
    assert [kind for kind, _ in changes(blocked, FIGURES)] == ["state", "source", "encoder"]
    assert changes(FIGURES, blocked) == [("state", {"state": "blocked", "was": "live"})]
