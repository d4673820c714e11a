"""The command of each encoder, word for word.

After a wanted change: ``python -m tests.golden.test_candidates`` rewrites the files; read the diff.
"""

from __future__ import annotations

from pathlib import Path

import ffmpeg as argv_compiler
import pytest

from encoder.candidate import Candidate, RateControl
from encoder.candidates import (
    CANDIDATES,
    candidates_for,
    video_arguments,
    video_filter,
)

FOLDER = Path(__file__).parent / "candidates"


def render(candidate: Candidate) -> str:
    """One option a line: 1280x720 at 25 fps, 700 kbit/s, a GOP of 2 s."""
    source = argv_compiler.input("BGR24")
    options = video_arguments(candidate, RateControl.constant(700), gop_frames=50, fps=25)
    output = argv_compiler.output(source, "OUTPUT", vf=video_filter(candidate), **options)
    argv = argv_compiler.get_args(output.global_args(*candidate.global_arguments))
    return " ".join(argv).replace(" -", "\n-").replace(" OUTPUT", "\nOUTPUT") + "\n"


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_arguments_are_as_recorded(candidate: Candidate) -> None:
    assert render(candidate) == (FOLDER / f"{candidate.name}.txt").read_text("utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {c.name for c in CANDIDATES}


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_every_encoder_keeps_the_grid(candidate: Candidate) -> None:
    options = video_arguments(candidate, RateControl(700, 800, 300), gop_frames=48, fps=24)
    assert options["g"] == 48
    assert options["force_key_frames"] == "expr:not(mod(n,48))"
    assert options["bf"] == 0
    assert options["flags"] == "+cgop"
    assert (options["b:v"], options["maxrate"], options["bufsize"]) == ("700k", "800k", "300k")
    assert "out_color_matrix=bt709:out_range=tv" in video_filter(candidate)


def test_constant_rate_keeps_a_two_second_segment_below_125_percent() -> None:
    for kbit in (50, 333, 700, 50_000):
        rate = RateControl.constant(kbit)
        assert 2 * rate.max_kbit + rate.buffer_kbit < 1.25 * 2 * rate.max_kbit


@pytest.mark.parametrize(
    ("platform", "names", "codec"),
    [
        ("linux", "h264_nvenc h264_qsv h264_amf h264_vaapi libx264 libopenh264", "h264"),
        ("win32", "h264_nvenc h264_qsv h264_amf libx264 libopenh264", "h264"),
        ("darwin", "h264_videotoolbox libx264 libopenh264", "h264"),
        ("freebsd14", "libx264 libopenh264", "h264"),
        ("linux", "hevc_nvenc hevc_qsv hevc_amf hevc_vaapi libx265", "hevc"),
        ("darwin", "hevc_videotoolbox libx265", "hevc"),
        ("linux", "av1_nvenc av1_qsv av1_amf av1_vaapi libsvtav1", "av1"),
        ("darwin", "libsvtav1", "av1"),
    ],
)
def test_order_of_preference(platform: str, names: str, codec: str) -> None:
    assert " ".join(c.name for c in candidates_for(platform, codec)) == names


def test_hevc_is_tagged_as_apple_plays_it() -> None:
    tags = {c.name: dict(c.own).get("tag:v") for c in CANDIDATES}
    assert {tag for name, tag in tags.items() if "hevc" in name or "265" in name} == {"hvc1"}
    assert {tag for name, tag in tags.items() if "264" in name or "av1" in name} == {None}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in CANDIDATES:
        (FOLDER / f"{each.name}.txt").write_text(render(each), "utf-8")
