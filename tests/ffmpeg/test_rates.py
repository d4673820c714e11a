"""Rule 48 on content that is hard, that cuts, and that stands still: announced and measured."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np
import pytest

from encoder.candidate import RateControl
from encoder.candidates import CANDIDATES, video_arguments, video_filter
from encoder.ffmpeg import find_ffmpeg
from encoder.playlist_reader import read_segments
from encoder.process import END_WORD
from encoder.rates import RateMeter, Rates, Weight, boxes_rate, iframes_bound, video_bound
from encoder.timing import plan
from encoder.trial_process import run_to_end
from rawmedia import Frame, MediaFormat, Samples
from tests.ffmpeg.test_stream import Running, Source, running

pytestmark = pytest.mark.ffmpeg

SECONDS = 9
RUNGS: dict[str, Any] = {"ladder": "320x180:300,160x90:100", "segment_seconds": 1.0}
VARIANT = re.compile(r"STREAM-INF:BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+).*[\n\"](\w+)/(\w+)\.m3u8")


class Snow:
    """Pictures of pure chance.

    Args:
        height, width: of each.
    """

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        size = (height * 2, width * 2, 3)
        self._chance = np.random.default_rng(1).integers(0, 256, size, np.uint8)

    def picture(self, number: int) -> Frame:
        """Another one for each number."""
        down, across = number * 37 % self._height, number * 61 % self._width
        return self._chance[down : down + self._height, across : across + self._width]


def scene(number: int) -> int:
    """Of a picture that stands still for most of a second, and then is another each time."""
    return number if number % 25 < 8 else number // 25


class Noise(Source):
    """Every picture new in each pixel, as loud as can be."""

    def __init__(self, socket: Path, media: MediaFormat) -> None:
        self._snow = Snow(media.height, media.width)
        size = (media.samples_per_unit * 9, 1)
        self._hiss = np.random.default_rng(1).integers(-(2**15), 2**15, size, np.int16)
        super().__init__(socket, media)

    def fill(self, number: int, frame: Frame, samples: Samples) -> None:
        frame[:] = self._snow.picture(number)
        at = number % 8 * len(samples)
        samples[:] = self._hiss[at : at + len(samples)]


class Cuts(Noise):
    """Still for most of a second, then another scene in every picture."""

    def fill(self, number: int, frame: Frame, samples: Samples) -> None:
        super().fill(scene(number), frame, samples)


class Still(Source):
    """One flat picture and silence."""

    def fill(self, number: int, frame: Frame, samples: Samples) -> None:
        frame[:] = 96
        samples[:] = 0


def announced(encoder: Running) -> dict[str, tuple[int, int]]:
    """BANDWIDTH and AVERAGE-BANDWIDTH by playlist: v0/media, v0/iframes, ..."""
    text = (encoder.folder / "index.m3u8").read_text()
    return {f"{r}/{n}": (int(p), int(a)) for p, a, r, n in VARIANT.findall(text)}


def weighed(encoder: Running, rendition: str) -> tuple[float, float]:
    """Peak and average of all listed segments; each but the last is as long as the others."""
    _, segments = read_segments(encoder.playlist(rendition))
    whole = [s for s in segments if s.uri and s.duration > Fraction(1, 2)]
    bits = [8 * (encoder.folder / rendition / s.uri).stat().st_size for s in whole]
    rates = [b / float(s.duration) for b, s in zip(bits, whole, strict=True)]
    return max(rates), sum(bits) / float(sum(s.duration for s in whole))


def key_frames(encoder: Running, rendition: str) -> tuple[float, float]:
    text = (encoder.folder / rendition / "iframes.m3u8").read_text()
    found = re.findall(r"#EXTINF:([\d.]+),\n#EXT-X-BYTERANGE:(\d+)@0", text)
    whole = [(8 * int(length), float(seconds)) for seconds, length in found if seconds > "0.5"]
    total = sum(bits for bits, _ in whole) / sum(seconds for _, seconds in whole)
    return max(bits / seconds for bits, seconds in whole), total


def measured(encoder: Running) -> dict[str, tuple[float, float]]:
    besides = [
        sum(pair) for pair in zip(weighed(encoder, "a0"), weighed(encoder, "s0"), strict=True)
    ]
    found = {}
    for name in ("v0", "v1"):
        peak, average = weighed(encoder, name)
        found[f"{name}/media"] = (peak + besides[0], average + besides[1])
        found[f"{name}/iframes"] = key_frames(encoder, name)
    return found


def check_rule_48(told: dict[str, tuple[int, int]], found: dict[str, tuple[float, float]]) -> None:
    assert told.keys() == found.keys() == {f"{v}/{n}" for v in ("v0", "v1") for n in NAMES}
    for name, (peak, average) in found.items():
        assert peak < 1.25 * told[name][0], (name, told, found)
        assert average < 1.1 * told[name][1], (name, told, found)


NAMES = ("media", "iframes")


def test_48_holds_on_any_content_and_the_end_tells_the_truth(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    short = tmp_path_factory.mktemp("r")
    with ExitStack() as stack:
        encoders = {
            source.__name__: stack.enter_context(running(short / source.__name__, source, **RUNGS))
            for source in (Noise, Cuts, Still)
        }
        first = {name: announced(encoder) for name, encoder in encoders.items()}
        for name, encoder in encoders.items():
            encoder.until_media(SECONDS)
            found = measured(encoder)
            check_rule_48(announced(encoder), found)
            check_rule_48(first[name], found)  # what a player knows that came first
        assert measured(encoders["Noise"])["v0/media"][1] > 0.8 * 300_000, "it was hard"
        assert measured(encoders["Still"])["v0/media"][1] < 0.2 * 300_000, "it was not"
        for encoder in encoders.values():
            encoder.tell(END_WORD)
        for encoder in encoders.values():
            encoder.until(partial(has_ended, encoder))
            check_end(encoder)


def has_ended(encoder: Running) -> bool:
    return bool(encoder.figures()["state"] == "ended")


def check_end(encoder: Running) -> None:
    """Nothing more will come: the playlist says what was weighed, and so do the figures."""
    told, figures = announced(encoder), encoder.figures()
    # What plays together: picture, sound, and captions that somebody may have switched on.
    besides = rates(encoder, "a0") + rates(encoder, "s0")
    for name in ("v0", "v1"):
        whole = rates(encoder, name) + besides
        assert told[f"{name}/media"] == near(whole)
    for row in (*figures["renditions"], figures["sound"]):
        found = rates(encoder, row["name"])
        assert (row["peak_bit_s"], row["average_bit_s"]) == near(found)


def near(rates: Rates) -> Any:
    """EXTINF has five decimals."""
    return pytest.approx((rates.peak, rates.average), abs=3)


def rates(encoder: Running, rendition: str) -> Rates:
    """Of what is listed, by its files."""
    _, segments = read_segments(encoder.playlist(rendition))
    folder = encoder.folder / rendition
    meter = RateMeter(encoder.timing.target_duration, len(segments))
    for entry in segments:
        meter.add(Weight(8 * (folder / entry.uri).stat().st_size, entry.duration))
    return meter.window


# --- HEVC and AV1 --------------------------------------------------------------------------------

TIMING = plan(fps=25, audio_rate_hz=48_000, part_seconds=0.2, segment_seconds=2.0)
ENCODE_SECONDS = 150.0


@dataclass(frozen=True)
class Hard:
    """So much of a content that is hard, for an encoder: as fast as it can, by no clock."""

    encoder: str
    shown: Callable[[int], int]  # which picture is the n-th
    size: tuple[int, int] = (320, 180)
    kbit: int = 300
    segments: int = 7

    def __str__(self) -> str:
        return f"{self.encoder}-{self.shown.__name__}-{self.size[1]}"

    def pictures(self) -> Iterator[memoryview]:
        width, height = self.size
        snow = Snow(height, width)
        for number in range(1, self.segments * TIMING.segment_frames + 1):
            yield np.ascontiguousarray(snow.picture(self.shown(number))).data.cast("B")

    def frames(self) -> list[tuple[bool, int]]:
        """Of each that comes out: whether it is a key frame, and its bits."""
        (candidate,) = (each for each in CANDIDATES if each.name == self.encoder)
        rate = RateControl.constant(self.kbit)
        options = video_arguments(candidate, rate, TIMING.segment_frames, TIMING.fps)
        size = {"video_size": self.size, "framerate": TIMING.fps}
        source = ffmpeg.input("pipe:", format="rawvideo", pixel_format="bgr24", **size)
        movflags = "frag_keyframe+empty_moov"
        into = {"format": "mp4", "movflags": movflags, "fps_mode": "passthrough"}
        output = ffmpeg.output(source, "pipe:", vf=video_filter(candidate), **options, **into)
        argv = [find_ffmpeg("").path, "-loglevel", "error", *ffmpeg.get_args(output)]
        deadline = time.monotonic() + ENCODE_SECONDS
        done = run_to_end(argv, self.pictures(), deadline, threading.Event())
        assert done.returncode == 0, done.stderr
        with av.open(io.BytesIO(done.stdout), "r") as made:
            packets = [packet for packet in made.demux(video=0) if packet.size]
        return [(packet.is_keyframe, 8 * packet.size) for packet in packets]


def noise(number: int) -> int:
    """Another picture each time."""
    return number


HARD = [Hard(name, shown) for name in ("libx265", "libsvtav1") for shown in (noise, scene)]
# Where a buffer that is nearly full at first made key frames larger than it is.
HARD += [Hard("libsvtav1", noise, (1280, 720), 2000, segments=3)]


@pytest.mark.parametrize("hard", HARD, ids=str)
def test_48_newer_codecs_hold_what_is_announced_of_them(hard: Hard) -> None:
    frames = hard.frames()
    gop, seconds = TIMING.segment_frames, float(TIMING.segment_seconds)
    assert len(frames) == hard.segments * gop
    assert [at for at, (is_key, _) in enumerate(frames) if is_key] == [*range(0, len(frames), gop)]
    boxes = boxes_rate(TIMING.video, is_video=True)
    segments = [sum(bits for _, bits in frames[at : at + gop]) for at in range(0, len(frames), gop)]
    rates = [bits / seconds + boxes for bits in segments]
    check_bound(rates, video_bound(hard.kbit, TIMING))
    assert sum(rates) / len(rates) > 0.8 * 1000 * hard.kbit, "it was hard"
    keys = [bits / seconds for is_key, bits in frames if is_key]
    check_bound(keys, iframes_bound(hard.kbit, TIMING))


def check_bound(rates: list[float], bound: Rates) -> None:
    assert max(rates) < 1.25 * bound.peak, (rates, bound)
    assert sum(rates) / len(rates) < 1.1 * bound.average, (rates, bound)
