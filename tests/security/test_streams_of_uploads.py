"""A stream of an uploaded photo and voice: it keeps both, also when the uploads are gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import requests
from skimage import data

from tests.security import files
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg
SMALL = ("--width", "320", "--height", "180", "--ladder", "single")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with temporary_media_root() as folder, Service(Path(folder) / "media", SMALL) as running:
        yield running


def upload(service: Service, content: bytes) -> dict[str, Any]:
    answer = requests.post(f"{service.url}/api/uploads", data=content, timeout=30)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def source_process(service: Service) -> dict[str, Any]:
    processes = requests.get(f"{service.url}/api/streams/me", timeout=5).json()["processes"]
    found: dict[str, Any] = next(each for each in processes if each["name"] == "inference")
    return found


def wait_until(reached: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stream_keeps_what_it_was_started_with(service: Service) -> None:
    portrait = data.astronaut()  # type: ignore[no-untyped-call] # scikit-image has no types here
    photo = files.picture(".jpg", cv2.cvtColor(portrait, cv2.COLOR_RGB2BGR))
    image, audio = upload(service, photo), upload(service, files.sound())
    source = {"type": "avatar", "image": image["path"], "audio": audio["path"]}
    streams = f"{service.url}/api/streams"
    assert requests.post(streams, json={"id": "me", "source": source}, timeout=30).ok
    assert requests.get(f"{service.url}/live/me/index.m3u8", timeout=30).status_code == 200
    for each in (image, audio):
        gone = requests.delete(f"{service.url}/api/uploads/{each['id']}", timeout=5)
        assert gone.status_code == 204
    first = source_process(service)["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: source_process(service)["pid"] not in (None, first))
    connected = f"{streams}/me"
    wait_until(lambda: requests.get(connected, timeout=5).json()["source"] == "connected")
    restarts = source_process(service)["restarts"]
    assert restarts == {"SIGKILL": 1}, restarts  # never once because of a missing file
    lent = {p.name for p in (service.media_root / "run").glob("me.*") if p.suffix != ".json"}
    assert {"me.image", "me.audio"} <= lent
    for _ in range(2):  # the second time it goes at once
        requests.delete(connected, timeout=5)
    wait_until(lambda: requests.get(connected, timeout=5).status_code == 404)
    assert not list((service.media_root / "run").glob("me.[ai]*"))


NO_UPLOADS = ("/etc/passwd", "../../etc/passwd", "uploads/../demo.json", "uploads/" + "0" * 32)


def test_no_other_file_can_be_named(service: Service) -> None:
    for name in NO_UPLOADS:
        for kind in ("image", "audio"):
            wish: dict[str, Any] = {"id": "me", "source": {"type": "avatar", kind: name}}
            answer = requests.post(f"{service.url}/api/streams", json=wish, timeout=10)
            assert answer.status_code == 400
            assert "is no upload that is there" in answer.json()["detail"]
    assert requests.get(f"{service.url}/api/streams/me", timeout=5).status_code == 404
