"""An encoder process that begins in the middle of an utterance is told where."""

from __future__ import annotations

from inference.said import Said
from journal import Moment, face_mark, mark_of, read_mark, read_place

UTTERANCE = 1_782_907_200_123  # milliseconds, as numbers of utterances are
STARTED = mark_of(UTTERANCE, Moment.STARTED)
FINISHED = mark_of(UTTERANCE, Moment.FINISHED)


def begun_at(mark: int) -> tuple[int, Moment, int]:
    return (*read_mark(mark), read_place(mark))


def test_marks_stay_what_they_are_while_the_encoder_lives() -> None:
    said = Said()
    marks = [0, STARTED, 0, 0, FINISHED, 0]
    assert [said.drawn(mark) for mark in marks] == marks


def test_a_new_encoder_is_told_the_place() -> None:
    said = Said()
    for mark in (STARTED, 0, 0):
        said.drawn(mark)
    said.connected()
    assert begun_at(said.drawn(0)) == (UTTERANCE, Moment.STARTED, 3)
    assert said.drawn(0) == 0


def test_between_utterances_and_at_their_ends_there_is_nothing_to_tell() -> None:
    said = Said()
    for mark in (STARTED, 0, FINISHED):
        said.drawn(mark)
    said.connected()
    assert said.drawn(0) == 0
    said.connected()
    assert said.drawn(STARTED) == STARTED
    said.connected()
    assert said.drawn(FINISHED) == FINISHED


def test_units_that_were_taken_back_were_not_said() -> None:
    said = Said()
    for mark in (STARTED, 0, 0, 0):
        said.drawn(mark)
    said.taken_back(2)
    said.connected()
    assert begun_at(said.drawn(0)) == (UTTERANCE, Moment.STARTED, 2)


def test_another_face_in_the_middle_changes_nothing_of_what_is_said() -> None:
    said, other = Said(), face_mark(UTTERANCE + 1)
    assert [said.drawn(mark) for mark in (STARTED, other, 0)] == [STARTED, other, 0]
    said.connected()
    assert begun_at(said.drawn(0)) == (UTTERANCE, Moment.STARTED, 3)


def test_a_producer_of_its_own_may_use_all_of_a_point() -> None:
    mark = mark_of(2**61, Moment.POINT)
    assert begun_at(mark) == (2**61, Moment.POINT, 0)


def test_a_place_never_becomes_another_number() -> None:
    mark = mark_of(UTTERANCE, Moment.STARTED, 10**9)
    assert mark < 2**64
    assert begun_at(mark) == (UTTERANCE, Moment.STARTED, 2**20 - 1)
