"""What the encoder process tells: moments of speech where they happen, and what has changed."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from encoder.chronicle import Chronicle, changes, told_of
from inference.said import Said
from journal import Journal, Moment, face_mark, mark_of
from tests.unit.mounts import small_tmpfs

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


def test_what_a_full_folder_refuses_is_told_when_it_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its order and with its own time."""
    monkeypatch.setattr("journal.RETRY_SECONDS", 0.0)
    with small_tmpfs(tmp_path / "full", "256k") as folder:
        journal = Journal(folder / "demo.events")
        chronicle = Chronicle(journal)
        chronicle.figures(FIGURES)
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        before = time.time()
        chronicle.figures({"state": "blocked"})
        chronicle.moment(mark_of(7, Moment.FINISHED), PLACE)
        after = time.time()
        chronicle.figures({"state": "blocked"})
        assert len(journal.after(0)) == 3
        ballast.unlink()
        chronicle.figures({"state": "blocked"})
        chronicle.figures(later(FIGURES))
        told = journal.after(0)[3:]
    assert [event.kind for event in told[:2]] == ["state", "speech_finished"]
    assert told[0].facts["state"] == "blocked"
    assert all(before <= event.facts["at"] <= after for event in told[:2])
    assert (told[2].kind, told[2].facts["was"]) == ("state", "blocked")


def speech(journal: Journal) -> list[str]:
    return [event.kind for event in journal.after(0) if event.kind.startswith("speech")]


UNITS = [0, mark_of(9, Moment.STARTED), 0, 0, mark_of(9, Moment.FINISHED), 0, 0]


@pytest.mark.parametrize("fed", range(len(UNITS) + 1))
@pytest.mark.parametrize("in_flight", range(5))
def test_an_encoder_process_that_dies_takes_no_moment_with_it(
    tmp_path: Path, fed: int, in_flight: int
) -> None:
    """Whatever it had been fed, and whatever waited: each moment is told, once, in order."""
    journal, said = Journal(tmp_path / "demo.events"), Said()
    first, second = Chronicle(journal), Chronicle(journal)
    sent = [said.drawn(mark) for mark in UNITS[: fed + in_flight]]
    for mark in filter(None, sent[:fed]):
        first.moment(mark, PLACE)
    said.connected()
    for mark in (*UNITS[fed + in_flight :], 0, 0):
        if again := said.drawn(mark):
            second.moment(again, PLACE)
    assert speech(journal) == ["speech_started", "speech_finished"]


def test_rounds_of_a_clip_are_all_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo.events")
    for _process in range(2):
        chronicle = Chronicle(journal)
        for _round in range(2):
            for moment in (Moment.STARTED, Moment.FINISHED):
                chronicle.moment(mark_of(0, moment), PLACE)
    assert speech(journal) == 4 * ["speech_started", "speech_finished"]


def test_figures_of_a_stream_that_cannot_encode_now() -> None:
    blocked = {"state": "blocked"}
    assert changes({}, blocked) == [("state", {"state": "blocked", "was": None})]
    assert [kind for kind, _ in changes(blocked, FIGURES)] == ["state", "source", "encoder"]
    assert changes(FIGURES, blocked) == [("state", {"state": "blocked", "was": "live"})]
