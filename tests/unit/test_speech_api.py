"""``/api/streams/<id>/speech`` down to the queue of a worker, without the processes between."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import Settings
from inference.line import Line
from inference.speech_socket import SpeechSocket
from inference.utterances import Utterances
from journal import Journal
from rawmedia import MediaFormat
from server.app import create_app
from server.inspection import rewrite
from server.speech_voice import LONGEST_TEXT
from tests.security import files

SPEECH = "/api/streams/face/speech"
LIMIT_SECONDS, MAX_SECONDS, MAX_BYTES = 30, 40, 2_000_000
KINDS = [
    ("WAV", "PCM_16", 44_100, 2, "audio/wav"),
    ("WAV", "FLOAT", 8_000, 1, "audio/x-wav"),
    ("WAV", "PCM_U8", 11_025, 1, "audio/wav"),
    ("WAV", "PCM_32", 48_000, 2, "audio/wav"),
    ("WAV", "DOUBLE", 32_000, 1, "audio/wav"),
    ("WAV", "ULAW", 8_000, 1, "audio/wav"),
    ("FLAC", "PCM_24", 96_000, 1, "audio/flac"),
    ("OGG", "VORBIS", 22_050, 2, "application/ogg"),
    ("OGG", "OPUS", 48_000, 1, "audio/ogg"),
    ("MP3", "MPEG_LAYER_III", 44_100, 2, "audio/mpeg"),
]


class Stage:
    """A stream's files as its processes leave them, and the API in front."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.run = root / "run"
        self.run.mkdir()
        (root / "live").mkdir()
        given = {"max_speech_bytes": MAX_BYTES} | settings
        self.api: FlaskClient = create_app(Settings(**given), root).test_client()  # type: ignore[arg-type]
        self.utterances: Utterances | None = None

    def show(
        self, state: str = "live", processes: tuple[str, ...] = ("inference", "encoder")
    ) -> None:
        """The stream is listed."""
        figures = {"id": "face", "state": state, "processes": [{"name": n} for n in processes]}
        (self.run / "face.json").write_text(json.dumps(figures))

    def listen(self, *, mute: bool = False) -> None:
        """Its worker is there."""
        media = MediaFormat(64, 64, 25)
        folder, journal = self.run / "face.speech", Journal(self.run / "face.events")
        if not mute:
            self.utterances = Utterances(media, folder, LIMIT_SECONDS, journal)
        SpeechSocket(self.run / "face.say", self.utterances, MAX_SECONDS).start()

    def say(self, body: bytes, kind: str = "audio/wav", query: str = "") -> TestResponse:
        return self.api.post(SPEECH + query, data=body, content_type=kind)

    def left(self) -> list[str]:
        return [path.name for path in (self.run / "face.speech").glob("*.partial")]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    # As the child does it, without the time that a process takes to start.
    monkeypatch.setattr("server.speech_intake.inspect", rewrite)
    made = Stage(tmp_path)
    made.show()
    made.listen()
    return made


def sound(
    seconds: float = 1.0,
    kind: str = "WAV",
    subtype: str = "PCM_16",
    rate: int = 16_000,
    channels: int = 1,
) -> bytes:
    wave = 0.3 * np.sin(np.arange(round(rate * seconds)) * 1400 / rate)
    file = io.BytesIO()
    soundfile.write(file, np.repeat(wave[:, None], channels, axis=1), rate, subtype, format=kind)
    return file.getvalue()


@pytest.mark.parametrize(("kind", "subtype", "rate", "channels", "mimetype"), KINDS)
def test_every_kind_of_sound_is_taken(
    stage: Stage, kind: str, subtype: str, rate: int, channels: int, mimetype: str
) -> None:
    body = sound(2.0, kind, subtype, rate, channels)
    for answer in (
        stage.say(body, mimetype),
        stage.api.post(SPEECH, data={"audio": (io.BytesIO(body), "any name.xyz")}),
    ):
        assert answer.status_code == 202, answer.text
        assert answer.get_json()["duration_seconds"] == pytest.approx(2.0, abs=0.1)
        assert answer.get_json()["utterance"].startswith("u")
    assert stage.utterances
    line = stage.utterances.take()
    assert isinstance(line, Line)
    heard = line.clip.samples[10_000:80_000].astype(float) / 32767
    assert np.sqrt((heard**2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    assert stage.left() == []


def test_viewers_hear_the_original_and_not_what_a_model_needs(stage: Stage) -> None:
    """12 kHz is above all that a 16 kHz copy could carry."""
    wave = 0.3 * np.sin(2 * np.pi * 12_000 * np.arange(44_100) / 44_100)
    file = io.BytesIO()
    soundfile.write(file, wave, 44_100, "PCM_16", format="WAV")
    assert stage.say(file.getvalue()).status_code == 202
    assert stage.utterances
    line = stage.utterances.take()
    assert isinstance(line, Line)
    heard = line.clip.samples[4800:43_200, 0].astype(float) / 32767
    assert np.sqrt((heard**2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)


def test_what_waits_is_told_and_dropped(stage: Stage) -> None:
    first = stage.say(sound(3.0)).get_json()["utterance"]
    answer = stage.say(sound(2.0)).get_json()
    assert 3.0 <= answer["starts_in_seconds"] <= 4.0
    assert stage.api.get(SPEECH).get_json() == {"queued_seconds": 5.0}
    dropped = stage.api.delete(SPEECH)
    assert (dropped.status_code, dropped.get_json()) == (
        200,
        {"dropped": [first, answer["utterance"]]},
    )
    assert stage.api.get(SPEECH).get_json() == {"queued_seconds": 0.0}


def test_an_interruption(stage: Stage) -> None:
    stage.say(sound(20.0))
    answer = stage.say(sound(15.0), query="?interrupt=1")
    assert answer.get_json()["queued_seconds"] == 15.0
    refused = stage.say(sound(16.0), query="?interrupt=0")
    assert refused.status_code == 429


def test_silence_does_not_wait_for_the_body(stage: Stage) -> None:
    stage.say(sound(20.0))
    assert stage.say(b"<svg/>", "video/mp4", "?interrupt=1").status_code == 415
    assert stage.api.get(SPEECH).get_json() == {"queued_seconds": 20.0}, "that was no speech"
    assert stage.say(b"\0" * 5000, query="?interrupt=1").status_code == 415
    assert stage.api.get(SPEECH).get_json() == {"queued_seconds": 0.0}


def test_a_full_queue_says_when_there_is_room(stage: Stage) -> None:
    assert stage.say(sound(25.0)).status_code == 202
    refused = stage.say(sound(9.4))
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "5"
    assert "25.0 s of speech wait" in refused.get_json()["detail"]
    assert stage.left() == []


def nan() -> bytes:
    wave = np.zeros(16_000, np.float32)
    wave[9000] = np.nan
    file = io.BytesIO()
    soundfile.write(file, wave, 16_000, "FLOAT", format="WAV")
    return file.getvalue()


REFUSED: list[tuple[Callable[[], bytes], str, int, str]] = [
    (lambda: b"", "audio/wav", 400, "is empty"),
    (lambda: b"\0" * 5000, "audio/wav", 415, "no picture and no sound"),
    (lambda: b"<svg/>", "audio/mpeg", 415, "SVG"),
    (files.picture, "audio/wav", 415, "it is a picture"),
    (lambda: sound()[:-5000], "audio/wav", 422, "cut off"),
    (lambda: sound(0.0), "audio/wav", 422, "no samples"),
    (nan, "audio/wav", 422, "NaN or infinite"),
    (lambda: sound(31.0), "audio/wav", 413, "30 s of speech are the most"),
    (lambda: sound(41.0), "audio/wav", 422, "the limit is 40 s"),
    (lambda: b"x" * (MAX_BYTES + 1), "audio/wav", 413, f"limit of {MAX_BYTES} bytes"),
    (lambda: b"x" * (MAX_BYTES + 99_999), "audio/wav", 413, f"{MAX_BYTES} bytes are the most"),
    (lambda: sound(), "video/mp4", 415, "the body is video/mp4: send a WAV"),
    (lambda: b"[]", "application/json", 400, "nothing to say"),
    (lambda: b'{"text": 5}', "application/json", 400, "nothing to say"),
    (lambda: b'{"text": " "}', "application/json", 400, "nothing to say"),
    (lambda: b"{", "application/json", 400, "nothing to say"),
    (lambda: b"[" * 30_000, "application/json", 400, "nothing to say"),
    (lambda: b'{"text": "' + b"x" * 70_000 + b'"}', "application/json", 413, "65536 bytes"),
    (lambda: b"text=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413, "65536 bytes"),
]


@pytest.mark.parametrize(("body", "kind", "status", "words"), REFUSED)
def test_what_cannot_be_said_is_refused_in_words(
    stage: Stage, body: Callable[[], bytes], kind: str, status: int, words: str
) -> None:
    refused = stage.say(body(), kind)
    assert refused.status_code == status, refused.text
    assert words in refused.get_json()["detail"]
    assert refused.mimetype == "application/problem+json"
    assert stage.api.get(SPEECH).get_json() == {"queued_seconds": 0.0}
    assert stage.left() == []


def test_a_text_without_a_length_is_not_read_beyond_its_limit(stage: Stage) -> None:
    """A body in chunks; the bytes are counted as they come."""
    body = io.BytesIO(b'{"text": "' + b"x" * 70_000 + b'"}')
    refused = stage.api.post(
        SPEECH,
        input_stream=body,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert refused.status_code == 413, refused.text
    assert body.tell() <= 65_536 + 1


def test_a_form_with_another_field_or_two_files(stage: Stage) -> None:
    other = stage.api.post(SPEECH, data={"sound": (io.BytesIO(sound()), "a.wav")})
    assert (other.status_code, "'sound'; call it 'audio'" in other.text) == (400, True)
    two = [(io.BytesIO(sound()), "a.wav"), (io.BytesIO(sound()), "b.wav")]
    several = stage.api.post(SPEECH, data={"audio": two})
    assert several.status_code == 400
    assert stage.left() == []


@pytest.mark.parametrize(
    "body", [{"text": "Hello there, how are you?"}, {"text": "Hallo", "voice": "de"}]
)
@pytest.mark.parametrize("form", [True, False])
def test_a_text_is_spoken(stage: Stage, body: dict[str, str], form: bool) -> None:
    answer = stage.api.post(SPEECH, data=body) if form else stage.api.post(SPEECH, json=body)
    assert answer.status_code == 202, answer.text
    assert 0.3 < answer.get_json()["duration_seconds"] < 4
    (event,) = Journal(stage.run / "face.events").after(0)
    assert event.kind == "speech_queued"
    assert " ".join(cue["text"] for cue in event.facts["cues"]) == body["text"]
    assert stage.utterances
    line = stage.utterances.take()
    assert isinstance(line, Line)
    assert line.track.open.max() > 0.5


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"text": "x" * (LONGEST_TEXT + 1)}, 413, "2001 characters, 2000 are the most"),
        ({"text": "hello", "voice": "klingonese"}, 422, "no voice 'klingonese'"),
        ({"text": "hello", "voice": "../../etc"}, 400, "voice is '../../etc'"),
        ({"text": "..."}, 422, "nothing to say in this text"),
    ],
)
def test_a_text_that_cannot_be_spoken(
    stage: Stage, body: dict[str, str], status: int, words: str
) -> None:
    refused = stage.api.post(SPEECH, json=body)
    assert refused.status_code == status
    assert words in refused.get_json()["detail"]
    assert stage.left() == []


def test_streams_that_nobody_can_speak_through(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert stage.say(sound()).status_code == 404
    stage.show(processes=("encoder",))
    program = stage.say(sound())
    assert (program.status_code, "a program of yours" in program.text) == (409, True)
    stage.show(state="ended")
    assert "the stream is ended" in stage.api.delete(SPEECH).get_json()["detail"]
    stage.show()
    starting = stage.say(sound())
    assert (starting.status_code, starting.headers["Retry-After"]) == (503, "1")
    assert stage.left() == []
    stage.listen(mute=True)
    assert stage.say(sound(), query="?interrupt=1").status_code == 409
    camera = stage.say(sound())
    assert (camera.status_code, "a camera" in camera.text) == (409, True)
    assert stage.left() == []


def test_speech_needs_the_token_of_the_control_api(tmp_path: Path) -> None:
    stage = Stage(tmp_path, api_token="secret-secret-secret")
    stage.show()
    stage.listen()
    assert stage.say(sound()).status_code == 401
    assert stage.api.get("/api/streams/face/events").status_code == 401
    header = {"Authorization": "Bearer secret-secret-secret"}
    answer = stage.api.post(SPEECH, data=sound(), content_type="audio/wav", headers=header)
    assert answer.status_code == 202


def test_what_a_killed_web_process_left_is_swept(stage: Stage) -> None:
    import os

    folder = stage.run / "face.speech"
    stage.say(sound())
    old, young = folder / "old.partial", folder / "young.partial"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (1e9, 1e9))
    stage.say(sound())
    assert stage.left() == ["young.partial"]
