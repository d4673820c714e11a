"""``/api/streams/<id>/face`` down to the face of a worker, without the processes between."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from werkzeug.test import TestResponse

from config import SILENT, Settings
from inference.character import Character
from inference.portrait import Portrait
from inference.presenter import RECALLABLE, Presenter
from inference.source import make_source
from inference.speech_socket import SpeechSocket
from inference.utterances import Utterances
from inference.wardrobe import Wardrobe
from journal import Journal
from rawmedia import MediaFormat
from server.inspection import rewrite
from tests.unit.inference.conftest import astronaut  # noqa: F401 - a fixture
from tests.unit.test_speech_api import Stage, sound

FACE = "/api/streams/face/face"
MEDIA = MediaFormat(160, 96, 25)


class Theatre(Stage):
    """With a face in it."""

    def play(self) -> Presenter:
        journal = Journal(self.run / "face.events")
        utterances = Utterances(MEDIA, self.run / "face.speech", 30, journal)
        settings = Settings(width=MEDIA.width, height=MEDIA.height, audio=SILENT)
        source = make_source(settings, MEDIA, utterances=utterances)
        assert isinstance(source, Presenter)
        wardrobe = Wardrobe(source, utterances, self.run / "face.worn")
        SpeechSocket(self.run / "face.say", utterances, 40, wardrobe).start()
        return source

    def upload(self, data: bytes) -> str:
        answer = self.api.post("/api/uploads", data={"file": (io.BytesIO(data), "x")})
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()["path"])

    def wish(self, image: object) -> TestResponse:
        return self.api.put(FACE, json={"image": image})


@pytest.fixture
def theatre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Theatre:
    # As the child does it, without the time that a process takes to start.
    monkeypatch.setattr("server.upload_store.inspect", rewrite)
    made = Theatre(tmp_path)
    made.show()
    return made


def show(source: Presenter, units: int) -> None:
    frame = np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8)
    for _ in range(units):
        source.render(frame, np.zeros((MEDIA.samples_per_unit, 1), np.int16))


def test_a_photo_then_the_presenter(theatre: Theatre, astronaut: Path) -> None:  # noqa: F811
    source = theatre.play()
    answer = theatre.wish(theatre.upload(astronaut.read_bytes()))
    assert answer.status_code == 202, answer.text
    first = answer.get_json()
    assert first["notes"] == []
    show(source, 1)
    assert isinstance(source.face, Portrait)
    second = theatre.wish("presenter").get_json()
    assert int(second["change"][1:], 16) > int(first["change"][1:], 16)
    show(source, RECALLABLE)
    assert isinstance(source.face, Character)


def test_what_is_no_face_is_refused_and_the_old_one_stays(theatre: Theatre) -> None:
    source = theatre.play()
    before = source.face
    grey = cv2.imencode(".png", np.full((200, 200, 3), 128, np.uint8))[1].tobytes()
    refused = theatre.wish(theatre.upload(grey))
    assert (refused.status_code, "no face found in 200x200" in refused.text) == (422, True)
    for image, words in (
        ("uploads/" + "0" * 32, "is no upload that is there"),
        ("../../etc/passwd", "is no upload that is there"),
        ("", "is no upload that is there"),
        (theatre.upload(sound()), "is a sound"),
        (7, "the body must be"),
    ):
        refused = theatre.wish(image)
        assert refused.status_code == 400, image
        assert words in refused.get_json()["detail"]
    for body in (b"{", b"[]", b'{"image": "presenter", "engine": "ditto"}', b"{}"):
        refused = theatre.api.put(FACE, data=body, content_type="application/json")
        assert (refused.status_code, "the body must be" in refused.text) == (400, True)
    show(source, 3)
    assert source.face is before


def test_streams_that_have_no_face(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    assert theatre.wish("presenter").status_code == 404
    theatre.show(processes=("encoder",))
    program = theatre.wish("presenter")
    assert (program.status_code, "a program of yours" in program.text) == (409, True)
    theatre.show(state="ended")
    assert "its face stays as it is" in theatre.wish("presenter").get_json()["detail"]
    theatre.show()
    starting = theatre.wish("presenter")
    assert (starting.status_code, starting.headers["Retry-After"]) == (503, "1")
    theatre.listen(mute=True)
    camera = theatre.wish("presenter")
    assert (camera.status_code, "is no avatar" in camera.text) == (409, True)


def test_it_needs_the_token_of_the_control_api(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path, api_token="secret-secret-secret")
    theatre.show()
    assert theatre.wish("presenter").status_code == 401
