"""Where an utterance begins, ends or is cut off nothing jumps: measured in the pixels of a face."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from inference.ditto.avatar import Avatar
from inference.ditto.joints import Joints
from inference.ditto.mind import Mind
from inference.ditto.painter import Look, Painter
from inference.ditto.scene import Scene
from inference.ditto.speaker import Speaker
from inference.presenter import mouth_region
from inference.utterances import Utterances
from journal import Journal, Moment, read_mark
from rawmedia import Frame, MediaFormat

MEDIA = MediaFormat(256, 144, 25)
# A whole window of the diffusion before it, so that the head has begun to move.
IDLE_UNITS = 30
# The whole picture at the joints, against what is usual in speech. Seen: 1.30, and 1.70 with lips
# that are left to the model.
WHOLE_MOST = 1.5


class Scenes:
    """A face of the synthetic checkpoint with a queue, and all that it showed."""

    def __init__(self, mind: Mind, look: Look, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.utterances = Utterances(MEDIA, folder, 600, Journal(folder.with_suffix(".events")))
        painter = Painter(look, mind.recipe, mind.networks, mind.seed)
        self.speaker = Speaker(mind, painter, MEDIA, utterances=self.utterances)
        self.pictures: list[Frame] = []
        self.marks: list[int] = []

    def go_on(self, units: int) -> None:
        for _ in range(units):
            frame = np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8)
            samples = np.zeros((MEDIA.samples_per_unit, 1), np.int16)
            self.marks.append(self.speaker.render(frame, samples))
            self.pictures.append(frame)

    def say(self, wave: np.ndarray) -> None:
        path = self._folder / "in.partial"
        soundfile.write(path, wave, MEDIA.audio_rate_hz, format="WAV", subtype="FLOAT")
        self.utterances.add(path, 600, {}, interrupt=False)

    def cut(self, given_back: int) -> None:
        self.utterances.hush()
        self.speaker.go_back(given_back)
        del self.pictures[-given_back:], self.marks[-given_back:]

    def at(self, moment: Moment) -> int:
        """The unit of a moment of what was posted."""
        told = ((read_mark(mark), n) for n, mark in enumerate(self.marks) if mark)
        return next(n for (number, each), n in told if number and each is moment)

    def changes(self) -> np.ndarray:
        """How much each picture of the mouth differs from the one before it."""
        x, y, width, height = mouth_region(self.speaker)
        return _changes([p[y : y + height, x : x + width] for p in self.pictures])

    def whole_changes(self) -> np.ndarray:
        """The same of all that is seen: the head as well."""
        return _changes(self.pictures)


def _changes(pictures: list[Frame]) -> np.ndarray:
    return np.array([cv2.absdiff(a, b).mean() for a, b in pairwise(pictures)])


def voice(units: int) -> np.ndarray:
    """Four syllables a second, as one speaks; it begins and ends at full voice, out of nothing."""
    at = np.arange(units * MEDIA.samples_per_unit) / MEDIA.audio_rate_hz
    loudness = 0.26 + 0.24 * np.cos(2 * np.pi * 4 * at)
    wave: np.ndarray = loudness * np.sin(2 * np.pi * 180 * at)
    return wave


@pytest.fixture
def scenes(mind: Mind, avatar: Avatar, scene: Scene, tmp_path: Path) -> Scenes:
    return Scenes(mind, Look(avatar, scene), tmp_path / "speech")


def ends_and_speech(scenes: Scenes, change: np.ndarray, end: int) -> tuple[float, float]:
    """The largest change around both ends, and the usual one between them."""
    start = scenes.at(Moment.STARTED)
    around = np.concatenate((change[start - 5 : start + 1], change[end - 1 : end + 6]))
    return float(around.max()), float(np.median(change[start:end]))


def check_joints(scenes: Scenes, end: int) -> None:
    largest, usual = ends_and_speech(scenes, scenes.changes(), end)
    assert largest <= 2 * usual
    largest, usual = ends_and_speech(scenes, scenes.whole_changes(), end)
    assert largest <= WHOLE_MOST * usual


def test_nothing_jumps_where_an_utterance_begins_and_ends(scenes: Scenes) -> None:
    scenes.go_on(IDLE_UNITS)
    scenes.say(voice(50))
    scenes.go_on(80)
    end = scenes.at(Moment.FINISHED)
    check_joints(scenes, end)
    _, usual = ends_and_speech(scenes, scenes.changes(), end)
    idle = np.median(scenes.changes()[: IDLE_UNITS - 8])
    assert usual > 2 * idle, "the mouth moves when it speaks"


def test_nothing_jumps_where_it_is_cut_off(scenes: Scenes) -> None:
    scenes.go_on(IDLE_UNITS)
    scenes.say(voice(50))
    scenes.go_on(3 + 20)
    scenes.cut(given_back=3)
    scenes.go_on(30)
    check_joints(scenes, scenes.at(Moment.INTERRUPTED))


def test_lips_that_are_left_to_the_model_would_be_seen(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measure of the tests above sees the jumps that they guard against."""
    monkeypatch.setattr(Joints, "eased", lambda _self, _now, motion: motion)
    scenes.go_on(IDLE_UNITS)
    scenes.say(voice(50))
    scenes.go_on(80)
    start, end = scenes.at(Moment.STARTED), scenes.at(Moment.FINISHED)
    for change, most in ((scenes.changes(), 2), (scenes.whole_changes(), WHOLE_MOST)):
        usual = np.median(change[start:end])
        assert change[start - 5 : start + 1].max() > most * usual
        assert change[end - 1 : end + 6].max() > most * usual
