"""Another face for an avatar that is live: at one frame boundary, told once, the old one gone."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.character import Character
from inference.errors import ImageRejected, NoFaceFound
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.presenter import RECALLABLE, NewFace, Presenter, Region
from inference.wardrobe import Wardrobe
from journal import Moment, face_mark, mark_of, read_face, read_mark
from rawmedia import Frame
from tests.unit.inference.test_speaking import FADE_SAMPLES, Show, face, post, tone

CHANGE = 1_782_907_200_123


class Plain:
    """A face of one colour."""

    def __init__(self, colour: int) -> None:
        self.colour = colour

    @property
    def mouth_region(self) -> Region:
        return 0, 0, 8, 8

    def draw(self, frame: Frame, _mouth: MouthShape, _pose: Pose) -> None:
        frame[:] = self.colour


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "demo.speech"
    path.mkdir()
    return path


def plainly(source: Presenter) -> Show:
    source.face = Plain(10)
    return Show(source, keep_pictures=True)


def colours(show: Show) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in show.pictures]


def test_all_of_it_changes_between_two_units_and_what_is_said_goes_on(folder: Path) -> None:
    source, utterances = face(folder)
    show = plainly(source)
    number = post(utterances, folder, tone(30))
    show.go_on(15)
    source.wear(NewFace(Plain(20), number=CHANGE))
    show.go_on(30)
    assert colours(show) == [10] * 15 + [20] * 30
    assert [read_face(mark) for mark in show.marks] == [0] * 15 + [CHANGE] + [0] * 29
    told = [read_mark(mark) for mark in show.marks if mark and not read_face(mark)]
    assert told == [(number, Moment.STARTED), (number, Moment.FINISHED)]
    start = show.moments()[Moment.STARTED]
    heard = np.concatenate(show.samples[start : start + 30])[:, 0].astype(float)
    inside = slice(FADE_SAMPLES, -FADE_SAMPLES)
    assert np.abs(heard - tone(30) * 32767)[inside].max() <= 2


@pytest.mark.parametrize(("given_back", "first"), [(3, 12), (2, 13)])
def test_units_that_nobody_saw_are_drawn_and_told_anew(
    folder: Path, given_back: int, first: int
) -> None:
    """Where the first of them has the end of the speech to tell, the face waits for the next."""
    source, utterances = face(folder)
    show = plainly(source)
    number = post(utterances, folder, tone(60))
    show.go_on(12)
    source.wear(NewFace(Plain(20), number=CHANGE))
    show.go_on(2)
    assert colours(show) == [10] * 12 + [20] * 2
    utterances.hush()
    show.give_back(given_back)
    cut = len(show.marks)
    show.go_on(30)
    assert read_mark(show.marks[cut]) == (number, Moment.INTERRUPTED)
    assert colours(show) == [10] * first + [20] * (len(show.marks) - first)
    assert [unit for unit, mark in enumerate(show.marks) if read_face(mark)] == [first]


def test_units_behind_the_change_are_drawn_anew_with_the_new_face(folder: Path) -> None:
    source, _utterances = face(folder)
    show = plainly(source)
    source.wear(NewFace(Plain(20), number=CHANGE))
    show.go_on(5)
    show.give_back(3)
    show.go_on(5)
    assert colours(show) == [20] * 7
    assert [read_face(mark) for mark in show.marks] == [CHANGE] + [0] * 6


def test_the_old_face_is_forgotten_when_it_can_be_asked_for_no_more(folder: Path) -> None:
    source, _utterances = face(folder)
    show = plainly(source)
    old = weakref.ref(source.face)
    source.wear(NewFace(Plain(20), number=CHANGE))
    show.go_on(RECALLABLE)
    assert old() is not None
    show.go_on(1)
    gc.collect()
    assert old() is None


def test_of_many_wishes_the_last_is_seen(folder: Path) -> None:
    source, _utterances = face(folder)
    show = plainly(source)
    for number in range(1, 8):
        source.wear(NewFace(Plain(10 * number), number=CHANGE + number))
        show.go_on(1)
    show.go_on(2 * RECALLABLE)
    assert colours(show)[0] == 10
    assert colours(show)[-1] == 70
    assert [read_face(mark) - CHANGE for mark in show.marks if read_face(mark)] == [1, 7]


def two_faces(astronaut: Path, path: Path) -> Path:
    photo = cv2.imread(str(astronaut))
    assert photo is not None
    head = photo[0:300, 60:360]
    smaller = cv2.resize(head, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    below = np.full((head.shape[0], smaller.shape[1], 3), smaller[-1, -1], np.uint8)
    below[: smaller.shape[0]] = smaller
    cv2.imwrite(str(path), np.hstack((head, below)))
    return path


def test_a_photo_is_worn_kept_and_worn_again_by_a_successor(
    folder: Path, astronaut: Path, tmp_path: Path
) -> None:
    source, utterances = face(folder)
    wardrobe = Wardrobe(source, utterances, tmp_path / "demo.worn")
    wardrobe.begin()
    assert isinstance(source.face, Character)
    for _again in range(2):
        new = wardrobe.change(str(astronaut))
    assert new.notes == ()
    assert new.number > 1_600_000_000_000
    show = Show(source, keep_pictures=True)
    show.go_on(RECALLABLE + 2)
    assert source.face is new.face

    successor, numbers = face(folder)
    Wardrobe(successor, numbers, tmp_path / "demo.worn").begin()
    later = Show(successor, keep_pictures=True)
    later.go_on(1)
    assert later.marks == [0], "that is nothing new"
    assert np.array_equal(later.pictures[0], _first_picture(new, source))

    Wardrobe(successor, numbers, tmp_path / "demo.worn").change("")
    third, numbers = face(folder, image=str(astronaut))
    Wardrobe(third, numbers, tmp_path / "demo.worn").begin()
    assert isinstance(third.face, Character)
    assert sorted(path.name for path in tmp_path.glob("*worn*")) == ["demo.worn"]


def _first_picture(new: NewFace, source: Presenter) -> Frame:
    alone = Show(Presenter(new.face, source._media), keep_pictures=True)
    alone.go_on(1)
    return alone.pictures[0]


def test_of_several_faces_the_largest_speaks_and_it_is_said(
    folder: Path, astronaut: Path, tmp_path: Path
) -> None:
    source, utterances = face(folder)
    both = two_faces(astronaut, tmp_path / "both.png")
    new = Wardrobe(source, utterances, tmp_path / "demo.worn").change(str(both))
    assert new.notes == ("2 faces in the picture: the largest is used",)


def test_what_cannot_be_worn_leaves_everything_as_it_was(folder: Path, tmp_path: Path) -> None:
    source, utterances = face(folder)
    before, show = source.face, Show(source)
    wardrobe = Wardrobe(source, utterances, tmp_path / "demo.worn")
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(NoFaceFound):
        wardrobe.change(str(tmp_path / "grey.png"))
    with pytest.raises(ImageRejected, match="No such file"):
        wardrobe.change(str(tmp_path / "gone.png"))
    show.go_on(5)
    assert source.face is before
    assert show.marks == [0] * 5
    assert not (tmp_path / "demo.worn").exists()


def test_a_kept_face_that_has_gone_bad_stops_nobody(folder: Path, tmp_path: Path) -> None:
    source, utterances = face(folder)
    (tmp_path / "demo.worn").write_bytes(b"no picture")
    Wardrobe(source, utterances, tmp_path / "demo.worn").begin()
    assert isinstance(source.face, Character)


def test_a_mark_of_a_face_is_none_of_an_utterance() -> None:
    assert read_face(face_mark(CHANGE)) == CHANGE
    assert face_mark(CHANGE) < 2**64
    for mark in (0, mark_of(CHANGE, Moment.FINISHED), mark_of(CHANGE, Moment.STARTED, 7)):
        assert read_face(mark) == 0
