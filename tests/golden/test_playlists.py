"""Whole playlists, word for word, at the moments of a stream's life that differ.

After a wanted change: ``python -m tests.golden.test_playlists`` rewrites the files; read the diff.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.playlist import (
    TS_VERSION,
    VTT_VERSION,
    AudioMedia,
    MediaPlaylist,
    PartEntry,
    RenditionReport,
    SegmentEntry,
    ServerControl,
    SubtitleMedia,
    Variant,
    render_iframes_playlist,
    render_media_playlist,
    render_multivariant,
    render_ts_multivariant,
)

FOLDER = Path(__file__).parent / "playlists"
START_MS = 1_782_907_200_123  # 2026-07-01T12:00:00.123Z
PART, AAC_PART = Fraction(1, 5), Fraction(9 * 1024, 48_000)
LOW = ServerControl(2, 6, Fraction(1, 5), Fraction(3, 5))
PLAIN = ServerControl(2, 6, None, None)
OTHER = RenditionReport("../a0/media.m3u8", 9, 3)


def segment(msn: int, *, parts: int = 10, discontinuity: bool = False) -> SegmentEntry:
    """A complete video segment of ten parts of 0.2 s."""
    return SegmentEntry(
        msn=msn,
        uri=f"r-{msn}.m4s",
        duration=Fraction(2),
        map_uri="r-init.mp4",
        wall_ms=START_MS + 2000 * msn,
        discontinuity=discontinuity,
        parts=tuple(PartEntry(f"r-{msn}.{n}.m4s", PART, n == 0) for n in range(parts)),
    )


def in_progress(entry: SegmentEntry) -> SegmentEntry:
    return replace(entry, uri="", duration=Fraction())


def low_latency(first: int, last: int, parts: int) -> MediaPlaylist:
    """Segments ``first`` to ``last``, and so many parts of the next."""
    return MediaPlaylist(
        control=LOW,
        segments=tuple(segment(msn) for msn in range(first, last + 1)),
        current=in_progress(segment(last + 1, parts=parts)) if parts else None,
        hint_uri=f"r-{last + 1}.{parts}.m4s",
        reports=(OTHER,),
    )


def sound() -> MediaPlaylist:
    """AAC: 94 or 93 frames a segment, parts of 9 frames, a short last part."""

    def entry(msn: int, frames: int, start_ms: int) -> SegmentEntry:
        full, rest = divmod(frames, 9)
        lengths = [AAC_PART] * full + [Fraction(rest * 1024, 48_000)] * bool(rest)
        parts = (PartEntry(f"r-{msn}.{n}.m4s", d, True) for n, d in enumerate(lengths))
        length = Fraction(frames * 1024, 48_000)
        return SegmentEntry(
            msn, f"r-{msn}.m4s", length, "r-init.mp4", START_MS + start_ms, parts=tuple(parts)
        )

    return MediaPlaylist(
        control=LOW,
        segments=(entry(1, 94, 0), entry(2, 94, 2005), entry(3, 93, 4011)),
        current=in_progress(entry(4, 18, 5995)),
        hint_uri="r-4.2.m4s",
        reports=(RenditionReport("../v0/media.m3u8", 4, 1),),
    )


def plain() -> MediaPlaylist:
    """The profile `normal`: no parts anywhere."""
    return MediaPlaylist(PLAIN, tuple(segment(msn, parts=0) for msn in range(3, 10)))


def with_discontinuity() -> MediaPlaylist:
    """The clock was set right at segment 8, where six seconds are missing."""
    base = low_latency(4, 9, 2)
    later = [
        replace(s, wall_ms=s.wall_ms + 6000, discontinuity=s.msn == 8) if s.msn >= 8 else s
        for s in (*base.segments, base.current)
        if s is not None
    ]
    return replace(base, segments=tuple(later[:-1]), current=later[-1])


SAMPLES = {
    "start": low_latency(1, 1, 0),
    "first_segment_in_progress": low_latency(1, 0, 3),
    "steady_video": low_latency(4, 9, 2),
    "steady_audio": sound(),
    "plain": plain(),
    "discontinuity": with_discontinuity(),
    "discontinuity_slid_out": replace(low_latency(9, 14, 1), discontinuity_sequence=1),
    "ended": replace(low_latency(4, 9, 0), ended=True),
}

OFFERED = (
    AudioMedia("a0/media.m3u8", "mp4a.40.2", 1),
    (Variant("v0/media.m3u8", "avc1.64001f", 1280, 720, 25, 955_600, 808_600),),
    (Variant("v0/iframes.m3u8", "avc1.64001f", 1280, 720, 25, 140_500, 140_500),),
)
MULTIVARIANT = render_multivariant(*OFFERED)
CAPTIONED = render_multivariant(*OFFERED, SubtitleMedia("s0/media.m3u8", "de"))


TRANSPORT = render_ts_multivariant(
    (Variant("t0/media.m3u8", "avc1.64001f,mp4a.40.2", 1280, 720, 25, 1_005_215, 859_556),)
)


def transport() -> MediaPlaylist:
    """MPEG-TS: version 3, no EXT-X-MAP."""
    segments = tuple(replace(s, uri=f"r-{s.msn}.ts", map_uri="") for s in plain().segments)
    return MediaPlaylist(PLAIN, segments, version=TS_VERSION)


def captions() -> MediaPlaylist:
    """WebVTT: version 3, no EXT-X-MAP, every part by itself."""
    host = low_latency(7, 8, 2)
    assert host.current
    every = (_as_text(each) for each in (*host.segments, host.current))
    *segments, current = every
    return replace(
        host,
        segments=tuple(segments),
        current=current,
        hint_uri="r-9.2.vtt",
        version=VTT_VERSION,
        reports=(OTHER,),
    )


def _as_text(segment: SegmentEntry) -> SegmentEntry:
    parts = tuple(
        replace(part, uri=part.uri.replace(".m4s", ".vtt"), independent=True)
        for part in segment.parts
    )
    return replace(segment, uri=segment.uri.replace(".m4s", ".vtt"), map_uri="", parts=parts)


def iframes() -> str:
    """Beside a playlist with a discontinuity, of which one segment is missing."""
    host = with_discontinuity()
    gap = tuple(replace(s, gap=s.msn == 6) for s in host.segments)
    lengths = {s.msn: 20_000 + s.msn for s in gap}
    return render_iframes_playlist(MediaPlaylist(PLAIN, gap), lengths)


def rendered() -> dict[str, str]:
    texts = {name: render_media_playlist(playlist) for name, playlist in SAMPLES.items()}
    texts |= {"multivariant": MULTIVARIANT, "iframes": iframes()}
    texts |= {"multivariant_with_captions": CAPTIONED}
    return texts | {"transport_multivariant": TRANSPORT}


SAMPLES |= {"transport": transport(), "steady_captions": captions()}


@pytest.mark.parametrize("name", rendered())
def test_playlist_is_as_recorded(name: str) -> None:
    assert rendered()[name] == (FOLDER / f"{name}.m3u8").read_bytes().decode()


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(rendered())


def test_rule_9_no_hint_behind_the_end() -> None:
    assert "PRELOAD-HINT" not in rendered()["ended"]
    assert "PLAYLIST-TYPE" not in "".join(rendered().values())


def test_rule_17_the_sequence_is_there_before_one_slides_out() -> None:
    texts = rendered()
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in texts["discontinuity"]
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in texts["discontinuity_slid_out"]
    assert "DISCONTINUITY" not in texts["steady_video"]


def test_rule_18_discontinuity_stands_before_the_first_part() -> None:
    lines = rendered()["discontinuity"].splitlines()
    at = lines.index("#EXT-X-DISCONTINUITY")
    assert lines[at - 1] == "r-7.m4s"
    assert lines[at + 1].startswith("#EXT-X-PROGRAM-DATE-TIME:")
    assert lines[at + 2].startswith('#EXT-X-PART:DURATION=0.20000,URI="r-8.0.m4s"')


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each, text in rendered().items():
        (FOLDER / f"{each}.m3u8").write_text(text, "utf-8")
