"""In decoded output the presenter's mouth follows the sound, through the whole pipeline."""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass

import av
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from config import Settings
from inference.presenter import mouth_opening, mouth_region
from inference.source import make_source
from rawmedia import MediaFormat

pytestmark = pytest.mark.ffmpeg

FPS, RATE_HZ = 25, 48_000
SAMPLES_PER_FRAME = RATE_HZ // FPS
WANTED_SEGMENTS = 6
Curve = NDArray[np.float64]


def whole_window(service: str) -> tuple[bytes, bytes]:
    """Init segment and the newest complete segments of pictures and sound, each as one file.

    The same segments of both, though one playlist is read after the other.
    """
    deadline = time.monotonic() + 20
    while True:
        video, audio = (listed(service, name) for name in ("v0", "a0"))
        common = sorted(video.segments.keys() & audio.segments.keys())[-WANTED_SEGMENTS:]
        if len(common) == WANTED_SEGMENTS:
            return video.fetch(common), audio.fetch(common)
        assert time.monotonic() < deadline, (video, audio)
        time.sleep(0.2)


@dataclass(frozen=True)
class Listed:
    """What a media playlist names."""

    base: str
    init: str
    segments: dict[int, str]

    def fetch(self, msns: list[int]) -> bytes:
        names = (self.init, *(self.segments[msn] for msn in msns))
        answers = [requests.get(f"{self.base}/{name}", timeout=5) for name in names]
        assert all(answer.ok for answer in answers)
        return b"".join(answer.content for answer in answers)


def listed(service: str, rendition: str) -> Listed:
    base = f"{service}/live/demo/{rendition}"
    text = requests.get(f"{base}/media.m3u8", timeout=5).text
    init = re.search(r'MAP:URI="([^"]+)"', text)
    assert init is not None
    names = re.findall(r"^([0-9a-f]+-(\d+)\.m4s)$", text, re.MULTILINE)
    return Listed(base, init[1], {int(msn): name for name, msn in names})


def mouth_openings(video: bytes) -> tuple[float, Curve]:
    """Time of the first picture, and the mouth opening in each."""
    region = mouth_region(make_source(Settings(), MediaFormat(1280, 720, FPS)))
    with av.open(io.BytesIO(video), "r") as container:
        frames = list(container.decode(video=0))
    pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]
    openings = [mouth_opening(picture, region) for picture in pictures]
    assert frames[0].time is not None
    return frames[0].time, np.array(openings, float)


def loudness(audio: bytes, start: float, frames: int) -> Curve:
    """RMS of the sound heard while each picture is shown."""
    with av.open(io.BytesIO(audio), "r") as container:
        decoded = list(container.decode(audio=0))
    assert decoded[0].time is not None
    sound = np.concatenate([frame.to_ndarray().ravel() for frame in decoded])
    first = round((start - decoded[0].time) * RATE_HZ)
    padded = np.concatenate([np.zeros(max(0, -first)), sound[max(0, first) :]])
    padded = padded[: len(padded) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
    rms = np.sqrt((padded.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(axis=1))
    return np.asarray(rms[:frames], float)


def correlation(a: Curve, b: Curve, lag: int) -> float:
    """Of ``a`` with ``b`` when ``a`` comes ``lag`` frames late."""
    a, b = (a[lag:], b[: len(b) - lag]) if lag >= 0 else (a[:lag], b[-lag:])
    return float(np.corrcoef(a, b)[0, 1])


def test_the_mouth_follows_the_sound_within_one_frame(service: str) -> None:
    video, audio = whole_window(service)
    start, opening = mouth_openings(video)
    heard = loudness(audio, start, len(opening))
    opening = opening[: len(heard)]
    assert len(heard) > 200
    by_lag = {lag: correlation(opening, heard, lag) for lag in range(-5, 6)}
    best = max(by_lag, key=lambda lag: by_lag[lag])
    assert abs(best) <= 1, by_lag
    assert by_lag[0] >= 0.8, by_lag
    silent = heard < 0.002
    assert opening[silent].mean() < 0.25 * opening[~silent].mean(), "lips rest in silence"
