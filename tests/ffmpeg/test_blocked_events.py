"""A media root that is full: whoever listens is told that the stream was blocked, and when."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.ffmpeg.test_speech import Ear
from tests.service import Service, temporary_media_root
from tests.unit.mounts import small_tmpfs

pytestmark = pytest.mark.ffmpeg

FLAGS = ("--source", "testcard", "--width", "320", "--height", "180", "--ladder", "single")


def figures(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = requests.get(f"{service.url}/api/streams/demo", timeout=5).json()
    return told


def states(ear: Ear) -> list[dict[str, Any]]:
    return [facts for kind, facts in ear.told if kind == "state"]


def until(what: str, is_so: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_listeners_are_told_as_soon_as_there_is_room() -> None:
    with (
        temporary_media_root() as folder,
        small_tmpfs(Path(folder) / "m", "24m") as mount,
        Service(mount / "media", FLAGS) as service,
    ):
        until("live", lambda: figures(service)["state"] == "live", 10)
        ear = Ear(service.url)
        ballast = mount / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        full = time.time()
        until("blocked", lambda: figures(service)["state"] == "blocked", 10)
        known = time.time()
        time.sleep(1)
        assert "blocked" not in [told["state"] for told in states(ear)], "nowhere to write it"
        ballast.unlink()
        until("told", lambda: [told["state"] for told in states(ear)][-1:] == ["live"], 15)
        blocked = next(told for told in states(ear) if told["state"] == "blocked")
        assert blocked["was"] == "live"
        assert full <= blocked["at"] <= known + 1
