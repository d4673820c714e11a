"""Bit rates as the multivariant playlist announces them: weighed, bounded, raised (48)."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from encoder.boxes import Sample
from encoder.rates import (
    KEPT,
    NO_RATES,
    RateMeter,
    Rates,
    Weight,
    audio_bound,
    boxes_rate,
    iframes_bound,
    video_bound,
)
from encoder.segmenter import Segment, Segmenter
from encoder.sound import AAC, OPUS
from encoder.timing import TrackTiming, plan
from tests.unit.samples import picture, sound

LOW = plan(fps=25, audio_rate_hz=48_000, part_seconds=0.2, segment_seconds=2.0)
PLAIN = plan(fps=25, audio_rate_hz=48_000, part_seconds=None, segment_seconds=2.0)


def weights(*kbits: int, seconds: Fraction = Fraction(2)) -> list[Weight]:
    return [Weight(1000 * kbit, seconds) for kbit in kbits]


def weighed(every: list[Weight], target_duration: int) -> Rates:
    meter = RateMeter(target_duration, len(every))
    for weight in every:
        meter.add(weight)
    return meter.window


def test_a_peak_is_that_of_the_heaviest_segment() -> None:
    assert weighed(weights(200, 900, 400), 2) == Rates(450_000, 250_000)


def test_segments_far_below_the_target_duration_count_together() -> None:
    """§1: a run of 0.5 to 1.5 target durations. One of 0.5 s under a target of 2 s is none."""
    short = weights(100, 900, 100, 100, seconds=Fraction(1, 2))
    assert weighed(short, 2).peak == 1_000_000


def test_a_stream_shorter_than_any_run_is_its_own_peak() -> None:
    assert weighed(weights(100, seconds=Fraction(1, 2)), 2) == Rates(200_000, 200_000)
    assert weighed([], 2) == NO_RATES


@given(st.lists(st.integers(1, 10**6), min_size=1), st.integers(1, 5))
def test_a_peak_is_never_below_the_average_of_equal_segments(bits: list[int], td: int) -> None:
    every = [Weight(b, Fraction(td)) for b in bits]
    found = weighed(every, td)
    assert found.average <= found.peak == -(-max(bits) // td)


def test_a_meter_forgets_what_left_the_window_but_not_the_worst() -> None:
    meter = RateMeter(2, 6)
    for weight in weights(1200, *[300] * 9):
        meter.add(weight)
    assert meter.window == Rates(150_000, 150_000)
    assert meter.worst == Rates(600_000, 225_000)


def test_one_heavy_key_frame_at_the_start_is_no_average() -> None:
    meter = RateMeter(2, 7)
    for weight in weights(1200, 1200, 300):
        meter.add(weight)
    assert meter.worst == Rates(600_000, 0)


def test_a_promise_stands_until_it_is_broken_by_more_than_a_little() -> None:
    promise = Rates(1000, 800)
    assert promise.raised_to(NO_RATES) == promise
    assert promise.raised_to(Rates(1050, 840)) == promise
    assert promise.raised_to(Rates(1051, 840)) == Rates(1157, 800)
    assert promise.raised_to(Rates(2000, 1600)) == Rates(2200, 1760)


@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**9)))
def test_48_what_is_announced_is_never_exceeded_by_more_than_it_may(
    first: int, measured: list[int]
) -> None:
    promise = Rates(first, first)
    for rate in measured:
        promise = promise.raised_to(Rates(rate, rate))
        assert rate <= promise.average * KEPT < promise.average * Fraction(11, 10)


def cut(timing: TrackTiming, samples: list[Sample], *, is_video: bool) -> list[Segment]:
    segmenter = Segmenter(timing, 1, is_video=is_video)
    items = [item for sample in samples for item in segmenter.add(sample)]
    return [item for item in items if isinstance(item, Segment)]


def test_boxes_weigh_what_the_segmenter_writes() -> None:
    for timing in (LOW, PLAIN):
        frames = [picture(n, 50, timing.video.frame_ticks) for n in range(50)]
        sounds = [sound(n) for n in range(94)]
        for track, samples, is_video in (
            (timing.video, frames, True),
            (timing.audio, sounds, False),
        ):
            (segment,) = cut(track, samples, is_video=is_video)
            boxes = len(segment.data) - sum(len(sample.data) for sample in samples)
            told = boxes_rate(track, is_video=is_video)
            assert 0 <= told - 8 * boxes / segment.duration < 1


def test_bounds_are_the_rate_control_and_the_boxes() -> None:
    boxes = boxes_rate(LOW.video, is_video=True)
    assert video_bound(700, LOW) == Rates(840_000 + boxes, 700_000 + boxes)
    assert 140_000 < iframes_bound(700, LOW).peak < 141_000
    heard = boxes_rate(LOW.audio, is_video=False)
    assert audio_bound(AAC, 64, LOW) == Rates(89_600 + heard, 68_267 + heard)
    assert audio_bound(OPUS, 64, LOW) == Rates(64_000 + heard, 64_000 + heard)
