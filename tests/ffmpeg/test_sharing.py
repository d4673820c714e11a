"""Talking heads of one service are sessions of one process, which loads the networks once.

On the synthetic checkpoint, with real encoders.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from config import Settings
from inference.ditto.networks import NAMES
from tests.ffmpeg.talking_head import flags_of, settings_in
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_in(tmp_path_factory.mktemp("ditto"))


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[Service]:
    flags = (*flags_of(settings), "--ended-seconds", "0")
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        yield service


def until(what: str, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def streams(service: Service) -> dict[str, dict[str, Any]]:
    told = requests.get(f"{service.url}/api/streams", timeout=10).json()["streams"]
    return {stream["id"]: stream for stream in told}


def process(service: Service, name: str, kind: str = "inference") -> dict[str, Any]:
    (found,) = [p for p in streams(service)[name]["processes"] if p["name"] == kind]
    told: dict[str, Any] = found
    return told


def start(service: Service, settings: Settings, name: str) -> None:
    with Path(settings.image).open("rb") as file:
        uploaded = requests.post(f"{service.url}/api/uploads", files={"file": file}, timeout=30)
    source = {"type": "avatar", "image": uploaded.json()["path"]}
    order: dict[str, Any] = {"id": name, "source": source}
    answer = requests.post(f"{service.url}/api/streams", json=order, timeout=10)
    assert answer.status_code == 201, answer.text


def delete(service: Service, name: str) -> None:
    assert requests.delete(f"{service.url}/api/streams/{name}", timeout=10).ok
    until(f"{name} is gone", lambda: name not in streams(service))


def pictures(service: Service, name: str) -> int:
    """That its session has drawn, as it tells once a second."""
    drawn: int = streams(service)[name].get("face", {}).get("pictures", 0)
    return drawn


def await_pictures(service: Service, name: str) -> None:
    """New ones, which its encoder gets."""
    until(f"{name} has a source", lambda: streams(service)[name].get("source") == "connected")
    await_another_picture(service, name)  # which may be the first of a session
    await_another_picture(service, name)


def await_another_picture(service: Service, name: str) -> None:
    before = pictures(service, name)
    until(f"{name} plays", lambda: pictures(service, name) != before)


def await_both(service: Service) -> None:
    await_pictures(service, "demo")
    await_pictures(service, "two")


def inference_processes(service: Service) -> list[int]:
    """Those at work."""
    found = []
    for pid in service.processes()[1:]:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[1:3] == [b"-m", b"inference"] and pid not in service.waiting():
            found.append(pid)
    return found


def weights_loaded(service: Service) -> Counter[str]:
    """How often each file was read by the process that runs now."""
    lines = [json.loads(line) for line in service.log if line.startswith("{")]
    begins = max(
        number
        for number, line in enumerate(lines)
        if line["event"] == "process_started" and line["process"] == "inference"
    )
    return Counter(x["network"] for x in lines[begins:] if x["event"] == "weights_loaded")


def test_two_play_in_one_process_that_loads_once(running: Service, settings: Settings) -> None:
    start(running, settings, "two")
    await_both(running)
    (pid,) = inference_processes(running)
    assert {process(running, name)["pid"] for name in ("demo", "two")} == {pid}
    loaded = weights_loaded(running)
    assert (len(loaded), set(loaded.values())) == (len(NAMES), {1})
    delete(running, "two")


def test_one_is_deleted_and_the_other_goes_on(running: Service, settings: Settings) -> None:
    start(running, settings, "two")
    await_both(running)
    before, units = process(running, "demo"), streams(running)["demo"]["units_fed"]
    delete(running, "two")
    await_pictures(running, "demo")
    assert process(running, "demo") == before, "the same process, no restart"
    assert streams(running)["demo"]["units_fed"] > units
    start(running, settings, "three")
    await_pictures(running, "three")
    assert set(weights_loaded(running).values()) == {1}, "they stayed"
    delete(running, "three")


def test_the_process_is_killed_and_both_come_back(running: Service, settings: Settings) -> None:
    start(running, settings, "two")
    await_both(running)
    encoders = [process(running, name, "encoder") for name in ("demo", "two")]
    restarts = [process(running, name)["restarts"].get("SIGKILL", 0) for name in ("demo", "two")]
    killed = running.find("-m inference")
    os.kill(killed, signal.SIGKILL)
    old = (killed, None)
    until("demo is back", lambda: process(running, "demo")["pid"] not in old)
    until("two is back", lambda: process(running, "two")["pid"] not in old)
    await_both(running)
    assert inference_processes(running) == [process(running, "demo")["pid"]]
    after = [process(running, name)["restarts"]["SIGKILL"] for name in ("demo", "two")]
    assert after == [count + 1 for count in restarts]
    # nobody who watches was told of it
    assert [process(running, name, "encoder") for name in ("demo", "two")] == encoders
    for name in ("demo", "two"):
        playlist = requests.get(f"{running.url}/live/{name}/v0/media.m3u8", timeout=10)
        assert playlist.ok, playlist.text
        assert "DISCONTINUITY" not in playlist.text
    delete(running, "two")


def test_each_has_its_own_process_where_that_is_wished(settings: Settings) -> None:
    flags = (*flags_of(settings), "--ditto-process", "each")
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        start(service, settings, "two")
        await_both(service)
        own = {process(service, name)["pid"] for name in ("demo", "two")}
        assert own == set(inference_processes(service))
        assert len(own) == 2
