"""Samples are cut at the right ordinals, and nothing that breaks a MUST comes out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import count

import pytest

from encoder.boxes import Sample, SampleDefaults, read_fragment
from encoder.errors import StreamBroken
from encoder.iframes import IDR_HEAD_BYTES, first_fragment_bytes
from encoder.segmenter import Part, Segment, Segmenter
from encoder.timing import plan
from tests.unit.samples import SEI, SLICE, boxes, nal, picture, pictures, sound

TIMING = plan(fps=25, audio_rate_hz=48_000, part_seconds=0.2, segment_seconds=2.0)
TICKS, GOP = TIMING.video.frame_ticks, TIMING.segment_frames


def video_segmenter(first_msn: int = 1) -> Segmenter:
    return Segmenter(TIMING.video, first_msn, is_video=True)


def audio_segmenter() -> Segmenter:
    return Segmenter(TIMING.audio, 1, is_video=False)


def cut(segmenter: Segmenter, samples: list[Sample]) -> list[Part | Segment]:
    return [item for sample in samples for item in segmenter.add(sample)]


def samples_in(data: bytes) -> list[Sample]:
    found = boxes(data)
    pairs = zip(found[::2], found[1::2], strict=True)
    return [s for moof, mdat in pairs for s in read_fragment(moof, mdat, SampleDefaults(0, 0, 0))]


def test_ten_parts_of_five_pictures_make_a_segment() -> None:
    items = cut(video_segmenter(first_msn=7), list(pictures(2 * GOP, GOP, TICKS)))
    names = [(i.msn, i.index) if isinstance(i, Part) else (i.msn, "whole") for i in items]
    assert names == [(msn, name) for msn in (7, 8) for name in (*range(10), "whole")]
    assert {i.frames for i in items if isinstance(i, Part)} == {5}
    assert [i.duration for i in items if isinstance(i, Segment)] == [2, 2]
    assert [i.start_ticks for i in items if isinstance(i, Segment)] == [0, GOP * TICKS]


def test_sound_is_cut_at_the_nearest_aac_frame() -> None:
    """93.75 AAC frames are 2 s: segments of 94, 94, 93, 94, with the last part short."""
    items = cut(audio_segmenter(), [sound(n) for n in range(375)])
    segments = [i for i in items if isinstance(i, Segment)]
    assert [s.duration * 48_000 / 1024 for s in segments] == [94, 94, 93, 94]
    assert [i.frames for i in items if isinstance(i, Part) and i.msn == 3] == [9] * 10 + [3]
    assert sum(s.duration for s in segments) == 8


def test_rule_27_a_segment_is_its_parts_and_rule_5_nothing_is_lost() -> None:
    given = list(pictures(3 * GOP, GOP, TICKS))
    items = cut(video_segmenter(), given)
    for segment in (i for i in items if isinstance(i, Segment)):
        parts = [i for i in items if isinstance(i, Part) and i.msn == segment.msn]
        assert segment.data == b"".join(part.data for part in parts)
        assert segment.duration == sum(part.duration for part in parts)
        assert segment.start_ticks == parts[0].start_ticks
    assert samples_in(b"".join(i.data for i in items if isinstance(i, Segment))) == given


def test_rule_28_independent_is_said_of_parts_that_start_with_an_idr() -> None:
    video = cut(video_segmenter(), list(pictures(GOP, GOP, TICKS)))
    assert [i.independent for i in video if isinstance(i, Part)] == [True] + [False] * 9
    audio = cut(audio_segmenter(), [sound(n) for n in range(94)])
    assert {i.independent for i in audio if isinstance(i, Part)} == {True}


def test_rule_28_an_idr_inside_a_part_does_not_make_it_independent() -> None:
    """A replaced encoder begins with an IDR wherever it is."""
    frames = list(pictures(10, GOP, TICKS))
    frames[7] = replace(frames[7], is_sync=True)
    parts = [i for i in cut(video_segmenter(), frames) if isinstance(i, Part)]
    assert [part.independent for part in parts] == [True, False]


@pytest.mark.parametrize("off_by", [TICKS, 1, -1, -TICKS])
def test_rule_54_a_gap_or_an_overlap_is_refused(off_by: int) -> None:
    segmenter = video_segmenter()
    cut(segmenter, list(pictures(3, GOP, TICKS)))
    late = replace(picture(3, GOP, TICKS), dts_ticks=3 * TICKS + off_by)
    words = f"frame at {3 * TICKS + off_by} ticks, expected 10800"
    with pytest.raises(StreamBroken, match=words) as refused:
        cut(segmenter, [late])
    assert refused.value.rule == 54
    assert segmenter.next_frame == 3  # it was not taken: the right one still can be
    cut(segmenter, [picture(3, GOP, TICKS)])


NOT_FLAGGED = replace(picture(0, GOP, TICKS), is_sync=False)
NO_IDR = replace(picture(0, GOP, TICKS), data=nal(SEI) + nal(SLICE))


@pytest.mark.parametrize("wrong", [NOT_FLAGGED, NO_IDR], ids=["no sync flag", "no IDR"])
@pytest.mark.parametrize("at", [0, GOP])
def test_rule_55_a_segment_starts_with_an_idr(wrong: Sample, at: int) -> None:
    segmenter = video_segmenter()
    cut(segmenter, list(pictures(at, GOP, TICKS)))
    with pytest.raises(StreamBroken, match="does not start with an IDR") as refused:
        cut(segmenter, [replace(wrong, dts_ticks=at * TICKS)])
    assert refused.value.rule == 55


def test_50_the_idr_of_a_segment_is_a_fragment_of_its_own() -> None:
    items = cut(video_segmenter(), list(pictures(2 * GOP, GOP, TICKS)))
    for segment in (i for i in items if isinstance(i, Segment)):
        length = first_fragment_bytes(segment.data[:IDR_HEAD_BYTES], len(segment.data))
        (alone,) = samples_in(segment.data[:length])
        assert alone.is_sync
        assert alone.dts_ticks == segment.start_ticks
    sounds = cut(audio_segmenter(), [sound(n) for n in range(9)])
    assert [len(boxes(i.data)) for i in sounds] == [2]


def test_flush_gives_a_last_short_part_and_segment() -> None:
    segmenter = video_segmenter()
    whole = [i for i in cut(segmenter, list(pictures(7, GOP, TICKS))) if isinstance(i, Part)]
    part, segment = segmenter.flush()
    assert isinstance(part, Part)
    assert isinstance(segment, Segment)
    assert (part.index, part.frames, segment.duration) == (1, 2, Fraction(7, 25))
    assert segment.data == whole[0].data + part.data
    assert segmenter.at_segment_start


def test_flush_at_a_boundary_gives_nothing_more() -> None:
    segmenter = video_segmenter()
    assert list(segmenter.flush()) == []
    cut(segmenter, list(pictures(GOP, GOP, TICKS)))
    assert list(segmenter.flush()) == []
    cut(segmenter, [picture(n, GOP, TICKS) for n in range(GOP, GOP + 5)])
    assert [type(item) for item in segmenter.flush()] == [Segment]  # its one part was given


def test_sequence_numbers_rise_by_one_over_the_whole_track() -> None:
    items = cut(video_segmenter(), list(pictures(3 * GOP, GOP, TICKS)))
    chunks = [b for i in items if isinstance(i, Part) for b in boxes(i.data) if b.kind == "moof"]
    numbers = [chunk.payload[12:16] for chunk in chunks]
    assert len(numbers) == 3 * 11
    expected = count(1)
    assert all(int.from_bytes(number, "big") == next(expected) for number in numbers)
