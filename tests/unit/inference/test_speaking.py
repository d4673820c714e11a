"""A face that is spoken through: what begins, what is cut off, and that nothing jumps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from config import SILENT, Settings
from inference.line import EMPHASIS_SECONDS
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.presenter import Instant, Presenter, mouth_opening, mouth_region
from inference.source import make_source
from inference.speech import BUILT_IN_SAMPLE
from inference.utterances import Utterances, name_of
from journal import Journal, Moment, read_mark
from rawmedia import Frame, MediaFormat, Samples
from tests.machine import Machine

MEDIA = MediaFormat(64, 64, 25)
SEEN = MediaFormat(640, 360, 25)
FADE_SAMPLES = 480
# Where something begins to be said or ends, against the median of what changes while it is said:
# the mouth may change by twice as much, all that is seen by less. Seen: at most 1.38.
WHOLE_MOST = 1.5
Posted = tuple[Presenter, Utterances]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "demo.speech"
    path.mkdir()
    return path


def face(folder: Path, media: MediaFormat = MEDIA, **settings: object) -> Posted:
    journal = Journal(folder.with_suffix(".events"))
    utterances = Utterances(media, folder, 600, journal)
    given = {"width": media.width, "height": media.height, "audio": SILENT} | settings
    source = make_source(Settings(**given), media, utterances=utterances)  # type: ignore[arg-type]
    assert isinstance(source, Presenter)
    return source, utterances


def post(utterances: Utterances, folder: Path, wave: np.ndarray, *, interrupt: bool = False) -> int:
    path = folder / "in.partial"
    soundfile.write(path, wave, 48_000, format="WAV", subtype="FLOAT")
    return utterances.add(path, 600, {}, interrupt=interrupt).utterance


def tone(units: int, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * 200 * np.arange(units * 1920) / 48_000)


def vowels(first: int = 15, units: int = 60) -> np.ndarray:
    """A piece out of the middle of speech: it begins and ends at full voice."""
    wave, rate_hz = soundfile.read(BUILT_IN_SAMPLE, dtype="float32")
    assert rate_hz in (22_050, 24_000, 44_100, 48_000)
    unit = rate_hz // 25
    piece = wave[first * unit : (first + units) * unit]
    loud = np.flatnonzero(np.abs(piece) > 0.1)
    return np.repeat(piece[loud[0] : loud[-1]], 48_000 // rate_hz)


@dataclass
class Show:
    """What a face did, unit by unit."""

    source: Presenter
    keep_pictures: bool = False
    samples: list[Samples] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    pictures: list[Frame] = field(default_factory=list)

    def go_on(self, units: int) -> None:
        media = self.source._media
        frame = np.zeros((media.height, media.width, 3), np.uint8)
        for _ in range(units):
            samples = np.full((media.samples_per_unit, 1), 7777, np.int16)
            self.marks.append(self.source.render(frame, samples))
            self.samples.append(samples)
            if self.keep_pictures:
                self.pictures.append(frame.copy())

    def give_back(self, units: int) -> None:
        """As the encoder does with what it has not begun to use."""
        for told in (self.samples, self.marks, self.pictures):
            del told[len(told) - units :]
        self.source.go_back(units)

    def moments(self) -> dict[Moment, int]:
        """At which unit which moment of what was posted was."""
        told = ((read_mark(mark), n) for n, mark in enumerate(self.marks) if mark)
        return {moment: n for (number, moment), n in told if number}

    def heard(self) -> list[bool]:
        return [bool(each.any()) for each in self.samples]


def told(folder: Path) -> list[tuple[str, str]]:
    events = Journal(folder.with_suffix(".events")).after(0)
    return [(event.kind, event.facts["utterance"]) for event in events]


def test_a_silent_face_waits_to_be_spoken_to(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    show.go_on(10)
    number = post(utterances, folder, tone(20))
    show.go_on(40)
    moments = show.moments()
    start, end = moments[Moment.STARTED], moments[Moment.FINISHED]
    assert (end - start) == 20
    assert 10 < start <= 14
    assert show.heard() == [start <= n < end for n in range(50)]
    assert {read_mark(mark)[0] for mark in show.marks if mark} == {number}
    assert not list(folder.glob("*speaking")), "what was said is removed"


def test_silence_alone_is_said_with_closed_lips(folder: Path) -> None:
    source, utterances = face(folder, SEEN)
    show = Show(source, keep_pictures=True)
    rest = mouth_region(source)
    post(utterances, folder, tone(20, 0.0))
    show.go_on(40)
    moments = show.moments()
    assert moments[Moment.FINISHED] - moments[Moment.STARTED] == 20
    assert not any(show.heard())
    opening = [mouth_opening(picture, rest) for picture in show.pictures]
    assert max(opening) - min(opening) < 30, "lips move for nothing"


def test_a_dead_channel_is_no_silence(folder: Path) -> None:
    source, utterances = face(folder, SEEN)
    show = Show(source, keep_pictures=True)
    voice = vowels()
    post(utterances, folder, np.stack((voice, np.zeros_like(voice)), axis=1))
    show.go_on(60)
    assert sum(show.heard()) > 30
    opening = [mouth_opening(picture, mouth_region(source)) for picture in show.pictures]
    assert max(opening) - min(opening) > 150, "the mouth did not open"


def test_the_sample_gives_way_for_good(folder: Path) -> None:
    """Its only use is to show that the service works."""
    source, utterances = face(folder, audio="", pause_seconds=0.2)
    show = Show(source)
    show.go_on(30)
    assert any(show.heard()[20:])
    post(utterances, folder, tone(5))
    show.go_on(30)
    assert show.moments()[Moment.STARTED] <= 30 + 2 * 3 + 1
    show.go_on(40)
    assert not any(show.heard()[-40:])


def test_what_is_repeated_is_told_too(folder: Path, tmp_path: Path) -> None:
    """A page says "talking" of every face that talks; the number of such an utterance is 0."""
    own = tmp_path / "own.wav"
    soundfile.write(own, tone(10, 0.2), 48_000)
    source, utterances = face(folder, audio=str(own), pause_seconds=0.4)
    show = Show(source)
    show.go_on(25)
    utterances.hush()
    show.go_on(10)
    marks = [(read_mark(mark), n) for n, mark in enumerate(show.marks) if mark]
    assert marks[:3] == [
        ((0, Moment.STARTED), 0),
        ((0, Moment.FINISHED), 10),
        ((0, Moment.STARTED), 20),
    ]
    assert [mark for mark, _ in marks[3:]] == [(0, Moment.INTERRUPTED)]
    assert not told(folder), "only the encoder tells of it"


def test_utterances_come_in_the_pauses_of_what_is_repeated(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.wav"
    soundfile.write(own, tone(10, 0.2), 48_000)
    source, utterances = face(folder, audio=str(own), pause_seconds=0.4)
    show = Show(source)
    show.go_on(4)
    post(utterances, folder, tone(5, 0.9))
    show.go_on(60)
    loud = [int(np.abs(each).max()) for each in show.samples]
    assert all(5000 < level < 8000 for level in loud[1:10]), "the round is not cut off"
    start = show.moments()[Moment.STARTED]
    assert 10 <= start <= 15
    assert all(level > 25_000 for level in loud[start + 1 : start + 5])
    again = next(n for n in range(start + 5, 64) if loud[n])
    assert 5 + 10 <= again - start <= 5 + 10 + 4, "the pause is kept"
    assert 5000 < loud[again + 1] < 8000


@pytest.mark.parametrize("given_back", [0, 1, 3])
def test_an_interruption_fades_and_closes_where_the_units_were_given_back(
    folder: Path, given_back: int
) -> None:
    source, utterances = face(folder)
    show = Show(source)
    number = post(utterances, folder, tone(100))
    show.go_on(20)
    assert not source.must_stop
    utterances.hush()
    assert source.must_stop
    show.give_back(given_back)
    assert not source.must_stop
    show.go_on(20)
    cut = 20 - given_back
    assert show.moments()[Moment.INTERRUPTED] == cut
    assert Moment.FINISHED not in show.moments()
    sound = np.concatenate(show.samples).astype(np.int32)[:, 0]
    at = cut * 1920
    assert np.abs(sound[at : at + FADE_SAMPLES // 2]).max() > 8000
    assert not sound[at + FADE_SAMPLES :].any()
    natural = np.abs(np.diff(sound[4 * 1920 : at])).max()
    assert np.abs(np.diff(sound[at - 10 :])).max() <= 1.2 * natural, "a click"
    assert told(folder) == [("speech_queued", name_of(number))]  # the rest is the encoder's to tell


def test_what_is_given_back_before_its_first_sound_was_never_said(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    show.go_on(5)
    number = post(utterances, folder, tone(20))
    show.go_on(4)  # three of the lips' way, and the first of sound
    utterances.hush()
    show.give_back(3)
    show.go_on(20)
    assert not any(show.heard())
    assert show.moments() == {}
    assert told(folder)[1:] == [("speech_interrupted", name_of(number))]
    assert not list(folder.glob("*speaking"))


def test_what_comes_instead_begins_at_once(folder: Path) -> None:
    source, utterances = face(folder)
    show = Show(source)
    first = post(utterances, folder, tone(100))
    show.go_on(20)
    second = post(utterances, folder, tone(10), interrupt=True)
    assert source.must_stop
    show.give_back(3)
    show.go_on(40)
    marks = [(read_mark(mark), n) for n, mark in enumerate(show.marks) if mark]
    assert [mark for mark, _ in marks] == [
        (first, Moment.STARTED),
        (first, Moment.INTERRUPTED),
        (second, Moment.STARTED),
        (second, Moment.FINISHED),
    ]
    assert marks[2][1] - marks[1][1] <= 2 * 3 + 1


def test_what_has_just_begun_is_not_lost_with_what_came_before(folder: Path) -> None:
    """The wish for silence is older than the utterance, and is obeyed after it was taken."""
    source, utterances = face(folder)
    show = Show(source)
    post(utterances, folder, tone(4))
    show.go_on(3 + 4)
    utterances.hush()
    second = post(utterances, folder, tone(10))
    show.go_on(4)
    show.give_back(5)
    show.go_on(40)
    marks = [read_mark(mark) for mark in show.marks if mark]
    assert (second, Moment.STARTED) in marks
    assert (second, Moment.FINISHED) in marks


def test_silence_ends_a_round_of_what_is_repeated(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.wav"
    soundfile.write(own, tone(50), 48_000)
    source, utterances = face(folder, audio=str(own), pause_seconds=0.4)
    show = Show(source)
    show.go_on(10)
    utterances.hush()
    assert source.must_stop
    show.give_back(2)
    show.go_on(40)
    silent = show.heard()[9 : 9 + 10]
    assert not any(silent)
    assert all(show.heard()[24:]), "the next round comes after its pause, and is whole"


def test_the_queue_is_told_how_long_it_takes(folder: Path) -> None:
    source, utterances = face(folder)
    post(utterances, folder, tone(50))
    show = Show(source)
    show.go_on(3 + 20)
    assert utterances.queued_seconds() == pytest.approx(31 / 25, abs=1 / 25)
    show.go_on(40)
    assert utterances.queued_seconds() == 0


# --- what is seen --------------------------------------------------------------------------------


def steps(pictures: list[Frame], source: Presenter) -> np.ndarray:
    """How much each picture of the mouth differs from the one before it."""
    x, y, width, height = mouth_region(source)
    return whole_steps([p[y : y + height, x : x + width] for p in pictures])


def whole_steps(pictures: list[Frame]) -> np.ndarray:
    """The same of all that is seen: head, brows and eyes as well."""
    return np.array([cv2.absdiff(a, b).mean() for a, b in pairwise(pictures)])


def at_both_ends(change: np.ndarray, start: int, end: int) -> np.ndarray:
    """The changes where something begins to be said, and where it ends or is cut off."""
    return np.concatenate((change[start - 5 : start + 1], change[end - 1 : end + 5]))


def said(
    show: Show, utterances: Utterances, folder: Path, cut_after: int | None
) -> tuple[int, int]:
    """Rest, speech to its end or to where it is cut off, rest; the units of both its ends."""
    show.go_on(12)
    post(utterances, folder, vowels())
    if cut_after is None:
        show.go_on(90)
    else:
        show.go_on(3 + cut_after)
        utterances.hush()
        show.give_back(3)
        show.go_on(25)
    moments = show.moments()
    end = Moment.FINISHED if cut_after is None else Moment.INTERRUPTED
    return moments[Moment.STARTED], moments[end]


@pytest.mark.parametrize("kind", ["character", "portrait"])
@pytest.mark.parametrize("cut_after", [None, 20])
def test_nothing_jumps_at_either_end(
    kind: str, cut_after: int | None, folder: Path, astronaut: Path
) -> None:
    source, utterances = face(folder, SEEN, image=str(astronaut) if kind == "portrait" else "")
    show = Show(source, keep_pictures=True)
    start, end = said(show, utterances, folder, cut_after)
    change = steps(show.pictures, source)
    assert at_both_ends(change, start, end).max() <= 2 * np.median(change[start:end])
    whole = whole_steps(show.pictures)
    assert at_both_ends(whole, start, end).max() <= WHOLE_MOST * np.median(whole[start:end])
    opening = [mouth_opening(picture, mouth_region(source)) for picture in show.pictures]
    rest = opening[: start - 4] + opening[end + 5 :]
    assert max(opening[start:end]) - max(rest) > 150, "the mouth did not open"
    assert max(rest) - min(rest) <= 0.1 * (max(opening[start:end]) - max(rest)), "lips move at rest"
    assert np.median(change[: start - 5]) > 0, "it is frozen between utterances"


def test_a_cut_without_a_way_back_would_be_seen(folder: Path) -> None:
    """The measure of the test above sees the jump that it guards against."""
    source, utterances = face(folder, SEEN)
    show = Show(source, keep_pictures=True)
    post(utterances, folder, vowels())
    show.go_on(23)
    widest = max(range(10, 23), key=lambda n: mouth_opening(show.pictures[n], mouth_region(source)))
    source._next = Instant(index=widest + 1)
    del show.pictures[widest + 1 :]
    show.go_on(5)
    change = steps(show.pictures, source)
    assert change[widest] > 2 * np.median(change[3:widest])


@pytest.mark.parametrize("kind", ["character", "portrait"])
@pytest.mark.parametrize("cut_after", [None, 20])
def test_a_head_that_follows_at_once_would_be_seen(
    kind: str, cut_after: int | None, folder: Path, astronaut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the whole picture: the mouth's box does not show it."""

    def at_once(_self: Presenter, now: Instant) -> Instant:
        wanted = now.line.emphasised(now.place) if now.line and now.cut is None else 0.0
        return replace(now, emphasis=wanted)

    monkeypatch.setattr(Presenter, "_steadied", at_once)
    source, utterances = face(folder, SEEN, image=str(astronaut) if kind == "portrait" else "")
    show = Show(source, keep_pictures=True)
    start, end = said(show, utterances, folder, cut_after)
    mouth, whole = steps(show.pictures, source), whole_steps(show.pictures)
    assert at_both_ends(mouth, start, end).max() <= 2 * np.median(mouth[start:end])
    assert at_both_ends(whole, start, end).max() > WHOLE_MOST * np.median(whole[start:end])


class Posed:
    """Looks at nothing but how its head is held."""

    mouth_region = (0, 0, 8, 8)

    def __init__(self) -> None:
        self.brows: list[float] = []

    def draw(self, _frame: Frame, _mouth: MouthShape, pose: Pose) -> None:
        self.brows.append(pose.brows)


@pytest.mark.parametrize("cut_after", [None, 20])
def test_brows_and_head_follow_the_voice_and_never_jump(
    cut_after: int | None, folder: Path
) -> None:
    utterances = Utterances(MEDIA, folder, 600, Journal(folder.with_suffix(".events")))
    posed = Posed()
    show = Show(Presenter(posed, MEDIA, utterances=utterances))
    said(show, utterances, folder, cut_after)
    brows = np.array(posed.brows)
    assert brows[:12].max() == 0
    assert brows.max() > 0.3
    assert brows[-1] == 0
    if cut_after is not None:
        brows = np.delete(brows, range(12 + cut_after, 12 + cut_after + 3))  # given back
    assert np.abs(np.diff(brows)).max() <= 1 / (EMPHASIS_SECONDS * MEDIA.fps) + 1e-9


# --- when drawing takes too long -----------------------------------------------------------------


class SlowFace:
    """Takes its time to draw, and writes into each picture which one it is."""

    mouth_region = (0, 0, 8, 8)

    def __init__(self, machine: Machine, seconds: float) -> None:
        self.machine, self.seconds, self.drawn = machine, seconds, 0

    def draw(self, frame: Frame, mouth: MouthShape, pose: Pose) -> None:
        self.machine.work(self.seconds)
        self.drawn += 1
        frame[:] = self.drawn % 256


class Stage:
    """A presenter with such a face, and an encoder."""

    def __init__(self, folder: Path, room: int, seconds: float) -> None:
        self.machine = Machine(room)
        self.face = SlowFace(self.machine, seconds)
        self.utterances = Utterances(MEDIA, folder, 600, Journal(folder.with_suffix(".events")))
        self.presenter = Presenter(self.face, MEDIA, utterances=self.utterances)
        self.presenter.watch.now = self.machine.clock
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.figures: list[dict[str, Any]] = []
        self.presenter.tell = lambda kind, **facts: self.told.append((kind, facts))
        self.presenter.tell_figures = self.figures.append
        self.samples: list[Samples] = []
        self.pictures: list[int] = []

    def go_on(self, units: int) -> None:
        for _ in range(units):
            self.presenter.waiting_units = self.machine.wait()
            self.presenter.room_units = self.machine.room
            frame = np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8)
            samples = np.full((MEDIA.samples_per_unit, 1), 7777, np.int16)
            self.presenter.render(frame, samples)
            self.machine.sent()
            self.samples.append(samples)
            self.pictures.append(int(frame[0, 0, 0]))

    def pictures_told(self) -> list[float]:
        assert {kind for kind, _ in self.told} <= {"effort"}
        return [facts["pictures_per_second"] for _, facts in self.told]


@pytest.mark.parametrize("room", [1, 2, 3])
@pytest.mark.parametrize("seconds", [0.06, 0.1])
def test_a_slow_face_holds_pictures_and_keeps_its_sound(
    seconds: float, room: int, folder: Path
) -> None:
    stage = Stage(folder, room, seconds)
    stage.go_on(50)
    gaps = stage.machine.gaps
    post(stage.utterances, folder, tone(500))
    stage.go_on(520)
    assert stage.machine.gaps - gaps <= 2
    heard = np.concatenate(stage.samples)[:, 0]
    first = np.flatnonzero(heard)[0] // 1920 * 1920
    wanted = np.rint(tone(500) * 32767)
    inside = slice(FADE_SAMPLES, 500 * 1920 - FADE_SAMPLES)
    assert np.abs(heard[first:][inside] - wanted[inside]).max() <= 1, "all of it, in its order"
    held = sum(a == b for a, b in zip(stage.pictures, stage.pictures[1:], strict=False))
    assert 0.3 * 570 < held < 0.9 * 570
    assert held == stage.presenter.watch.repeated


def test_a_slow_face_says_what_it_gives_up_and_takes_it_back(folder: Path) -> None:
    stage = Stage(folder, room=2, seconds=0.15)
    stage.go_on(600)
    assert stage.pictures_told() == [12.5, 8.33, 5.0]
    first = stage.told[0][1]
    assert (first["was"], first["reason"]) == ({"pictures_per_second": 25}, "pictures came late")
    assert stage.figures[-1]["units_per_picture"] == 5
    stage.face.seconds = 0.005
    stage.go_on(25 * 60)
    assert stage.pictures_told() == [12.5, 8.33, 5.0, 8.33, 12.5, 25]
    assert stage.told[-1][1]["reason"] == "there is room"
    before = stage.face.drawn
    stage.go_on(100)
    assert stage.face.drawn - before == 100


def test_an_encoder_that_is_overloaded_has_fewer_pictures_and_all_the_sound(folder: Path) -> None:
    stage = Stage(folder, room=2, seconds=0.005)
    overloaded = True
    stage.presenter.watch.ask_overloaded = lambda: overloaded
    post(stage.utterances, folder, tone(300))
    stage.go_on(330)
    assert stage.pictures_told() == [12.5, 8.33, 5.0]
    assert {facts["reason"] for _, facts in stage.told} == {"the encoder is overloaded"}
    assert sum(bool(each.any()) for each in stage.samples) == 300
    overloaded = False
    stage.go_on(25 * 45)
    assert stage.pictures_told()[3:] == [8.33, 12.5, 25]
    assert stage.told[-1][1]["reason"] == "there is room"


def test_one_slow_picture_costs_no_more_than_its_time(folder: Path) -> None:
    stage = Stage(folder, room=2, seconds=0.005)
    stage.go_on(100)
    stage.face.seconds = 0.6
    stage.go_on(1)
    stage.face.seconds, before = 0.005, stage.face.drawn
    stage.go_on(500)
    assert stage.face.drawn - before >= 495
    assert stage.told == []
