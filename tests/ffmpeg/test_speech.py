"""A face is spoken through, over HTTP, and what viewers get follows: picture, sound and events."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import pytest
import requests
import soundfile
from numpy.typing import NDArray

from config import Settings
from inference.presenter import mouth_opening, mouth_region
from inference.source import make_source
from inference.speech import BUILT_IN_SAMPLE
from rawmedia import MediaFormat
from tests.patience import until
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

WIDTH, HEIGHT, FPS, RATE_HZ = 640, 360, 25, 48_000
SAMPLES_PER_FRAME = RATE_HZ // FPS
FLAGS = ("--width", str(WIDTH), "--height", str(HEIGHT), "--ladder", "single", "--audio", "none")
AUDIBLE = 0.004
INTERRUPT_SECONDS = 0.3
Curve = NDArray[np.float64]


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """A service whose stream idles until it is spoken to."""
    with temporary_media_root() as folder, Service(Path(folder) / "media", FLAGS) as service:
        yield service


@pytest.fixture
def face(running: Service) -> str:
    return running.url


class Ear:
    """Follows the events of a stream: those to come, or also those since one (0: all).

    It listens when it is made: the service has greeted it.
    """

    def __init__(self, face: str, stream: str = "demo", after: int | None = None) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        url = f"{face}/api/streams/{stream}/events"
        wanted = None if after is None else {"after": after}
        self._answer = requests.get(url, wanted, stream=True, timeout=30)
        assert self._answer.headers["Content-Type"].startswith("text/event-stream")
        threading.Thread(target=self._listen, daemon=True).start()
        until("a listener is greeted", lambda: bool(self.told))

    def _listen(self) -> None:
        kind = ""
        for row in self._answer.iter_lines(chunk_size=1):
            line = bytes(row).decode()
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                self.told.append((kind, json.loads(line.removeprefix("data: "))))

    def await_event(self, kind: str, utterance: str) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for told, facts in self.told:
                if told == kind and facts.get("utterance") == utterance:
                    return facts
            time.sleep(0.01)
        raise AssertionError(f"no {kind} of {utterance} in {self.told}")


@dataclass
class Recording:
    """The segments that viewers got, decoded: one opening and one loudness for each picture."""

    face: str
    first_msn: int = 0
    _files: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _init: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def from_now(cls, face: str) -> Recording:
        """With the last 2 s and what follows: what was said before is not in it."""
        text = requests.get(f"{face}/live/demo/v0/media.m3u8", timeout=5).text
        return cls(face, max(int(msn) for msn in re.findall(r"^[0-9a-f]+-(\d+)\.m4s$", text, re.M)))

    def look(self) -> None:
        """Fetch what is new of both renditions: a window later it is gone."""
        for rendition in ("v0", "a0"):
            self.catch(rendition)

    def catch(self, rendition: str) -> str:
        """Fetch what is new; the playlist as it is."""
        base = f"{self.face}/live/demo/{rendition}"
        text = requests.get(f"{base}/media.m3u8", timeout=5).text
        init = re.search(r'MAP:URI="([^"]+)"', text)
        assert init is not None
        got = self._files.setdefault(rendition, {})
        if rendition not in self._init:
            self._init[rendition] = requests.get(f"{base}/{init[1]}", timeout=5).content
        for name, msn in re.findall(r"^([0-9a-f]+-(\d+)\.m4s)$", text, re.MULTILINE):
            if int(msn) not in got and int(msn) >= self.first_msn:
                got[int(msn)] = requests.get(f"{base}/{name}", timeout=5).content
        return text

    def until(self, media_seconds: float) -> None:
        """Record until so much has been published."""
        deadline = time.monotonic() + 30
        while True:
            published = figures(self.face)["media_seconds"]
            self.look()
            if published - 2.5 > media_seconds:
                return
            assert time.monotonic() < deadline, published
            time.sleep(0.3)

    def decoded(self) -> tuple[float, Curve, Curve]:
        """(time of the first picture, mouth opening in each, sound from that time on)."""
        region = mouth_region(make_source(SETTINGS, MEDIA))
        openings, start = [], -1.0
        with av.open(self._whole("v0"), "r") as container:
            for frame in container.decode(video=0):
                assert frame.time is not None
                start = frame.time if start < 0 else start
                picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                openings.append(mouth_opening(picture, region))
        with av.open(self._whole("a0"), "r") as container:
            frames = list(container.decode(audio=0))
        assert frames[0].time is not None
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(float)
        first = round((start - frames[0].time) * RATE_HZ)
        padded = np.concatenate([np.zeros(max(0, -first)), sound[max(0, first) :]])
        return start, np.array(openings, float), padded

    def _whole(self, rendition: str) -> io.BytesIO:
        got = self._files[rendition]
        assert sorted(got) == list(range(min(got), max(got) + 1)), "a segment was missed"
        return io.BytesIO(self._init[rendition] + b"".join(got[msn] for msn in sorted(got)))


SETTINGS = Settings(width=WIDTH, height=HEIGHT)
MEDIA = MediaFormat(WIDTH, HEIGHT, FPS)


def speech(seconds: float) -> bytes:
    """Stereo at 44.1 kHz: neither the stream's rate nor its channels; it begins with a voice."""
    wave, rate_hz = soundfile.read(BUILT_IN_SAMPLE, dtype="float32")
    wave = wave[np.flatnonzero(np.abs(wave) > 0.02)[0] :][: round(rate_hz * seconds)]
    at = np.arange(round(seconds * 44_100)) / 44_100
    again = np.interp(at, np.arange(len(wave)) / rate_hz, wave)
    file = io.BytesIO()
    soundfile.write(file, np.stack((again, again), axis=1), 44_100, "PCM_16", format="WAV")
    return file.getvalue()


def tone(seconds: float) -> bytes:
    """Loud and smooth: any click would stand out of it."""
    wave = 0.5 * np.sin(2 * np.pi * 200 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    file = io.BytesIO()
    soundfile.write(file, wave, RATE_HZ, "PCM_16", format="FLAC")
    return file.getvalue()


def figures(face: str) -> dict[str, Any]:
    """What the API tells of the stream."""
    told: dict[str, Any] = requests.get(f"{face}/api/streams/demo", timeout=5).json()
    return told


def say(face: str, body: bytes, query: str = "") -> str:
    url = f"{face}/api/streams/demo/speech{query}"
    answer = requests.post(url, data=body, headers={"Content-Type": "audio/wav"}, timeout=30)
    assert answer.status_code == 202, answer.text
    utterance: str = answer.json()["utterance"]
    return utterance


def loudness(sound: Curve, frames: int) -> Curve:
    whole = sound[: len(sound) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
    rms = np.sqrt((whole.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(axis=1))
    return np.asarray(rms[:frames], float)


def correlation(a: Curve, b: Curve, lag: int) -> float:
    """Of ``a`` with ``b`` when ``a`` comes ``lag`` frames late."""
    a, b = (a[lag:], b[: len(b) - lag]) if lag >= 0 else (a[:lag], b[-lag:])
    return float(np.corrcoef(a, b)[0, 1])


Attempt = TypeVar("Attempt")


def undisturbed(face: str, attempt: Callable[[], Attempt]) -> Attempt:
    """What was done while every picture was new and no unit came late: a busy machine holds some.

    The last of three is taken as it is.
    """
    for _ in range(3):
        before = held(face)
        done = attempt()
        if held(face) == before:
            break
    return done


def held(face: str) -> tuple[int, int]:
    """Pictures that the face did not draw in time, and units that the encoder did not get."""
    deadline = time.monotonic() + 10
    while "face" not in (known := figures(face)):  # told after its first second
        assert time.monotonic() < deadline, known
        time.sleep(0.1)
    return known["face"]["pictures_repeated"], known["units_repeated"]


@dataclass
class Said:
    """An utterance from its posting to its end, with what viewers got of it."""

    recording: Recording
    answered_ms: int
    starts_in_seconds: float  # as it was promised
    started: dict[str, Any]
    finished: dict[str, Any]
    repeated: int  # units that came late


def said_for(face: str, seconds: float) -> Said:
    ear, recording = Ear(face), Recording.from_now(face)
    repeated = figures(face)["units_repeated"]
    utterance = say(face, speech(seconds))
    answered_ms = time.time_ns() // 1_000_000
    promised = ear.await_event("speech_queued", utterance)["starts_in_seconds"]
    started = ear.await_event("speech_started", utterance)
    recording.look()
    finished = ear.await_event("speech_finished", utterance)
    # So long that another recording, from its newest whole segment on, has nothing of this voice.
    recording.until(finished["media_seconds"] + 0.5)
    repeated = figures(face)["units_repeated"] - repeated
    return Said(recording, answered_ms, promised, started, finished, repeated)


def test_what_is_posted_is_heard_and_seen_and_told(face: str) -> None:
    said = undisturbed(face, lambda: said_for(face, 4.0))
    recording, started, finished = said.recording, said.started, said.finished
    repeated = said.repeated
    # Longer only by units that a busy machine did not draw in time.
    length = round((finished["media_seconds"] - started["media_seconds"]) * FPS)
    assert 4 * FPS <= length <= 4 * FPS + repeated
    # In media time, which goes on whatever else the machine does: what was on its way to the
    # encoder comes before it.
    waited = (started["date_ms"] - said.answered_ms) / 1000
    assert waited <= said.starts_in_seconds + 0.5 + repeated / FPS
    text = recording.catch("v0")  # before its end leaves the window
    start, opening, sound = recording.decoded()
    heard = loudness(sound, len(opening))
    opening = opening[: len(heard)]
    first, end = (round((told["media_seconds"] - start) * FPS) for told in (started, finished))

    assert heard[: first - 1].max() < AUDIBLE, "silent until it is spoken to"
    assert heard[end + 1 :].max() < AUDIBLE, "and after it"
    assert heard[first : first + 3].max() > AUDIBLE, "the event tells the unit of the first sound"
    assert heard[first:end].max() > 0.05
    speaking = slice(first - 8, end + 8)
    by_lag = {n: correlation(opening[speaking], heard[speaking], n) for n in range(-5, 6)}
    best = max(by_lag, key=lambda lag: by_lag[lag])
    assert abs(best) <= 1, by_lag
    assert by_lag[0] >= 0.75, by_lag
    rest = np.concatenate((opening[: first - 5], opening[end + 6 :]))
    assert rest.max() < 0.1 * opening.max(), "lips rest in between"

    # What the events say of the place is what the playlist says of it.
    dates = dict(dates_by_msn(text))
    told = dates[finished["msn"]] + (finished["media_seconds"] * 1000) % 2000
    assert told == pytest.approx(finished["date_ms"], abs=2)
    assert finished["part"] == int(finished["media_seconds"] % 2.0 / 0.2 + 1e-6)


def dates_by_msn(text: str) -> Iterator[tuple[int, float]]:
    """The date of each segment that has one, in milliseconds since 1970."""
    from datetime import datetime

    date = 0.0
    for line in text.splitlines():
        if line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
            stamp = datetime.fromisoformat(line.partition(":")[2].replace("Z", "+00:00"))
            date = stamp.timestamp() * 1000
        elif line.startswith("#EXTINF:"):
            seconds = float(line.removeprefix("#EXTINF:").partition(",")[0])
        elif found := re.fullmatch(r"[0-9a-f]+-(\d+)\.m4s", line):
            yield int(found[1]), date
            date += seconds * 1000


@dataclass
class Interruption:
    """An utterance that was cut off, with what viewers got of it."""

    recording: Recording
    asked_ms: int
    answer_seconds: float
    started: dict[str, Any]
    cut: dict[str, Any]
    successor: dict[str, Any]  # the end of what was said in its place


def interruption(face: str, way: str) -> Interruption:
    """Let the face speak, and make it stop."""
    ear, recording, successor = Ear(face), Recording.from_now(face), {}
    utterance = say(face, tone(20.0))
    started = ear.await_event("speech_started", utterance)
    recording.look()
    time.sleep(1.2)
    asked_ms, began = time.time_ns() // 1_000_000, time.monotonic()
    if way == "DELETE":
        assert requests.delete(f"{face}/api/streams/demo/speech", timeout=5).ok
        answer_seconds = time.monotonic() - began
    else:
        said = say(face, speech(1.0), "?interrupt=1")
        answer_seconds = time.monotonic() - began
        ear.await_event("speech_started", said)
        successor = ear.await_event("speech_finished", said)
    cut = ear.await_event("speech_interrupted", utterance)
    recording.until(cut["media_seconds"] + 1.5)
    return Interruption(recording, asked_ms, answer_seconds, started, cut, successor)


def undisturbed_interruption(face: str, way: str) -> Interruption:
    """One that was answered at once, while no unit came late: a late one is silence, and a click.

    Of three the one that comes nearest to it.
    """
    tries: list[tuple[int, float, Interruption]] = []
    while len(tries) < 3:
        repeated = figures(face)["units_repeated"]
        done = interruption(face, way)
        repeated = figures(face)["units_repeated"] - repeated
        tries.append((repeated, done.answer_seconds, done))
        if not repeated and done.answer_seconds <= 0.1:
            break
    return min(tries, key=lambda each: each[:2])[2]


@pytest.mark.parametrize("way", ["DELETE", "interrupt"])
def test_an_interruption_is_quick_and_does_not_click(face: str, way: str) -> None:
    done = undisturbed_interruption(face, way)
    recording, started, cut, asked_ms = done.recording, done.started, done.cut, done.asked_ms
    # Media time and wall clock are tied by the dates in the playlist; the event has both.
    asked = cut["media_seconds"] - (cut["date_ms"] - asked_ms) / 1000
    assert cut["started"]
    assert cut["media_seconds"] - asked <= INTERRUPT_SECONDS - 0.04
    start, opening, sound = recording.decoded()

    at = round((cut["media_seconds"] - start) * RATE_HZ)
    audible = np.flatnonzero(np.abs(sound[: at + RATE_HZ // 8]) > AUDIBLE)
    silent_from = start + audible[-1] / RATE_HZ
    assert asked - 0.1 < silent_from <= asked + INTERRUPT_SECONDS
    assert np.sqrt((sound[at - 4800 : at] ** 2).mean()) > 0.3, "it spoke until then"
    natural = np.abs(np.diff(sound[at - 24_000 : at - 2400])).max()
    around = np.abs(np.diff(sound[at - 2400 : at + 2400])).max()
    assert around <= 1.5 * natural, "a click"
    frame = round((cut["media_seconds"] - start) * FPS)
    spoken = opening[round((started["media_seconds"] - start) * FPS) + 5 : frame - 2]
    if way == "DELETE":
        assert opening[frame + 6 :].max() < 0.15 * max(spoken.mean(), 1), "lips have closed"
    else:
        assert done.successor["media_seconds"] - cut["media_seconds"] < 1.0 + 3.0


def test_a_face_that_is_killed_goes_on_with_what_nobody_has_heard(running: Service) -> None:
    ear = Ear(running.url)
    first, second = say(running.url, tone(20.0)), say(running.url, speech(1.0))
    ear.await_event("speech_started", first)
    os.kill(running.find("inference"), signal.SIGKILL)
    ear.await_event("speech_lost", first)
    ear.await_event("speech_started", second)
    ear.await_event("speech_finished", second)
    told = [kind for kind, facts in ear.told if facts.get("utterance") == first]
    assert told == ["speech_queued", "speech_started", "speech_lost"]
    assert requests.get(f"{running.url}/api/streams/demo/speech", timeout=5).json() == {
        "queued_seconds": 0.0
    }


def test_silence_in_the_middle_of_nothing(face: str) -> None:
    assert requests.delete(f"{face}/api/streams/demo/speech", timeout=5).json() == {"dropped": []}
