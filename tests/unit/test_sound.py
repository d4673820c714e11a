"""Codecs of the sound: packets begin where the timeline has whole frames (59)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from config import Settings
from encoder.errors import ImpossibleFormat
from encoder.plan import plan_stream
from encoder.sound import AAC, OPUS, SoundCodec


@pytest.mark.parametrize("codec", [AAC, OPUS, replace(OPUS, priming_samples=120)])
def test_the_first_packet_of_a_run_lies_a_whole_number_of_frames_before_its_sound(
    codec: SoundCodec,
) -> None:
    first = -codec.priming_samples - codec.delay_samples
    assert first % codec.frame_samples == 0
    assert -2 * codec.frame_samples < first <= 0


def test_a_part_of_200_ms_is_ten_packets_of_opus() -> None:
    timing = plan_stream(Settings(audio_codec="opus")).timing
    assert (timing.audio.part_frames, timing.audio.frame_ticks) == (10, 960)
    assert timing.part_target == timing.audio.part_seconds == Fraction(1, 5)
    assert timing.audio.segment_start(1) == 100


def test_opus_has_one_clock() -> None:
    with pytest.raises(ImpossibleFormat, match=r"audio_rate_hz 44100 with .* opus: .* to 48000"):
        plan_stream(Settings(audio_codec="opus", audio_rate_hz=44_100))


@pytest.mark.parametrize(
    ("other", "wanted"), [({"video_codec": "hevc"}, "h264"), ({"audio_codec": "opus"}, "aac")]
)
def test_mpeg_ts_is_of_h264_and_aac(other: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ImpossibleFormat, match=f"mpegts with .*set .* to {wanted}"):
        plan_stream(Settings(mpegts=True, **other))
