"""The stream's whole ffmpeg command, one argument a line.

After a wanted change: ``python -m tests.golden.test_arguments`` rewrites the files; read the diff.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from encoder.arguments import Pipes, compile_argv
from encoder.candidate import Candidate
from encoder.candidates import CANDIDATES
from encoder.fragments import TIMESTAMP_OFFSET_SECONDS
from encoder.ladder import Rung
from encoder.sound import AAC, OPUS, SoundCodec
from encoder.timing import plan
from rawmedia import MediaFormat

FOLDER = Path(__file__).parent / "arguments"
X264, X265, VAAPI = (
    next(candidate for candidate in CANDIDATES if candidate.name == name)
    for name in ("libx264", "libx265", "h264_vaapi")
)
HD = MediaFormat(1280, 720, 25)
SMALL = Rung("v1", 640, 360, 300)


@dataclass(frozen=True)
class Run:
    """One encoder run: what it is fed, where it begins, what it gives."""

    media: MediaFormat = HD
    first_frame: int = 0
    smaller: tuple[Rung, ...] = ()
    ahead: tuple[int, ...] = ()
    candidate: Candidate = X264
    sound: SoundCodec = AAC


RUNS = {
    "start": Run(),
    "restart_at_frame_187": Run(first_frame=187),
    "stereo_44100_hz_30_fps": Run(MediaFormat(320, 180, 30, 44_100, 2)),
    "ladder": Run(smaller=(SMALL,)),
    "ladder_restart_one_rung_ahead": Run(first_frame=187, smaller=(SMALL,), ahead=(2, 0)),
    "opus": Run(sound=OPUS),
    "hevc": Run(candidate=X265),
    "ladder_vaapi": Run(smaller=(SMALL,), candidate=VAAPI),
}


def argv(run: Run) -> list[str]:
    media = run.media
    timing = plan(
        fps=media.fps, audio_rate_hz=media.audio_rate_hz, part_seconds=0.2, segment_seconds=2.0
    )
    rungs = (Rung("v0", media.width, media.height, 700), *run.smaller)
    return compile_argv(
        "ffmpeg",
        run.candidate,
        media,
        timing,
        rungs=rungs,
        audio_kbit=64,
        sound_codec=run.sound,
        pipes=Pipes(10, 11, tuple(range(12, 12 + len(rungs))), 12 + len(rungs)),
        first_frame=run.first_frame,
        ahead=run.ahead,
    )


def render(name: str) -> str:
    return "\n".join(argv(RUNS[name])) + "\n"


def options(arguments: list[str]) -> list[tuple[str, str]]:
    return [(flag, value) for flag, value in pairwise(arguments) if flag.startswith("-")]


def section(first: str, last: str, name: str = "start") -> dict[str, str]:
    """Options between two arguments: ffmpeg binds them to what comes next."""
    every = argv(RUNS[name])
    return dict(options(every[every.index(first) + 1 : every.index(last) + 1]))


@pytest.mark.parametrize("name", RUNS)
def test_arguments_are_as_recorded(name: str) -> None:
    assert render(name) == (FOLDER / f"{name}.txt").read_text("utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(RUNS)


def test_each_input_and_output_has_its_own_options() -> None:
    picture, sound = section("ffmpeg", "pipe:10"), section("pipe:10", "pipe:11")
    assert (picture["-framerate"], picture["-video_size"]) == ("25", "1280x720")
    assert "-r" not in picture  # it would drop or repeat frames
    assert (sound["-f"], sound["-ch_layout"]) == ("s16le", "mono")
    assert sound["-analyzeduration"] == "0"  # else it waits for 54 kB while the picture is full
    video, audio = section("pipe:11", "pipe:12"), section("pipe:12", "pipe:13")
    assert video["-map"].startswith("[")
    assert (audio["-c:a"], audio["-b:a"]) == ("aac", "64k")


def test_both_outputs_are_fragmented_alike_rules_53_57_58() -> None:
    for output in (section("pipe:11", "pipe:12"), section("pipe:12", "pipe:13")):
        flags = set(output["-movflags"].split("+")) - {""}
        assert flags == {"cmaf", "frag_every_frame", "frag_discont", "skip_trailer"}
        assert output["-output_ts_offset"] == str(TIMESTAMP_OFFSET_SECONDS)
        assert output["-f"] == "mp4"


def test_every_frame_in_is_a_frame_out() -> None:
    video = section("pipe:11", "pipe:12")
    assert video["-fps_mode"] == "passthrough"
    assert video["-bf"] == "0"
    assert video["-video_track_timescale"] == "90000"


@pytest.mark.parametrize("first", [0, 1, 49, 50, 187, 12_345])
def test_rule_55_a_replaced_encoder_keeps_idrs_on_the_segment_grid(first: int) -> None:
    """Frame ``first + n`` of the stream is frame ``n`` of the run."""
    forced = dict(options(argv(Run(first_frame=first))))["-force_key_frames"]
    assert forced.startswith("expr:not(mod(n")
    inside = forced.removeprefix("expr:not(mod(").removesuffix("))")
    dividend, gop = inside.split(",")
    assert gop == "50"
    offset = int(dividend.removeprefix("n") or 0)
    on_grid = [first + n for n in range(200) if (n + offset) % 50 == 0]
    assert on_grid == [frame for frame in range(first, first + 200) if frame % 50 == 0]


@pytest.mark.parametrize(("rate_hz", "told"), [(48_000, 12_000), (44_100, 11_025), (8_010, 8_010)])
def test_20_sound_is_read_in_small_packets_and_keeps_its_rate(rate_hz: int, told: int) -> None:
    fps = 30 if rate_hz == 8_010 else 25
    every = argv(Run(MediaFormat(320, 180, fps, rate_hz)))
    assert f"asetrate={rate_hz}" in dict(options(every))["-filter_complex"]
    assert dict(options(every))["-sample_rate"] == str(told)
    # A tenth of a second, rounded down to a power of two, is one AAC frame at most.
    assert told != rate_hz // 4 or 2 ** ((told // 10).bit_length() - 1) <= 1024


def test_51_the_picture_is_converted_once_and_split() -> None:
    graph = dict(options(argv(RUNS["ladder"])))["-filter_complex"]
    assert graph.count("out_color_matrix=bt709") == 1
    assert graph.count("split=2") == 1
    assert graph.count("scale=640:360") == 1


def test_a_rung_that_was_ahead_resumes_with_an_idr() -> None:
    """Frame 2 of the run is the first one that rung v0 will use."""
    every = argv(RUNS["ladder_restart_one_rung_ahead"])
    forced = [value for flag, value in options(every) if flag == "-force_key_frames"]
    assert forced == ["expr:not(mod(n+37,50))+eq(n,2)", "expr:not(mod(n+37,50))"]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in RUNS:
        (FOLDER / f"{each}.txt").write_text(render(each), "utf-8")
