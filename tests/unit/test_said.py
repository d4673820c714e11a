"""An encoder process that begins in the middle of an utterance is told where."""

from __future__ import annotations

from inference.said import IN_FLIGHT, Said
from journal import Moment, face_mark, mark_of, read_mark, read_place

UTTERANCE = 1_782_907_200_123  # milliseconds, as numbers of utterances are
STARTED = mark_of(UTTERANCE, Moment.STARTED)
FINISHED = mark_of(UTTERANCE, Moment.FINISHED)
NEXT = mark_of(UTTERANCE + 1, Moment.STARTED)


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


def test_between_utterances_there_is_nothing_to_tell() -> None:
    said = Said()
    for mark in (STARTED, 0, FINISHED, *[0] * IN_FLIGHT):
        said.drawn(mark)
    said.connected()
    assert said.drawn(0) == 0
    assert said.drawn(STARTED) == STARTED


def test_an_end_that_a_dead_encoder_may_have_had_in_its_queue_is_told_again() -> None:
    said = Said()
    for mark in (STARTED, *[0] * 20, FINISHED, 0, 0):
        said.drawn(mark)
    said.connected()
    assert [said.drawn(0) for _ in range(2)] == [FINISHED, 0]


def test_each_mark_has_a_unit_of_its_own() -> None:
    """Also one that is drawn meanwhile: it comes a unit later, and says so."""
    said = Said()
    for mark in (STARTED, 0, FINISHED, 0):
        said.drawn(mark)
    said.connected()
    sent = [said.drawn(mark) for mark in (0, NEXT, 0, 0)]
    assert begun_at(sent[0]) == (UTTERANCE, Moment.STARTED, 4)
    assert sent[1] == FINISHED
    assert begun_at(sent[2]) == (UTTERANCE + 1, Moment.STARTED, 1)
    assert sent[3] == 0


def test_what_an_encoder_that_dies_at_once_was_told_is_told_again() -> None:
    said = Said()
    for mark in (STARTED, 0, FINISHED, 0):
        said.drawn(mark)
    said.connected()
    said.drawn(0)
    said.connected()
    assert [read_mark(said.drawn(0))[1] for _ in range(2)] == [Moment.STARTED, Moment.FINISHED]


def test_what_was_told_again_with_a_unit_that_is_taken_back_is_owed_still() -> None:
    said = Said()
    for mark in (STARTED, *[0] * 20, FINISHED, 0):
        said.drawn(mark)
    said.connected()
    assert said.drawn(0) == FINISHED
    said.drawn(NEXT)
    said.taken_back(2)
    assert [said.drawn(0) for _ in range(2)] == [FINISHED, 0]


def test_units_that_were_taken_back_were_not_said() -> None:
    said = Said()
    for mark in (STARTED, 0, 0, 0):
        said.drawn(mark)
    said.taken_back(2)
    said.connected()
    assert begun_at(said.drawn(0)) == (UTTERANCE, Moment.STARTED, 2)


def test_a_long_one_is_known_however_long_ago_it_began() -> None:
    said = Said()
    for mark in (STARTED, *[0] * 999):
        said.drawn(mark)
    said.taken_back(3)
    said.connected()
    assert begun_at(said.drawn(0)) == (UTTERANCE, Moment.STARTED, 997)


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
