"""The talking head as a source: what it shows belongs to what it says, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inference.ditto.avatar import Avatar
from inference.ditto.layout import Floats
from inference.ditto.listening import to_model
from inference.ditto.mind import Mind
from inference.ditto.networks import Networks
from inference.ditto.painter import Look, Painter
from inference.ditto.recipe import Recipe
from inference.ditto.scene import Scene
from inference.ditto.speaker import LIPS_FRAMES, Speaker
from inference.line import Line, line_of
from inference.mouth import REST_SHAPE, MouthShape
from inference.presenter import NewFace, mouth_region
from inference.speech import Clip
from inference.utterances import Utterances
from journal import Journal
from rawmedia import Frame, MediaFormat, Samples
from tests.unit.ditto.test_mind import Ears, mind_of

MEDIA = MediaFormat(256, 144, 25)


class Canvas(Painter):
    """Keeps what it should draw; that is tested elsewhere."""

    def __init__(self, look: Look, recipe: Recipe, mind: Mind) -> None:
        super().__init__(look, recipe, mind.networks, 1)
        self.drawn: list[tuple[int, float, float]] = []

    def draw(self, picture: Frame, index: int, motion: np.ndarray, lips: float = 1.0) -> None:
        self.drawn.append((index, float(motion[0]), lips))


class Room:
    """A speaker with a queue."""

    def __init__(self, mind: Mind, look: Look, folder: Path, repeated: Line | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.utterances = Utterances(MEDIA, folder, 600, Journal(folder.parent / "events"))
        self.ears = Ears()
        self.canvas = Canvas(look, mind.recipe, mind)
        self.speaker = Speaker(
            mind_of(self.ears, mind),
            self.canvas,
            MEDIA,
            repeated,
            utterances=self.utterances,
            yields=True,
        )
        self.units: list[Samples] = []

    def render(self, count: int) -> None:
        for _ in range(count):
            frame = np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8)
            samples = np.full((MEDIA.samples_per_unit, 1), 7777, np.int16)
            self.speaker.render(frame, samples)
            self.units.append(samples)

    def go_back(self, count: int) -> None:
        self.speaker.go_back(count)
        del self.units[len(self.units) - count :]
        del self.canvas.drawn[len(self.canvas.drawn) - count :]

    def say(self, level: float, units: int, *, interrupt: bool = False) -> None:
        path = self.folder.parent / "posted.wav"
        sound = np.full(units * MEDIA.samples_per_unit, level, np.float32)
        soundfile.write(path, sound, MEDIA.audio_rate_hz)
        self.utterances.add(path, 600, {}, interrupt=interrupt)

    @property
    def motions(self) -> list[float]:
        return [motion for _index, motion, _lips in self.canvas.drawn]

    @property
    def lips(self) -> list[float]:
        return [lips for _index, _motion, lips in self.canvas.drawn]

    @property
    def loudness(self) -> list[float]:
        return [float(np.abs(unit).mean()) / 32767 for unit in self.units]


@pytest.fixture
def look(avatar: Avatar, scene: Scene) -> Look:
    return Look(avatar, scene)


@pytest.fixture
def room(mind: Mind, look: Look, tmp_path: Path) -> Room:
    return Room(mind, look, tmp_path / "speech")


def test_silence_has_lips_at_rest(room: Room) -> None:
    room.render(60)
    assert set(room.lips) == {0.0}
    assert set(room.loudness) == {0.0}
    assert [index for index, _m, _l in room.canvas.drawn] == list(range(60))


class Restless(Networks):
    """A head that listens moves, as that of the published model does; the tiny one hardly would."""

    def denoise(self, x: Floats, start: Floats, told: Floats, time: int) -> tuple[Floats, Floats]:
        noise, motion = super().denoise(x, start, told, time)
        motion[..., 199:201] += np.float32(0.05) * np.tanh(x[..., 199:201])  # right, down
        return noise, motion


def idle_pictures(mind: Mind, look: Look, open_frames: int, count: int) -> list[Frame]:
    """What a face shows that says nothing, with so many frames between blinks; below 0: none."""
    blinks = replace(mind.recipe.blinks, open_frames=open_frames)
    mind = replace(mind, recipe=replace(mind.recipe, blinks=blinks))
    painter = Painter(look, mind.recipe, mind.networks, 1)
    speaker, pictures = Speaker(mind, painter, MEDIA), []
    for _ in range(count):
        pictures.append(np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8))
        samples = np.full((MEDIA.samples_per_unit, 1), 7777, np.int16)
        speaker.render(pictures[-1], samples)
        assert not samples.any()
    return pictures


def test_an_idle_face_goes_on_moving(mind: Mind, look: Look) -> None:
    """By its motion alone, through several windows."""
    restless = replace(mind, networks=Restless(mind.networks.by_name))
    pictures = idle_pictures(restless, look, -1, 35)
    assert all(not np.array_equal(one, other) for one, other in pairwise(pictures))


def test_an_idle_face_blinks(mind: Mind, look: Look) -> None:
    pictures = idle_pictures(mind, look, 7, 23)
    moved = [int(np.abs(picture.astype(int) - pictures[0]).max()) for picture in pictures]
    # open for 7 frames, then 15 of a blink, of which the first and the last are open eyes
    assert max(moved[:8]) <= 1
    assert min(moved[9:20]) > 3
    assert moved[22] <= 1


def test_motion_is_that_of_the_sound_of_the_same_unit(room: Room) -> None:
    """A level for each second: no unit moves by the sound of another."""
    room.render(7)
    room.say(0.2, 25)
    room.say(0.6, 25)
    room.render(90)
    heard, moved = np.array(room.loudness), np.array(room.motions)
    assert heard.max() > 0.5
    inside = [i for i in range(1, 96) if heard[i - 1] == pytest.approx(heard[i + 1], abs=1e-3)]
    loud = [i for i in inside if heard[i] > 0.1]
    assert len(loud) > 40
    # the first frames of a line come from rest in a few frames, the others are exact
    start = int(np.flatnonzero(heard > 0.1)[0])
    exact = [i for i in inside if i >= start]
    assert moved[exact] == pytest.approx(heard[exact], abs=0.01)


def test_lips_come_and_go_in_a_few_frames(room: Room) -> None:
    room.say(0.5, 30)
    room.render(60)
    heard = np.array(room.loudness) > 0.1
    first, last = int(np.flatnonzero(heard)[0]), int(np.flatnonzero(heard)[-1])
    lips = np.array(room.lips)
    assert lips[first + 1 : last + 1].min() == 1.0  # from the second sounding frame on
    assert lips[last + LIPS_FRAMES :].max() == 0.0
    assert np.abs(np.diff(lips)).max() <= 1 / LIPS_FRAMES + 1e-9


def test_an_interruption_redraws_what_nobody_saw(room: Room) -> None:
    room.say(0.5, 200)
    room.render(50)
    room.utterances.hush()
    assert room.speaker.must_stop
    before = list(room.canvas.drawn[:46])
    room.go_back(4)
    room.render(30)
    assert [index for index, _m, _l in room.canvas.drawn] == list(range(76))
    assert room.canvas.drawn[:46] == before
    heard, moved, lips = (np.array(x) for x in (room.loudness, room.motions, room.lips))
    assert heard[47:].max() == 0.0
    assert heard[46] < 0.2  # 10 ms of fade
    assert moved[46 + 4 :] == pytest.approx(0, abs=1e-5)
    assert lips[46 + LIPS_FRAMES :].max() == 0.0
    assert np.abs(np.diff(lips)).max() <= 1 / LIPS_FRAMES + 1e-9


def test_one_utterance_in_place_of_another(room: Room) -> None:
    room.say(0.3, 300)
    room.render(40)
    room.say(0.8, 50, interrupt=True)
    room.go_back(3)
    room.render(80)
    heard, moved = np.array(room.loudness), np.array(room.motions)
    second = np.flatnonzero(heard > 0.5)  # its first and its last one fade
    assert len(second) == 50
    assert second[0] - 37 <= 8  # both lips' ways
    assert moved[second[1:-1]] == pytest.approx(heard[second[1:-1]], abs=0.01)


def test_a_held_picture_puts_no_work_off(room: Room) -> None:
    """At the least effort each fifth picture is new; none of them pays for the four before it."""
    room.render(20)
    watch = room.speaker.watch
    watch.governor = replace(watch.governor, level=len(watch.governor.line) - 1)
    room.render(10)  # the window that was begun with more steps
    spent = []
    for _ in range(100):
        before = len(room.ears.steps)
        room.render(1)
        spent.append(len(room.ears.steps) - before)
    assert [index for index, _m, _l in room.canvas.drawn[-20:]] == list(range(30, 130, 5))
    assert sum(spent) == 5 * 10  # steps, of windows
    assert max(spent) == 1


def test_a_long_line_is_converted_before_it_is_drawn(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, by who adds it; 10 minutes would keep the face from drawing for a quarter second."""
    seconds: list[float] = []

    def noted(samples: Samples, rate_hz: int) -> np.ndarray:
        seconds.append(len(samples) / rate_hz)
        return to_model(samples, rate_hz)

    monkeypatch.setattr("inference.ditto.listening.to_model", noted)
    room.say(0.3, 250)
    room.say(0.6, 250)
    assert seconds == [10.0, 10.0]
    room.render(520)
    assert seconds == [10.0, 10.0]


def test_what_waits_already_is_heard_too(mind: Mind, look: Look, tmp_path: Path) -> None:
    """A queue may be older than the face."""
    folder, path = tmp_path / "speech", tmp_path / "posted.wav"
    folder.mkdir()
    soundfile.write(path, np.full(25 * 1920, 0.5, np.float32), 48_000)
    utterances = Utterances(MEDIA, folder, 600, Journal(tmp_path / "events"))
    utterances.add(path, 600, {}, interrupt=False)
    canvas = Canvas(look, mind.recipe, mind)
    speaker = Speaker(mind_of(Ears(), mind), canvas, MEDIA, utterances=utterances)
    for _ in range(40):
        speaker.render(
            np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8),
            np.zeros((MEDIA.samples_per_unit, 1), np.int16),
        )
    assert [round(motion, 2) for _i, motion, _l in canvas.drawn[8:24]] == [0.5] * 16


def test_going_back_without_a_change_changes_nothing(room: Room) -> None:
    room.say(0.5, 100)
    room.render(40)
    before = list(room.canvas.drawn)
    steps = len(room.ears.steps)
    room.go_back(5)
    room.render(5)
    assert room.canvas.drawn == before
    assert len(room.ears.steps) - steps <= 5 * 2  # its share of the next window, no more


def test_a_repeated_line_gives_way(mind: Mind, look: Look, tmp_path: Path) -> None:
    sound = np.full((100 * MEDIA.samples_per_unit, 1), 16384, np.int16)
    room = Room(mind, look, tmp_path / "speech", line_of(Clip(sound, 100), MEDIA))
    room.render(60)
    assert np.array(room.motions[5:50]) == pytest.approx(0.5, abs=0.01)
    room.say(0.9, 20)
    room.render(40)
    assert np.count_nonzero(np.array(room.loudness) > 0.7) == 20


def test_a_thousand_units_of_chance(room: Room) -> None:
    """Whatever is posted, hushed and taken back: index, sound and lips stay together."""
    random = np.random.default_rng(11)
    for _ in range(60):
        room.render(int(random.integers(1, 25)))
        what = random.integers(0, 4)
        if what == 0:
            room.say(float(random.uniform(0.2, 0.9)), int(random.integers(3, 60)))
        elif what == 1:
            room.say(0.5, int(random.integers(3, 30)), interrupt=True)
        elif what == 2:
            room.utterances.hush()
        if what in (1, 2) and room.speaker.must_stop:
            room.go_back(min(len(room.units), int(random.integers(0, 5))))
    indices = [index for index, _m, _l in room.canvas.drawn]
    assert indices == list(range(len(room.units)))
    heard, lips = np.array(room.loudness), np.array(room.lips)
    assert np.abs(np.diff(lips)).max() <= 1 / LIPS_FRAMES + 1e-9
    loud = np.flatnonzero(heard > 0.15)
    steady = [
        i
        for i in loud
        if i + 1 < len(heard) and (np.abs(heard[max(0, i - 4) : i + 2] - heard[i]) < 1e-3).all()
    ]
    assert len(steady) > 100
    assert np.array(room.motions)[steady] == pytest.approx(heard[steady], abs=0.01)


class Growing:
    """Somebody who speaks live: of what he says so many units are known at any moment."""

    number, units, ease, lead = 0, 1 << 60, 3, 0

    def __init__(self, known_ahead: int) -> None:
        self.known_ahead, self.now = known_ahead, 0

    def left(self, _place: int) -> int:
        return 0

    def samples(self, place: int) -> Samples:
        self.now = place
        return self.unit(place)

    def known(self, place: int) -> Samples | None:
        return self.unit(place) if 0 <= place <= self.now + self.known_ahead else None

    def unit(self, place: int) -> Samples:
        return np.full((MEDIA.samples_per_unit, 1), 10_000 + 100 * (place % 50), np.int16)

    def shape(self, _place: int) -> MouthShape:
        return REST_SHAPE

    def emphasised(self, _place: int) -> float:
        return 0.0


def test_somebody_who_speaks_live_is_followed_where_enough_of_him_is_known(room: Room) -> None:
    """Overlap 70 needs 885 ms, 23 units: so deep is the buffer of a face of Ditto."""
    room.render(13)
    room.utterances.take = lambda: Growing(23)  # type: ignore[method-assign]
    room.render(80)
    heard, moved = np.array(room.loudness), np.array(room.motions)
    assert heard[13:].min() > 0.2
    assert moved[30:90] == pytest.approx(heard[30:90], abs=0.01)


def test_another_face_from_the_next_frame_on(mind: Mind, look: Look) -> None:
    painter = Painter(look, mind.recipe, mind.networks, 1)
    plain = np.full_like(look.scene.pictures[0], 9)
    other = replace(look, scene=replace(look.scene, pictures=(plain,)))
    motion = mind.character.start
    before, after = (np.empty((MEDIA.height, MEDIA.width, 3), np.uint8) for _ in range(2))
    painter.draw(before, 0, motion)
    painter.wear(other)
    painter.draw(after, 1, motion)
    assert (after[0, 0] == 9).all()
    assert not (before[0, 0] == 9).all()
    smaller = replace(look.scene, pictures=(np.zeros((72, 128, 3), np.uint8),))
    with pytest.raises(ValueError, match="pictures of"):
        painter.wear(replace(look, scene=smaller))


def test_the_face_before_is_as_it_was_when_it_is_put_on_again(mind: Mind, look: Look) -> None:
    """An encoder gave back the pictures of the new one."""

    def drawn(painter: Painter, index: int) -> np.ndarray:
        picture = np.empty((MEDIA.height, MEDIA.width, 3), np.uint8)
        painter.draw(picture, index, (1 + 0.1 * index) * mind.character.start)
        return picture

    plain = np.full_like(look.scene.pictures[0], 9)
    other = replace(look, scene=replace(look.scene, pictures=(plain,)))
    stayed, changed = (Painter(look, mind.recipe, mind.networks, 1) for _ in range(2))
    for index in range(3):
        assert np.array_equal(drawn(stayed, index), drawn(changed, index))
    before = changed.wear(other)
    assert not np.array_equal(drawn(stayed, 3), drawn(changed, 3))
    changed.wear(before)
    assert np.array_equal(drawn(stayed, 4), drawn(changed, 4))


def test_no_picture_of_the_face_before_is_shown_again(room: Room, look: Look) -> None:
    """On a machine that is late a unit shows the picture before it, but not across a change."""
    room.render(5)
    room.speaker.waiting_units, room.speaker.room_units = 0, 2
    room.render(1)
    assert len(room.canvas.drawn) == 5, "it was late"
    room.speaker.wear(NewFace(look, number=7))
    room.render(1)
    assert len(room.canvas.drawn) == 6
    assert room.speaker.mind.at(7) is not None


def test_the_models_sound_is_as_long_as_the_viewers() -> None:
    for rate in (16_000, 44_100, 48_000):
        samples = np.zeros((rate * 2, 2), np.int16)
        assert len(to_model(samples, rate)) == 32_000


def test_a_click_is_heard_in_its_own_frame() -> None:
    samples = np.zeros((1920 * 20, 1), np.int16)
    samples[1920 * 7 + 900] = 30_000
    heard = to_model(samples, 48_000).reshape(20, 640)
    assert int(np.abs(heard).max(axis=1).argmax()) == 7


def test_the_mouth_is_where_the_landmarks_say(room: Room, scene: Scene) -> None:
    assert mouth_region(room.speaker) == scene.mouth
    x, y, width, height = scene.mouth
    assert 0 < x < x + width < 256
    assert 0 < y < y + height <= 144


def test_closing_gives_back_what_the_model_holds(mind: Mind, look: Look) -> None:
    closed = []
    ears = Ears()
    speaker = Speaker(
        mind_of(ears, mind),
        Canvas(look, mind.recipe, mind),
        MEDIA,
        close=lambda: closed.append(True),
    )
    speaker.close()
    assert closed == [True]
