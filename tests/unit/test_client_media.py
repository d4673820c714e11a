"""Boxes as a judge reads them: more kinds than our own encoder writes, and damaged ones."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.media import Init, in_band_sps, read_fragments, read_init, seconds
from encoder.boxes import box, full_box
from encoder.errors import BadBox
from tests.check import media
from tests.check.faults import mvhd_duration, patched, second_track, stray, with_edit

VIDEO = media.init("vide", 90_000, width=640, height=360)
SOUND = media.init("soun", 48_000)
PICTURES = media.fragment("vide", 20, 5, 3600, 72_000, 20, 100)


def test_an_init_segment_is_understood() -> None:
    init = read_init(VIDEO)
    assert (init.kinds, init.entry, init.codecs) == (("ftyp", "moov"), "avc1", "avc1.64001f")
    assert (init.width, init.height, init.timescale_hz, init.is_video) == (640, 360, 90_000, True)
    assert init.has_mvex
    assert init.sps == (media.SPS_NAL[4:],)
    assert (init.durations, init.samples, init.edits) == ((), 0, ())
    sound = read_init(SOUND)
    assert (sound.entry, sound.codecs, sound.is_video) == ("mp4a", "mp4a.40.2", False)


def test_52_and_57_faults_of_an_init_segment_are_seen() -> None:
    assert read_init(mvhd_duration(VIDEO)).durations == ("mvhd says 5000",)
    assert read_init(with_edit(VIDEO)).edits == ("edit 0 starts at media time 1024",)
    assert len(read_init(second_track(VIDEO)).tracks) == 2
    assert not read_init(patched(b"mvex", b"free")(VIDEO)).has_mvex


def test_a_codec_that_is_not_ours_is_no_damage() -> None:
    init = read_init(patched(b"avc1", b"hvc1")(VIDEO))
    assert (init.entry, init.codecs, init.sps) == ("hvc1", "", ())


def test_fragments_are_understood() -> None:
    fragments = read_fragments(PICTURES + PICTURES, read_init(VIDEO))
    assert len(fragments.runs) == 2
    frames = fragments.runs[0].frames
    assert [frame.dts_ticks for frame in frames] == [72_000 + 3600 * n for n in range(5)]
    assert [frame.is_sync for frame in frames] == [True, False, False, False, False]
    assert seconds(frames, 90_000) == Fraction(1, 5)
    assert list(in_band_sps(frames[0].data)) == [media.SPS_NAL[4:]]
    assert fragments.stray_bytes == 0


def test_59_bytes_of_no_frame_are_counted() -> None:
    assert read_fragments(stray(PICTURES), read_init(VIDEO)).stray_bytes == 2


def test_composition_offsets_and_defaults_of_trex_are_read() -> None:
    """B-frames with negative offsets, and a tfhd that says nothing."""
    init = read_init(VIDEO)
    track = init.tracks[0]
    assert track.default_duration == 0
    rows = struct.pack(">3Ii", 3600, 4, 0, -3600) + struct.pack(">3Ii", 3600, 4, 0x10000, 7200)

    def moof(offset: int) -> bytes:
        trun = full_box("trun", 1, 0xF01, struct.pack(">Ii", 2, offset), rows)
        tfdt = full_box("tfdt", 0, 0, struct.pack(">I", 9))
        tfhd = full_box("tfhd", 0, 0x20000, struct.pack(">I", 1))
        return box("moof", full_box("mfhd", 0, 0, bytes(4)), box("traf", tfhd, tfdt, trun))

    body = moof(len(moof(0)) + 8) + box("mdat", b"aaaabbbb")
    (run,) = read_fragments(body, init).runs
    assert [frame.cts_ticks for frame in run.frames] == [-3600, 7200]
    assert [frame.data for frame in run.frames] == [b"aaaa", b"bbbb"]
    assert run.tfdt_ticks == 9


@pytest.mark.parametrize(
    "body",
    [b"", PICTURES[:-1], box("mdat", b"x"), PICTURES[: PICTURES.index(b"mdat") - 4], VIDEO],
)
def test_what_is_no_fragment_is_bad_box(body: bytes) -> None:
    with pytest.raises(BadBox):
        read_fragments(body, read_init(VIDEO))


@pytest.mark.parametrize("body", [b"", PICTURES, VIDEO[:-1], box("moov", b"")])
def test_what_is_no_init_segment_is_bad_box(body: bytes) -> None:
    with pytest.raises(BadBox):
        read_init(body)


def survives(body: bytes, init: Init) -> None:
    for read in (read_init, lambda data: read_fragments(data, init)):
        try:
            read(body)
        except BadBox:
            continue


@given(st.data())
def test_damage_is_bad_box_and_nothing_else(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([VIDEO, SOUND, PICTURES])))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    survives(bytes(body), read_init(VIDEO))
