"""Sources in real streams: what was drawn is read back from what viewers get, in step."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import dropwhile, pairwise, takewhile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from inference.timecode import read_code
from tests.clips import (
    FFMPEG,
    MEDIA,
    UNIT_MS,
    beep_seconds,
    flash_seconds,
    make_clip,
    number_of,
)
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

SMALL = {"width": 640, "height": 360, "video_kbit": 300, "ladder": "single"}
Pictures = list[tuple[float, NDArray[np.uint8]]]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    make_clip(folder / "clip.mp4", 75, more_sound_units=5)
    make_clip(folder / "long.mp4", 250)
    return folder


@pytest.fixture(scope="module")
def running(films: Path) -> Iterator[Service]:
    flags: tuple[str, ...] = ("--source", "testcard", "--film-folder", str(films))
    for name, value in SMALL.items():
        flags += (f"--{name.replace('_', '-')}", str(value))
    with temporary_media_root() as folder, Service(Path(folder) / "media", flags) as service:
        yield service


def window(service: Service, stream: str, rendition: str, segments: int) -> bytes:
    """Init segment and the first segments that are listed, as one file."""
    base = f"{service.url}/live/{stream}/{rendition}"
    deadline = time.monotonic() + 30
    while True:
        answer = requests.get(f"{base}/media.m3u8", timeout=5)
        names = re.findall(r"^([0-9a-f]+-\d+\.m4s)$", answer.text, re.MULTILINE)
        if len(names) >= segments:
            break
        assert time.monotonic() < deadline, (answer.status_code, answer.text)
        time.sleep(0.2)
    init = re.search(r'MAP:URI="([^"]+)"', answer.text)
    assert init is not None
    parts = [requests.get(f"{base}/{n}", timeout=5) for n in (init[1], *names[:segments])]
    assert all(part.ok for part in parts)
    return b"".join(part.content for part in parts)


def pictures(video: bytes) -> Pictures:
    with av.open(io.BytesIO(video), "r") as container:
        return [
            (float(frame.time or 0), np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            for frame in container.decode(video=0)
        ]


def beeps(audio: bytes) -> list[float]:
    with av.open(io.BytesIO(audio), "r") as container:
        decoded = list(container.decode(audio=0))
    sound = np.concatenate([frame.to_ndarray()[0] for frame in decoded])
    start = float(decoded[0].time or 0)
    return [start + at for at in beep_seconds(sound, 48_000, loud=0.2)]


def assert_in_step(shown: Pictures, heard: list[float], at_least: int) -> None:
    """Every flash that both renditions cover has its beep within 40 ms."""
    flashes = [at for at in flash_seconds(shown) if heard[0] - 0.5 < at < heard[-1] + 0.5]
    assert len(flashes) >= at_least, (flashes, heard)
    offsets = [min((beep - flash for beep in heard), key=abs) for flash in flashes]
    assert max(map(abs, offsets)) < 0.040, offsets


def figures_since(service: Service, stream: str, since: float) -> dict[str, Any]:
    """What the encoder process tells of a stream, once it tells of that time too."""
    deadline = time.monotonic() + 5
    while True:
        told: dict[str, Any] = requests.get(f"{service.url}/api/streams/{stream}", timeout=5).json()
        if told.get("at", 0.0) > since:
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.1)


def assert_every_step_is_accounted_for(
    numbers: list[int], told: dict[str, Any], modulo: int = 1 << 30
) -> int:
    """Neighbours are neighbours, but for those that the stream says it repeated or gave up.

    Before its source comes a stream has a beginning already: it shows the first picture.

    Returns:
        How many flashes are among them at least: one a second, but for those that were given up.
    """
    first = sum(1 for _ in takewhile(lambda number: number == numbers[0], numbers))
    steps = [(b - a) % modulo for a, b in pairwise(numbers[first - 1 :])]
    assert len(steps) > 100
    assert steps.count(0) <= told["units_repeated"] - (first - 1), steps
    missing = sum(step - 1 for step in steps if step > 1)
    assert missing <= told["units_dropped"] + told["units_skipped"], steps
    return (len(steps) - steps.count(0)) // MEDIA.fps - missing


def test_the_test_card_is_read_back_at_300_kbit(running: Service) -> None:
    video, audio = (window(running, "demo", name, 4) for name in ("v0", "a0"))
    told = figures_since(running, "demo", time.time())
    shown = pictures(video)
    codes = [read_code(picture) for _at, picture in shown]
    assert len(shown) == 200
    assert None not in codes, "each picture can be read"
    known = [code for code in codes if code is not None]
    times = [code.milliseconds for code in known]
    assert times == sorted(times)
    assert abs(times[-1] / 1000 - time.time()) < 60, "wall-clock time"
    units = [code.unit for code in known]
    flashes = assert_every_step_is_accounted_for(units, told, modulo=64)
    assert_in_step(shown, beeps(audio), flashes)


def test_a_film_of_the_operators_folder_loops_in_step(running: Service) -> None:
    body: dict[str, Any] = {"id": "film", "source": {"type": "file", "name": "clip.mp4"}}
    answer = requests.post(f"{running.url}/api/streams", json=body, timeout=20)
    assert answer.status_code == 201, answer.text
    video, audio = (window(running, "film", name, 4) for name in ("v0", "a0"))
    shown = pictures(video)
    numbers = [number_of(picture) for _at, picture in shown]
    assert None not in numbers
    assert numbers.count(0) >= 2, "it loops"
    assert_in_step(shown, beeps(audio), 4)
    requests.delete(f"{running.url}/api/streams/film", timeout=5).raise_for_status()


@pytest.mark.parametrize(
    ("name", "words"),
    [("other.mp4", "film_folder"), ("../secret", "film_folder"), ("bad.mp4", "ffmpeg says")],
)
def test_the_api_refuses_other_films(running: Service, films: Path, name: str, words: str) -> None:
    (films / "bad.mp4").write_bytes(b"no film at all")
    body: dict[str, Any] = {"id": "bad", "source": {"type": "file", "name": name}}
    answer = requests.post(f"{running.url}/api/streams", json=body, timeout=20)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_ffmpeg_through_a_pipe_is_a_stream(running: Service, films: Path, tmp_path: Path) -> None:
    """Picture and sound of a clip, as the README says; the stream ends with the pipe."""
    os.mkfifo(tmp_path / "sound")
    size = f"{MEDIA.width}x{MEDIA.height}"
    flags = ("ingest", "piped", "--create", "--size", size, "--fps", "25", "--audio")
    root = ("--media-root", str(running.media_root), "--url", running.url)
    ingest = subprocess.Popen(
        [sys.executable, "-m", "server", *flags, str(tmp_path / "sound"), *root],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    raw = ("-map", "0:v", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", "25", "pipe:1")
    sound = ("-map", "0:a", "-f", "s16le", "-ar", "48000", "-ac", "1", "-y", tmp_path / "sound")
    clip = ("-nostdin", "-v", "error", "-re", "-i", films / "long.mp4")
    program = subprocess.Popen([FFMPEG, *clip, *raw, *sound], stdout=ingest.stdin)
    try:
        assert ingest.stdin is not None
        ingest.stdin.close()
        video, audio = (window(running, "piped", name, 4) for name in ("v0", "a0"))
        told = figures_since(running, "piped", time.time())
        shown = pictures(video)
        numbers = [number_of(picture) for _at, picture in shown]
        numbers = list(dropwhile(lambda number: number is None, numbers))  # perhaps a slate
        known = [number for number in numbers if number is not None]
        assert len(known) == len(numbers), "each picture can be read"
        assert_every_step_is_accounted_for(known, told)
        assert_in_step(shown, beeps(audio), 3)
        assert program.wait(30) == 0
        assert ingest.stderr is not None
        words = ingest.stderr.read().decode()
        assert ingest.wait(20) == 0, words
        assert " pictures" in words
        _until_ended(f"{running.url}/api/streams/piped")
    finally:
        for child in (program, ingest):
            child.kill()
            child.wait()


def _until_ended(stream: str) -> None:
    """Its figures are told twice a second."""
    deadline = time.monotonic() + 5
    while requests.get(stream, timeout=5).json()["state"] not in ("ending", "ended"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_model_of_fifteen_pictures_keeps_them_with_their_sound(
    running: Service, tmp_path: Path
) -> None:
    """A flash and a beep each second, at 15 pictures a second into a stream of 25."""
    period, flash, seconds = 15, 7, 9
    times = np.arange(48_000) / 48_000
    beep = (np.cos(2 * np.pi * 1000 * times) * 16_000 * (times < 0.05)).astype(np.int16)
    second = np.roll(beep, flash * 48_000 // period)
    (tmp_path / "sound.raw").write_bytes(np.tile(second, seconds).tobytes())
    root = ("--media-root", str(running.media_root), "--url", running.url)
    words = ("ingest", "model", "--create", "--size", "640x360", "--fps", "15")
    sound = ("--audio", str(tmp_path / "sound.raw"))
    argv = [sys.executable, "-m", "server", *words, *sound, *root]
    ingest = subprocess.Popen(argv, stdin=subprocess.PIPE)
    dark, white = (np.full(MEDIA.frame_bytes, level, np.uint8).tobytes() for level in (16, 235))
    assert ingest.stdin is not None
    try:
        with ingest.stdin as pipe:
            for number in range(period * seconds):
                pipe.write(white if number % period == flash else dark)
            video, audio = (window(running, "model", name, 3) for name in ("v0", "a0"))
        assert_in_step(pictures(video), beeps(audio), 2)
    finally:
        ingest.kill()
        ingest.wait()


def test_the_unit_of_the_clips_is_that_of_their_rate() -> None:
    assert UNIT_MS * MEDIA.fps == 1000
