"""Whatever lengths are wished for, the arithmetic keeps rules 4, 22, 23 and 25."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import PART_SECONDS
from encoder.timing import SHORTEST_PART, Timing, TrackTiming, plan

RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
SEGMENTS = 40


@st.composite
def timings(draw: st.DrawFn, *, low_latency: bool = False) -> Timing:
    """Every plan that the settings allow."""
    rate = draw(st.sampled_from(RATES))
    fps = draw(st.sampled_from([fps for fps in range(1, 61) if rate % fps == 0]))
    wishes = [p for p in PART_SECONDS.values() if p is not None or not low_latency]
    part = draw(st.sampled_from(wishes))
    segment = draw(st.one_of(st.floats(1.0, 10.0), st.sampled_from([1.0, 2.0, 4.0, 6.0, 10.0])))
    return plan(fps=fps, audio_rate_hz=rate, part_seconds=part, segment_seconds=segment)


def segment_lengths(track: TrackTiming) -> set[int]:
    """Frames in a segment: one value for pictures, one or two for sound."""
    return {b - a for a, b in pairwise(track.segment_start(n) for n in range(SEGMENTS))}


@settings(max_examples=100, deadline=None)
@given(timings(low_latency=True))
def test_rules_22_23_lengths_of_parts(timing: Timing) -> None:
    """All parts are full ones but the last of a segment, which is what is left of it."""
    for track in (timing.video, timing.audio):
        assert SHORTEST_PART * timing.part_target <= track.part_seconds <= timing.part_target
        assert min(segment_lengths(track)) >= track.part_frames


@settings(max_examples=100, deadline=None)
@given(timings())
def test_rule_4_no_segment_exceeds_the_target_duration(timing: Timing) -> None:
    assert timing.target_duration >= 1
    for track in (timing.video, timing.audio):
        for frames in segment_lengths(track):
            assert frames > 0
            # Halves round up (8216bis), not to even.
            rounded = math.floor(frames * track.frame_seconds + Fraction(1, 2))
            assert rounded <= timing.target_duration


def test_rule_4_counts_the_longest_segment_of_sound() -> None:
    """1.48 s of picture round to 1; twelve long AAC frames last 1.536 s and round to 2."""
    timing = plan(fps=25, audio_rate_hz=8_000, part_seconds=None, segment_seconds=1.48)
    assert max(segment_lengths(timing.audio)) * timing.audio.frame_seconds > Fraction(3, 2)
    assert timing.target_duration == 2


@settings(max_examples=100, deadline=None)
@given(timings())
def test_rule_25_hold_backs(timing: Timing) -> None:
    assert timing.part_hold_back >= 3 * timing.part_target
    assert timing.hold_back >= 3 * timing.target_duration
    assert timing.part_target * 1000 == int(timing.part_target * 1000)


@settings(max_examples=100, deadline=None)
@given(timings())
def test_rule_51_sound_is_cut_within_half_an_aac_frame_of_the_picture(timing: Timing) -> None:
    for index in (*range(SEGMENTS), 10**6):
        video = timing.video.segment_start(index) * timing.video.frame_seconds
        audio = timing.audio.segment_start(index) * timing.audio.frame_seconds
        assert abs(video - audio) <= timing.audio.frame_seconds / 2


@settings(max_examples=100, deadline=None)
@given(timings())
def test_frames_are_whole_ticks_and_gops_whole_parts(timing: Timing) -> None:
    assert timing.video.frame_seconds == Fraction(1, timing.fps)
    assert timing.video.timescale_hz % timing.fps == 0
    assert timing.segment_frames == timing.video.segment
    assert timing.segment_frames % timing.video.part_frames == 0
    assert timing.segment_seconds * timing.fps == timing.segment_frames


@pytest.mark.parametrize(
    ("part", "video_frames", "audio_frames", "target"),
    [(0.2, 5, 9, Fraction(200, 1000)), (0.12, 3, 5, Fraction(120, 1000))],
)
def test_the_profiles_at_25_fps(
    part: float, video_frames: int, audio_frames: int, target: Fraction
) -> None:
    timing = plan(fps=25, audio_rate_hz=48_000, part_seconds=part, segment_seconds=2.0)
    assert timing.low_latency
    assert (timing.video.part_frames, timing.audio.part_frames) == (video_frames, audio_frames)
    assert timing.part_target == target
    assert (timing.target_duration, timing.hold_back) == (2, 6)


def test_rule_23_long_aac_frames_lengthen_the_part() -> None:
    """At 8 kHz an AAC frame lasts 0.128 s: neither one nor two fit a part of 0.2 s."""
    timing = plan(fps=25, audio_rate_hz=8_000, part_seconds=0.2, segment_seconds=2.0)
    assert (timing.video.part_seconds, timing.audio.part_frames) == (Fraction(24, 100), 2)
    assert timing.part_target == Fraction(256, 1000)


def test_without_parts_a_part_is_a_whole_segment() -> None:
    timing = plan(fps=30, audio_rate_hz=48_000, part_seconds=None, segment_seconds=4.0)
    assert not timing.low_latency
    assert timing.video.part_frames == timing.segment_frames == 120


def test_44100_hz_and_odd_frame_rates_are_exact() -> None:
    timing = plan(fps=49, audio_rate_hz=44_100, part_seconds=0.2, segment_seconds=2.0)
    assert timing.video.frame_ticks * 49 == timing.video.timescale_hz
    assert timing.audio.frame_seconds == Fraction(1024, 44_100)
