"""ffmpeg's bytes become one init segment and samples on the stream's timeline."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.boxes import Sample, box, write_fragment
from encoder.codecs import Track
from encoder.errors import BadBox
from encoder.fragments import TIMESTAMP_OFFSET_SECONDS, FragmentReader, Init
from tests.unit.samples import avc1, init, moov, mp4a, picture, refusal, sound

TICKS = 3600
AUDIO_HZ = 48_000
OFFSET = TIMESTAMP_OFFSET_SECONDS * AUDIO_HZ


def shifted(sample: Sample, by: int) -> Sample:
    return Sample(sample.dts_ticks + by, sample.is_sync, sample.data)


def aac_run(count: int) -> bytes:
    """What ffmpeg writes: all times 10 s late, the first frame (priming) 1024 samples before."""
    frames = (shifted(sound(n), OFFSET - 1024) for n in range(count))
    return b"".join(write_fragment(n, [frame], 1024) for n, frame in enumerate(frames))


def test_init_then_samples() -> None:
    video_offset = TIMESTAMP_OFFSET_SECONDS * 90_000
    head = init(avc1(), 90_000)
    frames = [shifted(picture(n, 3, TICKS), video_offset) for n in range(4)]
    media = b"".join(write_fragment(n, [frame], TICKS) for n, frame in enumerate(frames))
    first, *samples = FragmentReader(base_ticks=0).feed(head + media)
    assert first == Init(head, Track("avc1.64001f", 90_000, 1280, 720))
    assert samples == [picture(n, 3, TICKS) for n in range(4)]


def test_rule_58_priming_comes_before_the_base() -> None:
    """The frame that carries the run's first PCM sample is at ``base_ticks``, exactly."""
    items = list(FragmentReader(base_ticks=7 * 1024).feed(init(mp4a(), AUDIO_HZ) + aac_run(3)))
    times = [item.dts_ticks for item in items if isinstance(item, Sample)]
    assert times == [6 * 1024, 7 * 1024, 8 * 1024]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pieces_of_any_size(data: st.DataObject) -> None:
    whole = init(mp4a(), AUDIO_HZ) + aac_run(5)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    reader = FragmentReader(base_ticks=0)
    pieces = (whole[a:b] for a, b in pairwise([0, *cuts, len(whole)]))
    found = [item for piece in pieces for item in reader.feed(piece)]
    assert found == list(FragmentReader(base_ticks=0).feed(whole))
    assert len(found) == 6


def test_boxes_without_media_are_passed_over() -> None:
    extra = box("styp", b"msdh") + box("prft", bytes(20)) + box("sidx", bytes(24)) + box("free")
    whole = init(mp4a(), AUDIO_HZ) + extra + aac_run(1) + extra + box("mfra", bytes(8))
    assert len(list(FragmentReader(base_ticks=0).feed(whole))) == 2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (box("ftyp", b"iso6") + moov(mp4a(), 48_000, edit_list=True), "'edts' .* edit list"),
        (init(mp4a(), 48_000) + box("mdat", b"x"), "'mdat' .* comes before its moof"),
        (aac_run(1), "'mdat' .* before any moov"),
        (init(mp4a(), 48_000) + aac_run(1) + box("mdat", b"x"), "'mdat' .* comes before its moof"),
        (init(mp4a(), 48_000) + box("wide"), "'wide' .* is no box of a fragmented MP4"),
        (box("moov", moov(mp4a(), 48_000)[8:-40]), "has no mvex"),  # not fragmented
    ],
)
def test_what_is_refused_rule_57(data: bytes, problem: str) -> None:
    with pytest.raises(BadBox, match=problem):
        list(FragmentReader(base_ticks=0).feed(data))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_pipe_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(init(mp4a(), AUDIO_HZ) + aac_run(2))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    error = refusal(lambda bad: list(FragmentReader(base_ticks=0).feed(bad)), bytes(whole))
    assert error is None or 0 <= error.offset <= len(whole)
