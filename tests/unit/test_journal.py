"""The journal: many writers, any number of readers, a bound."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal import (
    KEPT_BYTES,
    KEPT_EVENTS,
    LONGEST_EVENT_BYTES,
    Journal,
    Moment,
    mark_of,
    read_mark,
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "demo.events")


def test_events_come_in_order_with_their_facts(journal: Journal) -> None:
    journal.add("state", state="live")
    journal.add("speech_started", utterance="u1", msn=7)
    first, second = journal.after(0)
    assert (first.kind, first.facts["state"]) == ("state", "live")
    assert (second.kind, second.facts["utterance"], second.facts["msn"]) == (
        "speech_started",
        "u1",
        7,
    )
    assert first.id < second.id
    assert journal.after(first.id) == [second]
    assert journal.after(second.id) == []


def test_nothing_has_happened_yet(journal: Journal) -> None:
    assert journal.after(0) == []


def test_it_keeps_the_newest_and_stays_small(journal: Journal) -> None:
    for number in range(KEPT_EVENTS + 5):
        journal.add("mark", mark=number)
    kept = journal.after(0)
    assert [event.facts["mark"] for event in kept] == list(range(5, KEPT_EVENTS + 5))
    assert journal.path.stat().st_size <= KEPT_BYTES


def test_an_event_that_is_too_long_is_cut_and_says_so(journal: Journal) -> None:
    journal.add("speech_queued", utterance="u1", cues=["x" * LONGEST_EVENT_BYTES])
    (event,) = journal.after(0)
    assert (event.kind, event.facts["utterance"]) == ("speech_queued", "u1")
    assert event.facts["cut_bytes"] > LONGEST_EVENT_BYTES
    assert "cues" not in event.facts
    assert journal.path.stat().st_size <= 1000


def test_long_events_drive_out_more_old_ones(journal: Journal) -> None:
    for number in range(30):
        journal.add("speech_queued", number=number, cues=["x" * 15_000])
    kept = [event.facts["number"] for event in journal.after(0)]
    assert kept == list(range(30 - len(kept), 30))
    assert 10 < len(kept) < 20
    assert journal.path.stat().st_size <= KEPT_BYTES


def test_any_text_survives(journal: Journal) -> None:
    text = 'line\nbreak\r\u2028\u0085 "quote" 😀'
    journal.add("speech_queued", text=text)
    journal.add("state")
    assert [event.facts.get("text") for event in journal.after(0)] == [text, None]


def test_ids_rise_when_a_stream_of_the_same_name_follows(journal: Journal) -> None:
    journal.add("state", state="ended")
    (old,) = journal.after(0)
    journal.remove()
    assert not list(journal.path.parent.iterdir())
    journal.add("state", state="live")
    (new,) = journal.after(0)
    assert new.id > old.id


def test_ids_rise_when_the_clock_goes_back(journal: Journal) -> None:
    ahead = {"id": 1 << 62, "event": "state", "at": 1.0}
    journal.path.write_text(json.dumps(ahead) + "\n")
    journal.add("state")
    assert [event.id for event in journal.after(0)] == [1 << 62, (1 << 62) + 1]


def write_many(path: Path, writer: int) -> None:
    for number in range(25):
        Journal(path).add("mark", writer=writer, number=number)


def test_writers_in_many_processes_lose_nothing(journal: Journal) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(journal.path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events = journal.after(0)
    assert len(events) == 100
    assert [event.id for event in events] == sorted({event.id for event in events})
    for number in range(4):
        told = [event.facts["number"] for event in events if event.facts["writer"] == number]
        assert told == list(range(25))


@given(st.integers(0, 2**42 - 1), st.sampled_from(Moment))
def test_a_mark_says_what_was_put_into_it(utterance: int, moment: Moment) -> None:
    mark = mark_of(utterance, moment)
    assert 0 <= mark < 2**64
    assert read_mark(mark) == (utterance, moment)
    assert mark != 0 or (utterance, moment) == (0, Moment.POINT)
