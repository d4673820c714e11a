"""Several bit rates from one encoder: the same pictures at the same instants in each (51)."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
import requests

from encoder.boxes import Box, BoxStream, read_fragment, read_sample_defaults
from encoder.codecs import is_idr, read_init
from encoder.playlist_reader import read_segments
from tests.patience import until
from tests.service import Service

pytestmark = pytest.mark.ffmpeg


class Rendition:
    """One media playlist and its media."""

    def __init__(self, service: str, name: str) -> None:
        self.base = f"{service}/live/demo/{name}"
        self.text = requests.get(f"{self.base}/media.m3u8", timeout=5).text

    def segments(self) -> dict[int, str]:
        found = re.findall(r"^([0-9a-f]+-(\d+)\.m4s)$", self.text, re.MULTILINE)
        return {int(msn): uri for uri, msn in found}

    def walls(self) -> dict[int, int]:
        """The date of each segment."""
        return {entry.msn: entry.wall_ms for entry in read_segments(self.text)[1]}

    def get(self, uri: str) -> bytes:
        answer = requests.get(f"{self.base}/{uri}", timeout=5)
        answer.raise_for_status()
        return answer.content

    def samples(self, uri: str) -> list[tuple[int, bool]]:
        """(time in ticks, is IDR) of each picture of a segment."""
        init = re.search(r'MAP:URI="([^"]+)"', self.text)
        assert init is not None
        defaults = read_sample_defaults(read_init(self.get(init[1]))[1])
        boxes: list[Box] = list(BoxStream().feed(self.get(uri)))
        return [
            (sample.dts_ticks, is_idr(sample.data))
            for moof, mdat in zip(boxes[::2], boxes[1::2], strict=True)
            for sample in read_fragment(moof, mdat, defaults)
        ]


def test_50_the_default_ladder_has_two_bit_rates(service: str) -> None:
    index = requests.get(f"{service}/live/demo/index.m3u8", timeout=5).text
    variants = re.findall(r"BANDWIDTH=(\d+),AVER.*RESOLUTION=(\w+),FRAME", index)
    assert [size for _, size in variants] == ["1280x720", "640x360"]
    assert int(variants[1][0]) < 450_000, "a phone on a mobile network"


def test_51_both_rungs_show_the_same_pictures_at_the_same_times(service: str) -> None:
    best, small = Rendition(service, "v0"), Rendition(service, "v1")
    common = sorted(best.segments().keys() & small.segments().keys())
    assert common
    for msn in common[-3:]:
        pictures = best.samples(best.segments()[msn])
        assert pictures == small.samples(small.segments()[msn])
        assert [idr for _, idr in pictures] == [True] + [False] * 49
    assert [best.walls()[msn] for msn in common] == [small.walls()[msn] for msn in common]


def test_48_no_segment_exceeds_what_the_playlist_announces(service: str) -> None:
    index = requests.get(f"{service}/live/demo/index.m3u8", timeout=5).text
    bandwidths = [int(b) for b in re.findall(r"X-STREAM-INF:BANDWIDTH=(\d+)", index)]
    sound = Rendition(service, "a0")
    heard = max(len(sound.get(uri)) for uri in sound.segments().values())
    for name, bandwidth in zip(("v0", "v1"), bandwidths, strict=True):
        seen = Rendition(service, name)
        largest = max(len(seen.get(uri)) for uri in seen.segments().values())
        assert (largest + heard) * 8 / 2 < 1.25 * bandwidth


def test_55_both_rungs_resume_with_an_idr_after_a_crash(media_root: Path) -> None:
    """The rungs need not have published the same number of frames when ffmpeg dies."""
    with Service(media_root) as running:
        for _ in range(3):
            _kill_encoder(running)
        last = max(Rendition(running.url, "v0").segments())
        for name in ("v0", "v1"):
            requests.get(
                f"{running.url}/live/demo/{name}/media.m3u8?_HLS_msn={last + 1}", timeout=10
            )
            rendition = Rendition(running.url, name)
            times = [t for uri in rendition.segments().values() for t, _ in rendition.samples(uri)]
            assert times == list(range(times[0], times[0] + 3600 * len(times), 3600))
            for uri in rendition.segments().values():
                assert rendition.samples(uri)[0][1]


def _kill_encoder(service: Service) -> None:
    """And wait for media: one that is killed before it gave any is replaced by another encoder.

    In the folder: what is served may be a second old, and change though nothing new has come.
    """
    restarts = _restarts(service.url)
    os.kill(service.find("rawvideo"), signal.SIGKILL)
    until("a restart", lambda: _restarts(service.url) > restarts)
    playlist = service.media_root / "live/demo/v0/media.m3u8"
    before = playlist.read_text("utf-8")
    until("media of the new run", lambda: playlist.read_text("utf-8") != before)


def _restarts(url: str) -> int:
    figures = requests.get(f"{url}/api/streams/demo", timeout=5).json()
    return int(figures["encoder_restarts"])
