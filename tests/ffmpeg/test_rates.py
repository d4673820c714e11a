"""Rule 48 on content that is hard, that cuts, and that stands still: announced and measured."""

from __future__ import annotations

import re
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoder.playlist_reader import read_segments
from encoder.process import END_WORD
from encoder.rates import RateMeter, Rates, Weight
from rawmedia import Frame, MediaFormat, Samples
from tests.ffmpeg.test_stream import Running, Source, running

pytestmark = pytest.mark.ffmpeg

SECONDS = 9
RUNGS: dict[str, Any] = {"ladder": "320x180:300,160x90:100", "segment_seconds": 1.0}
VARIANT = re.compile(r"STREAM-INF:BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+).*[\n\"](\w+)/(\w+)\.m3u8")


class Noise(Source):
    """Every picture new in each pixel, as loud as can be."""

    def __init__(self, socket: Path, media: MediaFormat) -> None:
        random = np.random.default_rng(1)
        size = (media.height * 2, media.width * 2, 3)
        self._noise = random.integers(0, 256, size, np.uint8)
        self._hiss = random.integers(-(2**15), 2**15, (media.samples_per_unit * 9, 1), np.int16)
        super().__init__(socket, media)

    def fill(self, number: int, frame: Frame, samples: Samples) -> None:
        height, width, _ = frame.shape
        down, across = number * 37 % height, number * 61 % width
        frame[:] = self._noise[down : down + height, across : across + width]
        at = number % 8 * len(samples)
        samples[:] = self._hiss[at : at + len(samples)]


class Cuts(Noise):
    """Still for most of a second, then another scene in every picture."""

    def fill(self, number: int, frame: Frame, samples: Samples) -> None:
        super().fill(number if number % 25 < 8 else number // 25, frame, samples)


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
