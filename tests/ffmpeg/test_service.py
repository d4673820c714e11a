"""The whole service as its clients meet it: curl, ffprobe, PyAV, signals."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import requests

from encoder.playlist_reader import read_position
from tests.browser.need import require
from tests.service import Service
from tests.yardstick import slowness

pytestmark = pytest.mark.ffmpeg


def curl(url: str) -> bytes:
    argv = [require("curl"), "--silent", "--show-error", "--fail", "--max-time", "10", url]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def time_of(frame: av.VideoFrame | av.AudioFrame) -> Fraction:
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * frame.time_base


def first_match(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, text
    return match[1]


def test_curl_gets_playlist_init_and_a_segment_that_decode(service: str, tmp_path: Path) -> None:
    index = curl(f"{service}/live/demo/index.m3u8").decode()
    for name, kind, frames in (("video", "v0", 50), ("audio", "a0", 93)):
        uri = first_match(r"^(v0/.*)$" if kind == "v0" else r'URI="(a0/[^"]*)"', index)
        base = f"{service}/live/demo/{uri.rpartition('/')[0]}"
        playlist = curl(f"{service}/live/demo/{uri}").decode()
        init = curl(f"{base}/" + first_match(r'MAP:URI="([^"]+)"', playlist))
        segment = curl(f"{base}/" + first_match(r"^([0-9a-f]+-[0-9]+\.m4s)$", playlist))
        file = tmp_path / f"{name}.mp4"
        file.write_bytes(init + segment)
        with av.open(str(file)) as container:
            decoded = sum(1 for _ in container.decode(container.streams[0]))
        assert decoded in (frames, frames + 1), name


def test_ffprobe_sees_what_was_promised(service: str) -> None:
    entries = "stream=codec_name,profile,width,height,r_frame_rate,sample_rate,channels,color_space"
    argv = [require("ffprobe"), "-v", "error", "-show_entries", entries, "-of", "json"]
    done = subprocess.run(
        [*argv, f"{service}/live/demo/index.m3u8"], check=True, capture_output=True, timeout=30
    )
    streams = json.loads(done.stdout)["streams"]
    pictures = [s for s in streams if s["codec_name"] == "h264"]
    (sound,) = (s for s in streams if s["codec_name"] == "aac")
    assert {(s["width"], s["height"]) for s in pictures} == {(1280, 720), (640, 360)}
    for picture in pictures:
        assert picture["profile"] == "High"
        assert picture["r_frame_rate"] == "25/1"
        assert picture["color_space"] == "bt709"
    assert (sound["sample_rate"], sound["channels"]) == ("48000", 1)


def test_pyav_reads_the_live_stream_without_a_gap(service: str) -> None:
    """Five seconds over segment borders: every picture 40 ms after the last, sound unbroken."""
    pictures: list[Fraction] = []
    sound: list[tuple[Fraction, Fraction]] = []
    loud = 0.0
    with av.open(f"{service}/live/demo/index.m3u8", timeout=20) as container:
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                pictures.append(time_of(frame))
                if len(pictures) > 125:
                    break
            elif isinstance(frame, av.AudioFrame):
                sound.append((time_of(frame), Fraction(frame.samples, frame.sample_rate)))
                loud = max(loud, float(np.abs(frame.to_ndarray()).max()))
    steps = {b - a for a, b in pairwise(pictures)}
    assert steps == {Fraction(1, 25)}
    assert all(a + length == b for (a, length), (b, _) in pairwise(sound[1:]))
    assert abs(pictures[0] - sound[0][0]) < Fraction(1, 10)
    assert loud > 0.05, "the presenter speaks"


def test_more_than_one_web_process_answers(service: str) -> None:
    """The media root is all they share: every one of them serves the same playlist."""
    texts = set()
    for _ in range(20):
        with requests.Session() as fresh:  # a connection of its own
            texts.add(fresh.get(f"{service}/live/demo/index.m3u8", timeout=5).text)
    assert len(texts) == 1


def test_a_held_reload_answers_when_its_part_is_published(service: str) -> None:
    url = f"{service}/live/demo/v0/media.m3u8"
    before = requests.get(url, timeout=5).text
    hint = first_match(r'PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', before)
    msn, part = first_match(r"-(\d+)\.\d+\.m4s", hint), first_match(r"\.(\d+)\.m4s", hint)
    after = requests.get(url, params={"_HLS_msn": msn, "_HLS_part": part}, timeout=10).text
    assert f'URI="{hint}"' in after.replace("PRELOAD-HINT:TYPE=PART,", "")
    media = requests.get(f"{service}/live/demo/v0/{hint}", timeout=5)
    assert media.content[4:8] == b"moof"


def test_the_snapshot_is_the_newest_picture(service: str) -> None:
    """It is a picture of the stream, and half a second later it is another one."""
    url = f"{service}/live/demo/snapshot.jpg"
    pictures = []
    for _ in range(2):
        answer = requests.get(url, timeout=10)
        assert answer.headers["Content-Type"] == "image/jpeg"
        with av.open(io.BytesIO(answer.content), "r") as container:
            frame = next(container.decode(video=0))
        pictures.append(frame.to_ndarray(format="gray"))
        time.sleep(1.5)  # its answer may be cached for a second
    assert pictures[0].shape == (720, 1280)
    assert pictures[0].std() > 20
    assert np.abs(np.subtract(*pictures, dtype=np.int16)).max() > 20
    assert requests.get(f"{service}/live/nobody/snapshot.jpg", timeout=5).status_code == 404


def test_the_api_tells_the_encoder(service: str) -> None:
    answer = requests.get(f"{service}/api/encoders", timeout=30).json()
    works = {entry["name"]: entry["works"] for entry in answer["encoders"]}
    assert works[answer["chosen"]] is True
    figures = requests.get(f"{service}/api/streams/demo", timeout=5).json()
    assert figures["encoder"] == answer["chosen"]
    assert figures["disk_bytes"] < figures["disk_bound_bytes"]


def test_ready_within_three_seconds_and_gone_within_three(media_root: Path) -> None:
    """Seconds of a machine that does nothing else; the best of three tries."""
    playable: list[float] = []
    stopped: list[float] = []
    while not (playable and min(playable) < 3 and min(stopped) < 3) and len(playable) < 3:
        before, began = slowness(), time.monotonic()
        with Service(media_root) as running:
            started = time.monotonic() - began
            processes = running.processes()
            assert len(processes) >= 6, "supervisor, inference, encoder, ffmpeg, web, its workers"
            began = time.monotonic()
            assert running.stop(signal.SIGINT) == 0
            ended = time.monotonic() - began
        busy = max(before, slowness())
        playable.append(started / busy)
        stopped.append(ended / busy)
        assert running.still_alive(processes) == []
        assert not media_root.exists()
    assert min(playable) < 3, playable
    assert min(stopped) < 3, stopped


def test_41_a_stream_that_is_deleted_ends_with_endlist_and_can_still_be_watched(
    media_root: Path,
) -> None:
    with Service(media_root) as running:
        playlist = f"{running.url}/live/demo/v0/media.m3u8"
        newest = read_position(requests.get(playlist, timeout=5).text).last_msn
        answer = requests.delete(f"{running.url}/api/streams/demo", timeout=5)
        assert (answer.status_code, answer.json()["state"]) == (202, "ending")
        deadline = time.monotonic() + 10
        while "#EXT-X-ENDLIST" not in requests.get(playlist, timeout=10).text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ended = requests.get(playlist, params={"_HLS_msn": str(newest + 98)}, timeout=5).text
        with av.open(f"{running.url}/live/demo/index.m3u8", timeout=20) as container:
            pictures = sum(1 for _ in container.decode(video=0))
        assert pictures > 50
        assert "PRELOAD-HINT" not in ended
        assert requests.get(f"{running.url}/readyz", timeout=5).ok
        with pytest.raises(AssertionError):
            running.find("-m inference")
        requests.delete(f"{running.url}/api/streams/demo", timeout=5)  # again: it goes at once
        while requests.get(playlist, timeout=10).ok:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not (media_root / "live/demo").exists()


def test_streams_come_and_go_by_the_api(media_root: Path) -> None:
    small: dict[str, Any] = {"width": 320, "height": 180, "ladder": "single", "latency": "ultra"}
    with Service(media_root) as running:
        streams = f"{running.url}/api/streams"
        answer = requests.post(streams, json={"id": "pet", "fps": 10, **small}, timeout=10)
        assert answer.status_code == 201
        assert answer.headers["Location"] == "/api/streams/pet"
        playlist = running.url + answer.json()["playback"]["hls"]
        assert "RESOLUTION=320x180,FRAME-RATE=10.000" in requests.get(playlist, timeout=10).text
        with av.open(playlist, timeout=20) as container:
            frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (320, 180)
        assert requests.post(streams, json={"id": "pet"}, timeout=10).status_code == 409
        listed = requests.get(streams, timeout=5).json()["streams"]
        assert {s["id"]: s["state"] for s in listed} == {"demo": "live", "pet": "live"}
        ready = requests.get(f"{running.url}/readyz", timeout=5)
        assert set(ready.json()["live_edge_age_seconds"]) == {"demo", "pet"}
        requests.delete(f"{streams}/demo", timeout=5)
        ended = f"{running.url}/live/demo/v0/media.m3u8"
        deadline = time.monotonic() + 10
        while "#EXT-X-ENDLIST" not in requests.get(ended, timeout=10).text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert requests.get(f"{streams}/pet", timeout=5).json()["state"] == "live"


def test_a_service_may_start_with_no_stream(media_root: Path) -> None:
    with Service(media_root, ("--stream", ""), playlist="healthz") as running:
        assert requests.get(f"{running.url}/readyz", timeout=5).status_code == 503
        made = requests.post(f"{running.url}/api/streams", json={}, timeout=10).json()
        assert requests.get(running.url + made["playback"]["hls"], timeout=10).ok
        wrong = requests.post(f"{running.url}/api/streams", json={"fps": 7}, timeout=10)
        assert wrong.status_code == 400
        assert "fps" in wrong.json()["detail"]


def test_children_end_when_the_supervisor_is_killed(media_root: Path) -> None:
    with Service(media_root) as running:
        processes = running.processes()
        running.stop(signal.SIGKILL)
        deadline = time.monotonic() + 5
        while running.still_alive(processes) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.still_alive(processes) == []


def test_a_second_service_may_not_take_the_media_root(media_root: Path) -> None:
    with Service(media_root) as running:
        second = Service.attempt(media_root, [])
        assert second.returncode == 2
        assert second.stderr.splitlines()[-1].startswith("lipstream: ")
        assert str(media_root) in second.stderr
        assert requests.get(f"{running.url}/live/demo/index.m3u8", timeout=5).ok


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--encoder", "h264_videotoolbox"], ("h264_videotoolbox",)),
        (["--audio", "{bad}"], ("bad.wav",)),
        (["--image", "{bad}"], ("bad.wav",)),
    ],
)
def test_what_cannot_start_leaves_nothing(
    tmp_path: Path, flags: list[str], words: tuple[str, ...]
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF nothing of use")
    root = tmp_path / "media"
    done = Service.attempt(root, [flag.format(bad=bad) for flag in flags])
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("lipstream: ")]
    assert told
    assert all(word in told[0] for word in words)
    assert not root.exists()


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount(8)")
def test_a_full_media_root_is_refused_at_the_start(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a tmpfs here")
    try:
        done = Service.attempt(small, [])
        assert done.returncode == 2
        assert "bytes are free, a stream needs" in done.stderr
        assert [p.name for p in small.iterdir()] == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
