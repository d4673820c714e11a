"""What the motion network is told."""

from __future__ import annotations

import numpy as np
import pytest

from inference.ditto.conditions import CONDITION_DIMS, Character, conditions, feeling, ping_pong
from inference.ditto.errors import DittoRefused


def character(views: int) -> Character:
    opened = np.arange(views, dtype=np.float32)[:, None] + (0, 0.5)
    balls = 100 + np.arange(views, dtype=np.float32)[:, None] + np.zeros(6)
    return Character(
        opened.astype(np.float32),
        balls.astype(np.float32),
        np.full(63, 7, np.float32),
        np.zeros(265, np.float32),
    )


def test_everything_has_its_place() -> None:
    speech = np.full((4, 1024), 3, np.float32)
    emotions = np.eye(8, dtype=np.float32)
    told = conditions(speech, -1, emotions, character(3))
    assert told.shape == (4, CONDITION_DIMS) == (4, 1103)
    assert told.dtype == np.float32
    assert (told[:, :1024] == 3).all()
    # before the start it is as at the start
    assert told[:, 1024:1032].argmax(axis=1).tolist() == [0, 0, 1, 2]
    assert told[:, 1032].tolist() == [0, 0, 1, 2]
    assert told[:, 1033].tolist() == [0.5, 0.5, 1.5, 2.5]
    assert told[:, 1034].tolist() == [100, 100, 101, 102]
    assert (told[:, 1040:] == 7).all()


def test_eyes_go_there_and_back_and_feelings_go_round() -> None:
    told = conditions(
        np.zeros((7, 1024), np.float32), 0, np.eye(8, dtype=np.float32)[:2], character(3)
    )
    assert told[:, 1032].tolist() == [0, 1, 2, 2, 1, 0, 0]
    assert told[:, 1024].tolist() == [1, 0, 1, 0, 1, 0, 1]
    held = conditions(
        np.zeros((7, 1024), np.float32), 0, np.eye(8, dtype=np.float32)[:2], character(3).held()
    )
    assert held[:, 1032].tolist() == [0] * 7


@pytest.mark.parametrize(("index", "place"), [(0, 0), (3, 3), (4, 3), (7, 0), (8, 0), (11, 3)])
def test_ping_pong(index: int, place: int) -> None:
    assert ping_pong(index, 4) == place


def test_feelings() -> None:
    happy = feeling("happy")
    assert happy.shape == (1, 8)
    assert happy[0].argmax() == 3
    assert happy[0, 3] == pytest.approx(np.exp(8) / (np.exp(8) + 7))
    assert np.array_equal(feeling(3), happy)
    assert np.array_equal(feeling("3"), happy)
    both = feeling("Happy, sad")
    assert both[0, 3] == both[0, 5] == pytest.approx(0.5, abs=2e-3)
    assert np.array_equal(feeling([3, 5]), both)
    assert np.array_equal(feeling([[3], [5]])[1], feeling(5)[0])
    given = np.full((600, 8), 0.125)  # float64, as they are shipped
    assert feeling(given).dtype == np.float32


@pytest.mark.parametrize("wrong", ["cheerful", "", 8, -1, np.zeros((3, 7)), [[]]])
def test_feelings_that_there_are_not(wrong: object) -> None:
    with pytest.raises(DittoRefused, match="emotion"):
        feeling(wrong)  # type: ignore[arg-type]
