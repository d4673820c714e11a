"""What would break a MUST is never written: it is an error that names the rule."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.codecs import Track
from encoder.errors import StreamBroken
from encoder.packager import Calendar, Era, Layout, Rendition
from encoder.store import StreamStore
from encoder.timing import TrackTiming, plan
from tests.unit.samples import picture

LAWFUL = plan(fps=25, audio_rate_hz=48_000, part_seconds=0.2, segment_seconds=2.0)


def rendition(folder: Path, track: TrackTiming) -> Rendition:
    """One that promises the lawful timing in its playlist, and is cut otherwise."""
    store = StreamStore(folder, 10_000_000)
    store.open(("v0",))
    made = Rendition("v0", track, Layout(LAWFUL, 7), Calendar(Era(1, 0, "r")), store)
    made.set_init(b"init", Track("avc1.64001f", 90_000), "r")
    return made


def play(made: Rendition, track: TrackTiming) -> None:
    for number in range(200):
        made.add(picture(number, int(track.segment), track.frame_ticks))


@pytest.mark.parametrize(
    ("rule", "wrong", "written"),
    [
        (22, {"part_frames": 6}, set()),
        # The first part may be short, for it is independent.
        (23, {"part_frames": 3}, {"r-1.0.m4s"}),
        (4, {"segment": Fraction(75)}, {f"r-1.{n}.m4s" for n in range(15)}),
    ],
)
def test_what_is_refused_is_not_written(
    tmp_path: Path, rule: int, wrong: dict[str, int], written: set[str]
) -> None:
    track = replace(LAWFUL.video, **wrong)  # type: ignore[arg-type]
    made = rendition(tmp_path, track)
    with pytest.raises(StreamBroken, match=rf"\(rule {rule}\): it was not published") as refused:
        play(made, track)
    assert refused.value.rule == rule
    files = {path.name for path in (tmp_path / "v0").iterdir()}
    assert {name for name in files if name.endswith(".m4s")} == written


def test_a_short_part_may_be_the_last_of_its_segment(tmp_path: Path) -> None:
    """Where a segment is full, and where the stream ends."""
    track = replace(LAWFUL.video, segment=Fraction(43))
    made = rendition(tmp_path, track)
    for number in range(43 + 7):
        made.add(picture(number, 43, track.frame_ticks))
    made.end()
    files = {path.name for path in (tmp_path / "v0").iterdir()}
    parts = {f"r-1.{n}.m4s" for n in range(9)} | {"r-2.0.m4s", "r-2.1.m4s"}
    assert {name for name in files if name.endswith(".m4s") and name.count(".") == 2} == parts


def test_the_lawful_timing_is_not_refused(tmp_path: Path) -> None:
    made = rendition(tmp_path, LAWFUL.video)
    play(made, LAWFUL.video)
    assert (made.parts, made.end_frame, made.end_seconds) == (40, 200, Fraction(8))
