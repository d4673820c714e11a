"""Another face in a stream that goes on: what viewers get changes between two pictures, no more."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from skimage import data as skimage_data

from tests.ffmpeg.talking_head import flags_of, settings_in
from tests.ffmpeg.test_speech import FLAGS, FPS, Ear, Recording, figures, loudness, say, tone
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

data: Any = skimage_data  # without types
SECONDS = 6.0


@pytest.fixture(scope="module", params=["presenter", "ditto"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Its face is drawn by the presenter, or by the tiny networks; it idles."""
    flags: tuple[str, ...] = FLAGS
    if request.param == "ditto":
        flags = flags_of(settings_in(tmp_path_factory.mktemp("ditto")))
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        yield service


def portrait(*, others: bool = False) -> bytes:
    """A face, mirrored; or with a smaller one beside it."""
    head = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[0:190, 130:320][:, ::-1]
    if others:
        smaller = cv2.resize(head, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        below = np.zeros((head.shape[0], smaller.shape[1], 3), np.uint8)
        below[: smaller.shape[0]] = smaller
        head = np.hstack((head, below))
    return cv2.imencode(".png", head)[1].tobytes()


def wish(service: Service, image: str) -> requests.Response:
    url = f"{service.url}/api/streams/demo/face"
    return requests.put(url, json={"image": image}, timeout=30)


def upload(service: Service, picture: bytes) -> str:
    files = {"file": io.BytesIO(picture)}
    answer = requests.post(f"{service.url}/api/uploads", files=files, timeout=30)
    return str(answer.json()["path"])


def changed(ear: Ear, change: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for kind, facts in ear.told:
            if kind == "face_changed" and facts["change"] == change:
                return facts
        time.sleep(0.01)
    raise AssertionError(f"no {change} in {ear.told}")


def small_pictures(recording: Recording) -> tuple[float, NDArray[np.float64]]:
    """Time of the first picture; all of them, small."""
    with av.open(recording._whole("v0"), "r") as container:
        frames = list(container.decode(video=0))
    assert frames[0].time is not None
    shown = [f.to_ndarray(format="bgr24", width=96, height=54) for f in frames]
    return frames[0].time, np.stack(shown).astype(np.float64)


def sound_from(recording: Recording, start: float) -> NDArray[np.float64]:
    with av.open(recording._whole("a0"), "r") as container:
        frames = list(container.decode(audio=0))
    assert frames[0].time is not None
    whole = np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(float)
    return whole[round((start - frames[0].time) * 48_000) :]


def likeness(shown: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each picture is from another."""
    return np.asarray(np.abs(shown - to).mean(axis=(1, 2, 3)), np.float64)


def test_the_picture_changes_at_one_frame_and_the_sound_goes_on(running: Service) -> None:
    ear, recording = Ear(running.url), Recording(running.url)
    image = upload(running, portrait())
    before = figures(running.url)
    utterance = say(running.url, tone(SECONDS))
    ear_started = ear.await_event("speech_started", utterance)
    recording.look()
    answer = wish(running, image)
    assert answer.status_code == 202, answer.text
    told = changed(ear, answer.json()["change"])
    finished = ear.await_event("speech_finished", utterance)
    recording.until(finished["media_seconds"] + 0.2)
    assert ear_started["media_seconds"] < told["media_seconds"] < finished["media_seconds"]

    start, shown = small_pictures(recording)
    at = round((told["media_seconds"] - start) * FPS)
    new = likeness(shown, shown[-1]) < likeness(shown, shown[0])
    assert likeness(shown[:1], shown[-1])[0] > 10, "they are different faces"
    assert new.tolist() == [False] * at + [True] * (len(shown) - at)

    repeated = figures(running.url)["units_repeated"] - before["units_repeated"]
    heard = loudness(sound_from(recording, start), len(shown))
    first, end = (round((t["media_seconds"] - start) * FPS) for t in (ear_started, finished))
    assert end - first <= SECONDS * FPS + repeated
    inside = heard[first + 1 : end - 1]
    assert (inside < 0.5 * np.median(inside)).sum() <= 2 * repeated, "a gap in the sound"
    assert "DISCONTINUITY" not in recording.catch("v0") + recording.catch("a0")
    after = figures(running.url)
    assert after["encoder_restarts"] == before["encoder_restarts"]


def test_a_worker_that_is_started_anew_wears_what_the_last_one_wore(running: Service) -> None:
    ear = Ear(running.url)
    wished = wish(running, upload(running, portrait()))
    told = changed(ear, wished.json()["change"])
    while figures(running.url)["media_seconds"] < told["media_seconds"] + 0.5:
        time.sleep(0.1)
    worn, killed = snapshot(running), running.find("inference")
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while figures(running.url)["processes"][0]["pid"] in (killed, None) or waits(running):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1.5)
    assert likeness(snapshot(running)[None], worn)[0] < 6, "it is another face"


def waits(service: Service) -> bool:
    return bool(figures(service.url)["source"] != "connected")


def snapshot(service: Service) -> NDArray[np.float64]:
    answer = requests.get(f"{service.url}/live/demo/snapshot.jpg", timeout=10)
    jpeg = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert jpeg is not None
    return cv2.resize(jpeg, (96, 54), interpolation=cv2.INTER_AREA).astype(np.float64)


def test_what_has_no_face_is_refused_and_of_several_the_largest_is_told(running: Service) -> None:
    is_ditto = "ditto" in running.flags
    grey = cv2.imencode(".png", np.full((200, 200, 3), 128, np.uint8))[1].tobytes()
    refused = wish(running, upload(running, grey))
    assert (refused.status_code, "no face found" in refused.text) == (422, True)
    assert wish(running, "uploads/" + "0" * 32).status_code == 400
    presenter = wish(running, "presenter")
    assert presenter.status_code == (409 if is_ditto else 202), presenter.text
    several = wish(running, upload(running, portrait(others=True)))
    assert several.status_code == 202, several.text
    if not is_ditto:  # the tiny networks see one patch of skin
        assert several.json()["notes"] == ["2 faces in the picture: the largest is used"]
