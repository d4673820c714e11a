"""The talking head through the whole stack: photo and speech in, the decoded live stream out.

It runs on the synthetic checkpoint, whose lips follow loudness, on the CPU.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from config import Settings
from encoder.intake import queue_units
from inference.ditto.live import make_speaker
from inference.ditto.speaker import Speaker
from inference.presenter import Region
from rawmedia import MediaFormat
from tests.ffmpeg.talking_head import HEIGHT, WIDTH, flags_of, settings_in
from tests.ffmpeg.test_speech import (
    Ear,
    Recording,
    correlation,
    figures,
    loudness,
    say,
    speech,
    undisturbed,
)
from tests.machine import Machine
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

FPS = 25
Curve = NDArray[np.float64]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_in(tmp_path_factory.mktemp("ditto"))


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[Service]:
    with (
        temporary_media_root() as folder,
        Service(Path(folder) / "media", flags_of(settings)) as service,
    ):
        yield service


@pytest.fixture
def speaker(settings: Settings) -> Iterator[Speaker]:
    made = make_speaker(settings, MediaFormat(WIDTH, HEIGHT, FPS))
    yield made
    made.close()


def pictures(recording: Recording) -> tuple[float, NDArray[np.uint8]]:
    """Time of the first picture, and all of them."""
    with av.open(recording._whole("v0"), "r") as container:
        frames = list(container.decode(video=0))
    assert frames[0].time is not None
    return frames[0].time, np.stack([f.to_ndarray(format="bgr24") for f in frames])


def sound(recording: Recording, start: float) -> Curve:
    """From a time on."""
    with av.open(recording._whole("a0"), "r") as container:
        frames = list(container.decode(audio=0))
    assert frames[0].time is not None
    whole = np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(float)
    first = round((start - frames[0].time) * 48_000)
    return np.concatenate([np.zeros(max(0, -first)), whole[max(0, first) :]])


def away_from_rest(shown: NDArray[np.uint8], mouth: Region, rest: slice) -> Curve:
    """How far the mouth is from its place at rest, in each picture."""
    x, y, w, h = mouth
    area = shown[:, y : y + h, x : x + w].astype(np.float64)
    return np.asarray(np.abs(area - area[rest].mean(axis=0)).mean(axis=(1, 2, 3)), float)


Told = tuple[Recording, dict[str, Any], dict[str, Any]]


def test_what_is_posted_moves_the_lips_of_the_photo(running: Service, speaker: Speaker) -> None:
    def record() -> Told:
        ear, recording = Ear(running.url), Recording.from_now(running.url)
        utterance = say(running.url, speech(3.0))
        started = ear.await_event("speech_started", utterance)
        recording.look()
        finished = ear.await_event("speech_finished", utterance)
        recording.until(finished["media_seconds"] + 0.6)
        return recording, started, finished

    recording, started, finished = undisturbed(running.url, record)
    start, shown = pictures(recording)
    heard = loudness(sound(recording, start), len(shown))
    first, end = (round((told["media_seconds"] - start) * FPS) for told in (started, finished))
    idle = slice(max(0, first - 30), first - 6)
    moved = away_from_rest(shown[: len(heard)], speaker.face.mouth_region, idle)

    assert heard[first:end].max() > 0.05
    speaking = slice(first - 8, end + 8)
    by_lag = {n: correlation(moved[speaking], heard[speaking], n) for n in range(-6, 7)}
    best = max(by_lag, key=lambda lag: by_lag[lag])
    assert abs(best) <= 1, by_lag
    assert by_lag[0] > 0.5, by_lag
    assert np.median(moved[end + 8 :]) < 0.3 * moved[first:end].max(), "lips rest after it"
    # the photo itself, but for its mouth: nothing of the face has gone
    whole = np.abs(shown[-1].astype(float) - shown[first - 6].astype(float))
    assert whole.mean() < 6


def test_an_interruption_is_told_and_lips_close(running: Service, speaker: Speaker) -> None:
    def record() -> Told:
        ear, recording = Ear(running.url), Recording.from_now(running.url)
        utterance = say(running.url, speech(20.0))
        started = ear.await_event("speech_started", utterance)
        recording.look()
        time.sleep(0.8)
        assert requests.delete(f"{running.url}/api/streams/demo/speech", timeout=5).ok
        cut = ear.await_event("speech_interrupted", utterance)
        recording.until(cut["media_seconds"] + 0.8)
        return recording, started, cut

    recording, _started, cut = undisturbed(running.url, record)
    start, shown = pictures(recording)
    heard = loudness(sound(recording, start), len(shown))
    at = round((cut["media_seconds"] - start) * FPS)
    assert heard[at + 2 :].max() < 0.01
    rest = slice(at + 10, len(shown))
    moved = away_from_rest(shown, speaker.face.mouth_region, rest)
    assert moved[rest].max() < 0.5 * moved[at - 15 : at].max()
    steps = np.abs(np.diff(shown.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    assert steps[at - 1 : at + 8].max() <= 2 * steps[at - 15 : at - 1].max(), "a jump"


class Slow:
    """A network that takes its time, on a clock that only it moves."""

    def __init__(self, network: Any, machine: Machine) -> None:
        self.name, self.inputs, self.outputs = network.name, network.inputs, network.outputs
        self.seconds = 0.0
        self._network, self._machine = network, machine

    def run(self, feeds: Any, hold: Any = ()) -> Any:
        self._machine.work(self.seconds)
        return self._network.run(feeds, hold)

    def release(self) -> None:
        self._network.release()


@pytest.mark.parametrize("latency", ["ultra", "low", "normal"])
def test_a_slow_machine_costs_steps_then_pictures_and_never_sound(
    speaker: Speaker, latency: str
) -> None:
    machine = Machine(queue_units(latency))
    slow = Slow(speaker.painter._networks.by_name["decoder"], machine)
    networks: dict[str, Any] = dict(speaker.painter._networks.by_name) | {"decoder": slow}
    speaker.painter._networks = replace(speaker.painter._networks, by_name=networks)
    speaker.watch.now = machine.clock
    told: list[dict[str, Any]] = []
    speaker.tell = lambda _kind, **facts: told.append(facts)

    def show(units: int) -> None:
        for _ in range(units):
            speaker.waiting_units, speaker.room_units = machine.wait(), machine.room
            frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            speaker.render(frame, np.zeros((48_000 // FPS, 1), np.int16))
            machine.sent()

    show(10)
    held_first = speaker.watch.repeated  # while the encoder's queue fills
    show(40)
    assert (told, machine.gaps, speaker.watch.repeated) == ([], 0, held_first)
    slow.seconds = 0.1
    show(50)
    gaps = machine.gaps
    show(350)
    steps = [facts.get("sampling_timesteps") for facts in told]
    pictures = [facts["pictures_per_second"] for facts in told]
    assert steps[:3] == [7, 5, 5]
    assert pictures[:3] == [25, 25, 12.5]
    assert {facts["reason"] for facts in told[:3]} == {"pictures came late"}
    assert machine.gaps - gaps <= 2, "the sound"
    assert speaker.watch.repeated > 150


def test_figures_are_told_to_the_api_and_to_prometheus(running: Service) -> None:
    face = figures(running.url)["face"]
    assert face["units_per_picture"] >= 1
    assert face["pictures"] > 0
    assert face["busy_share"] > 0
    page = requests.get(f"{running.url}/metrics", timeout=5).text
    assert 'lipstream_face{of="sampling_timesteps",stream="demo"}' in page


def test_what_cannot_be_is_refused_before_anything_starts(
    running: Service, settings: Settings, tmp_path: Path
) -> None:
    url = f"{running.url}/api/streams"
    for changes, words in (
        ({"fps": 30}, "the model moves at 25 frames a second"),
        ({"chunk_config": "1,1,1"}, "chunk_config 1,1,1"),
        ({"overlap": 10}, "would begin 60 frames late"),
        ({"emotion": "cheerful"}, "choose of angry"),
        ({"overall_control": "nod=1"}, "known are alpha_exp"),
    ):
        png = io.BytesIO(Path(settings.image).read_bytes())
        image = requests.post(f"{running.url}/api/uploads", files={"file": png}, timeout=10).json()
        source = {"type": "avatar", "image": image["path"]}
        answer = requests.post(url, json={"source": source, **changes}, timeout=5)
        assert answer.status_code == 400, changes
        assert words in answer.text
    answer = requests.post(url, json={}, timeout=5)
    assert "there is no image" in answer.text
