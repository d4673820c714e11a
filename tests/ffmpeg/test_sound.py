"""Opus through the whole pipeline: whole packets, and beeps where the flashes are (58, 59)."""

from __future__ import annotations

import os
import signal
from fractions import Fraction
from pathlib import Path

import pytest

from client.check import check
from client.verdicts import Level, Outcome
from encoder.codecs import read_init
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

FRAME_SAMPLES = 960
# A beep begins with a sine's zero: a sample or two until it counts as loud. Opus smears it by less
# than its 2.5 ms of overlap.
EXACT_SECONDS = 0.003


def test_opus_is_cut_in_whole_packets_and_in_step_with_the_picture(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    short = tmp_path_factory.mktemp("o")
    with running(short / "s", audio_codec="opus", audio_channels=2) as encoder:
        assert encoder.timing.part_target == Fraction(1, 5)
        assert encoder.timing.audio.part_frames == 10
        encoder.until_media(4)
        killed_at = encoder.figures()["media_seconds"]
        os.kill(encoder.ffmpeg, signal.SIGKILL)
        encoder.until_media(12)
        sound = encoder.copy("a0")
        check_rules_27_54(sound, FRAME_SAMPLES)
        track, _moov = read_init(sound.init)
        assert (track.codecs, track.timescale_hz) == ("opus", 48_000)
        assert ',opus",RESOLUTION' in (encoder.folder / "index.m3u8").read_text()
        for part in sound.parts.values():
            assert len(samples_of(sound, part)) == 10
        seen, heard = flashes(encoder.copy("v0"), encoder), beeps(sound, encoder)
        check_lip_sync(seen, heard, after=7)
        end = min(seen[-1], heard[-1]) + 0.1  # one rendition can be a segment ahead
        steady = [at for at in heard if abs(at - killed_at) > 1.5 and at < end]
        assert len(steady) >= 4
        assert all(min(abs(at - flash) for flash in seen) < EXACT_SECONDS for at in steady), heard


def test_the_check_finds_nothing(media_root: Path) -> None:
    with Service(
        media_root, ("--audio-codec", "opus", "--ladder", "640x360:300,320x180:100")
    ) as run:
        _seen, findings = check(f"{run.url}/live/demo/index.m3u8", 4, verify_tls=True)
    broken = failed(findings, Level.MUST)
    assert not broken, broken
    found = outcomes(findings, Level.MUST)
    assert {r for r in KEPT - {59} if found[r] is not Outcome.PASSED} == set()  # 59 is of AAC
    assert failed(findings, Level.SHOULD).keys() <= LEFT_OUT | {26}
