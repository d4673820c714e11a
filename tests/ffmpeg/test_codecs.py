"""HEVC and AV1 through the whole pipeline: encoded, cut, announced, decoded, checked."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from client.check import check
from client.verdicts import Level, Outcome
from encoder.codecs import is_random_access, read_init
from tests.ffmpeg.test_check import KEPT, LEFT_OUT, failed, outcomes
from tests.ffmpeg.test_stream import (
    beeps,
    check_lip_sync,
    check_rules_27_54,
    flashes,
    running,
    samples_of,
)
from tests.service import Service

pytestmark = pytest.mark.ffmpeg

# What the small picture of a test says: Main profile, a level for its size.
SOFTWARE = {
    "hevc": ("libx265", r"hvc1\.1\.6\.L\d+(\.[0-9A-F]{1,2})*"),
    "av1": ("libsvtav1", r"av01\.0\.\d\dM\.08"),
}


@pytest.mark.parametrize("codec", SOFTWARE)
def test_a_stream_of_a_newer_codec_is_cut_and_decodes(
    codec: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name, codecs = SOFTWARE[codec]
    short = tmp_path_factory.mktemp("c")
    with running(short / "s", encoder=name, video_codec=codec) as encoder:
        assert encoder.live_after_seconds < 4
        encoder.until_media(2)
        os.kill(encoder.ffmpeg, signal.SIGKILL)  # its successor begins with an IDR
        encoder.until_media(8)
        copy = encoder.copy("v0")
        check_rules_27_54(copy, encoder.timing.video.frame_ticks)
        track, _moov = read_init(copy.init)
        assert re.fullmatch(codecs, track.codecs)
        assert f'CODECS="{track.codecs},mp4a.40.2",RESOLUTION=320x180' in index(encoder.folder)
        for msn, data in copy.segments.items():  # 55: a way in at the start
            samples = samples_of(copy, data)
            ways_in = [n for n, s in enumerate(samples) if is_random_access(track.codecs, s.data)]
            assert ways_in == [n for n, s in enumerate(samples) if s.is_sync], msn
            assert ways_in[0] == 0
        check_lip_sync(flashes(copy, encoder), beeps(encoder.copy("a0"), encoder), after=5)


def index(folder: Path) -> str:
    return (folder / "index.m3u8").read_text()


@pytest.mark.parametrize("codec", SOFTWARE)
def test_the_check_finds_nothing(codec: str, media_root: Path) -> None:
    flags = ("--video-codec", codec, "--width", "320", "--height", "180", "--video-kbit", "300")
    with Service(media_root, flags) as running_service:
        _seen, findings = check(f"{running_service.url}/live/demo/index.m3u8", 4, verify_tls=True)
    broken = failed(findings, Level.MUST)
    assert not broken, broken
    found = outcomes(findings, Level.MUST)
    assert {rule for rule in KEPT if found[rule] is not Outcome.PASSED} == set()
    assert failed(findings, Level.SHOULD).keys() <= LEFT_OUT | {26}, failed(findings, Level.SHOULD)
