"""Picture quality against bit rate, for each encoder and preset that works here.

python -m benchmarks.quality --help

The drawn presenter, and a photo that speaks as a noisy camera would see it, are encoded with the
arguments of a live stream. VMAF and SSIM come from ffmpeg's own filters; CPU time is the encoder's
alone, from pictures that are yuv420p already. At the end 720p at 10 and 25 pictures a second
against MJPEG at 3 to 5 Mbit/s, which a stream of single pictures would need.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from benchmarks import script
from benchmarks.frames import make_frames, read_frames
from benchmarks.results import Aim, Found, Plot, Table
from encoder.candidate import Candidate, RateControl
from encoder.candidates import CANDIDATES, video_arguments
from encoder.ffmpeg import find_ffmpeg
from rawmedia import Frame, MediaFormat
from tests.service import temporary_media_root

TITLE = "Encode quality"
SIZE = (1280, 720)
FPS = 25
PICTURES = 100
RATES_KBIT = (400, 700, 1000)
PRESETS = ("ultrafast", "superfast", "veryfast", "fast", "medium")
OTHERS = ("libopenh264", "libx265", "libsvtav1")
CLIPS = ("presenter", "camera")
# Public domain; what the camera sees.
PORTRAIT = str(Path(skimage.data.__file__).parent / "astronaut.png")
# Beside the ladder's full size: its rung for phones.
PHONE, PHONE_KBIT = (640, 360), (200, 350, 500)
MJPEG_KBIT = (3000, 4000, 5000)
H264_KBIT = (500, 700, 1000)
RATES_OF_PICTURES = (10, 25)
# VMAF looks at every so many pictures: it takes longer than the encoding.
_SUBSAMPLE = 5
# Six points of VMAF are about what half of all viewers just notice: the curve supports the fastest
# preset that is no further than this from the slowest one, at the default rate.
_NEAR_VMAF = 6.0
# So much more than was asked for is still that rate.
_NEAR_RATE = 1.05
_TIMEOUT_SECONDS = 120
_X264 = next(candidate for candidate in CANDIDATES if candidate.name == "libx264")
# The camera: noise of its sensor, and a hand that does not hold it still.
_NOISE, _SHAKE_PIXELS = 2.5, 1.5


@dataclass(frozen=True, slots=True)
class Clip:
    """Pictures in a file, yuv420p in Y4M."""

    path: Path
    size: tuple[int, int]
    fps: int


@dataclass(frozen=True, slots=True)
class Point:
    """One encode, judged."""

    clip: str
    coder: str
    wished_kbit: int
    kbit: float
    vmaf: float
    ssim: float
    cores: float  # of CPU, to encode in real time


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """All curves, once: an encoder gives the same bits each time."""
    presets = ("superfast", "veryfast", "fast") if arguments.quick else PRESETS
    rates = (700,) if arguments.quick else RATES_KBIT
    with temporary_media_root() as name:
        folder = Path(name)
        clips = _clips(folder, arguments.seed, 50 if arguments.quick else PICTURES)
        curves = _curves(clips, presets, rates, folder)
        others = _others(clips, rates, folder)
        phone = _phone(clips, presets, PHONE_KBIT[1:2] if arguments.quick else PHONE_KBIT, folder)
        chosen = CLIPS[-1:] if arguments.quick else CLIPS
        motion = [
            point
            for clip in chosen
            for fps in RATES_OF_PICTURES
            for point in _motion(clip, clips[clip], fps, folder)
        ]
    _tell(found, curves, others, phone, motion)


# --- clips ---------------------------------------------------------------------------------------


def _clips(folder: Path, seed: int, count: int) -> dict[str, Clip]:
    drawn, photo = (_frames(folder, count, image) for image in ("", PORTRAIT))
    made = {"presenter": drawn, "camera": _as_camera(photo, seed)}
    return {name: _write(folder / f"{name}.y4m", pictures) for name, pictures in made.items()}


def _frames(folder: Path, count: int, image: str) -> list[Frame]:
    media = MediaFormat(*SIZE, FPS)
    raw = make_frames(media, count, folder / "frames.raw", image)
    frames = read_frames(raw, media)[:count]
    raw.unlink()
    return frames


def _as_camera(frames: Sequence[Frame], seed: int) -> list[Frame]:
    random = np.random.default_rng(seed)
    height, width = frames[0].shape[:2]
    texture = cv2.GaussianBlur(random.normal(0, 90, (height, width, 3)), (0, 0), 3)
    place, made = np.zeros(2), []
    for frame in frames:
        place = 0.9 * place + random.normal(0, _SHAKE_PIXELS / 3, 2)
        move = np.array([[1, 0, place[0]], [0, 1, place[1]]], np.float32)
        seen = np.clip(frame + texture, 0, 255).astype(np.uint8)
        seen = cv2.warpAffine(seen, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        noise = random.normal(0, _NOISE, (height, width, 1))
        made.append(np.clip(seen + noise, 0, 255).astype(np.uint8))
    return made


def _write(path: Path, frames: Sequence[Frame]) -> Clip:
    size = f"{SIZE[0]}x{SIZE[1]}"
    raw = ["-f", "rawvideo", "-pixel_format", "bgr24", "-video_size", size, "-framerate", str(FPS)]
    colour = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    argv = _ffmpeg(*raw, "-i", "-", "-vf", colour, str(path))
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        for frame in frames:
            child.stdin.write(frame.data)
    return Clip(path, SIZE, FPS)


def _changed(clip: Clip, path: Path, *, size: tuple[int, int] = SIZE, fps: int = FPS) -> Clip:
    """The same smaller, or with fewer pictures."""
    filters = f"fps={fps},scale={size[0]}:{size[1]}:flags=bicubic"
    subprocess.run(_ffmpeg("-i", str(clip.path), "-vf", filters, str(path)), check=True)
    return Clip(path, size, fps)


def _ffmpeg(*words: str) -> list[str]:
    return [find_ffmpeg("").path, "-nostdin", "-v", "error", "-y", *words]


# --- encode and judge ----------------------------------------------------------------------------


def _curves(
    clips: dict[str, Clip], presets: Sequence[str], rates: Sequence[int], folder: Path
) -> list[Point]:
    return [
        _point(name, clip, _x264(preset), preset, kbit, folder)
        for name, clip in clips.items()
        for preset in presets
        for kbit in rates
    ]


def _others(clips: dict[str, Clip], rates: Sequence[int], folder: Path) -> list[Point]:
    known = {candidate.name: candidate for candidate in CANDIDATES}
    return [
        _point(name, clip, known[coder], coder, kbit, folder)
        for name, clip in clips.items()
        for coder in OTHERS
        if coder in known and _works(known[coder])
        for kbit in rates
    ]


def _phone(
    clips: dict[str, Clip], presets: Sequence[str], rates: Sequence[int], folder: Path
) -> list[Point]:
    small = _changed(clips["camera"], folder / "small.y4m", size=PHONE)
    return [
        _point("360p", small, _x264(preset), preset, kbit, folder)
        for preset in presets
        for kbit in rates
    ]


def _x264(preset: str) -> Candidate:
    return replace(_X264, own={**_X264.own, "preset": preset})


def default_preset() -> str:
    """What a stream is encoded with where there is no hardware."""
    return str(_X264.own["preset"])


def _works(candidate: Candidate) -> bool:
    argv = [find_ffmpeg("").path, "-hide_banner", "-encoders"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return f" {candidate.name} " in listed


def _point(
    name: str, clip: Clip, candidate: Candidate, coder: str, kbit: int, folder: Path
) -> Point:
    options = video_arguments(candidate, RateControl.constant(kbit), 2 * clip.fps, clip.fps)
    words = [word for key, value in options.items() for word in (f"-{key}", str(value))]
    return _judged(name, clip, coder, kbit, words, folder / "coded.mkv")


def _judged(
    name: str, clip: Clip, coder: str, kbit: int, words: Sequence[str], coded: Path
) -> Point:
    argv = _ffmpeg("-i", str(clip.path), *words, str(coded))
    quiet = {**os.environ, "SVT_LOG": "1"}  # errors only
    child = subprocess.Popen(argv, env=quiet)
    _pid, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{coder} ended with {child.returncode}: {argv}")
    vmaf, ssim, pictures = _scores(coded, clip)
    seconds = pictures / clip.fps
    rate = 8 * coded.stat().st_size / seconds / 1000
    cores = (usage.ru_utime + usage.ru_stime) / seconds
    return Point(name, coder, kbit, rate, vmaf, ssim, cores)


def _scores(coded: Path, clip: Clip) -> tuple[float, float, int]:
    """VMAF, SSIM and pictures. MJPEG is full range: both become what the original is."""
    same = "scale=out_range=tv,format=yuv420p,settb=1/25,setpts=N"
    vmaf = f"libvmaf=n_threads=2:n_subsample={_SUBSAMPLE}"
    graph = f"[0:v]{same},split[a][b];[1:v]{same},split[c][d];[a][c]{vmaf}[x];[b][d]ssim[y]"
    argv = [find_ffmpeg("").path, "-nostdin", "-i", str(coded), "-i", str(clip.path)]
    argv += ["-filter_complex", graph, "-map", "[x]", "-f", "null", "-"]
    argv += ["-map", "[y]", "-f", "null", "-"]
    done = subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
    )
    scores = (
        re.search(r"VMAF score: ([\d.]+)", done.stderr),
        re.search(r"All:([\d.]+)", done.stderr),
    )
    pictures = re.findall(r"frame=\s*(\d+)", done.stderr)
    if scores[0] is None or scores[1] is None or not pictures:
        raise SystemExit(f"no scores: {done.stderr[-800:]}")
    return float(scores[0][1]), float(scores[1][1]), int(pictures[-1])


def _motion(name: str, clip: Clip, fps: int, folder: Path) -> list[Point]:
    """H.264 against MJPEG."""
    slow = _changed(clip, folder / "slow.y4m", fps=fps)
    coder = f"H.264, {fps} fps"
    points = [
        _point(name, slow, _x264(default_preset()), coder, kbit, folder) for kbit in H264_KBIT
    ]
    for kbit in MJPEG_KBIT:
        words = ["-c:v", "mjpeg", "-b:v", f"{kbit}k", "-pix_fmt", "yuvj420p"]
        coded = folder / "coded.mkv"
        points.append(_judged(name, slow, f"MJPEG, {fps} fps", kbit, words, coded))
    return points


# --- what is told --------------------------------------------------------------------------------


def _tell(
    found: Found,
    curves: list[Point],
    others: list[Point],
    phone: list[Point],
    motion: list[Point],
) -> None:
    found.tables = [
        _table("libx264 by preset, 720p25", curves),
        _table("Other encoders, with lipstream's arguments, 720p25", others),
        _table("The ladder's rung for phones, 360p25", phone),
        _table("720p against MJPEG", motion),
    ]
    for clip in CLIPS:
        found.plots.append(_curve_plot(clip, curves))
    found.plots.append(_motion_plot(motion))
    best = supported_preset(curves)
    found.notes = [
        f"VMAF of every {_SUBSAMPLE}th picture. The camera's noise is seeded; no encoder keeps "
        "noise at these rates, so its scores are low for all, and only comparisons count.",
        f"**Default preset**: the fastest that is within {_NEAR_VMAF:g} VMAF of the slowest one "
        f"measured, on both clips at 700 kbit/s, is `{best}`; lipstream's is `{default_preset()}`.",
        "Where MJPEG gives more than was asked for, that is its coarsest: ffmpeg's encoder cannot "
        "go lower.",
        "CPU of the encoder alone: conversion and the rest are in the cost of the pipeline.",
    ]
    for clip, fps in dict.fromkeys((point.clip, _fps_of(point)) for point in motion):
        found.aims.append(_against_mjpeg([p for p in motion if p.clip == clip], clip, fps))
    worst = max(
        point.kbit / point.wished_kbit for point in motion if point.coder.startswith("H.264")
    )
    found.aims.append(Aim("720p: rate over the one that was asked for", worst, 1.10))
    found.ratio = ("VMAF of the default over that of the slowest preset", _against_slowest(curves))
    rows = [*curves, *others, *phone, *motion]
    found.data = {"points": [[p.clip, p.coder, p.kbit, p.vmaf, p.ssim, p.cores] for p in rows]}


def _against_mjpeg(motion: Sequence[Point], clip: str, fps: int) -> Aim:
    """H.264 at 1 Mbit/s, less the best that MJPEG gives within its rates."""
    ours = next(p for p in motion if p.coder == f"H.264, {fps} fps" and p.wished_kbit == 1000)
    mjpeg = [point for point in motion if point.coder == f"MJPEG, {fps} fps"]
    within = [point for point in mjpeg if point.kbit <= _NEAR_RATE * MJPEG_KBIT[-1]]
    coarsest = min(mjpeg, key=lambda point: point.kbit)
    best = max(within or [coarsest], key=lambda point: point.vmaf)
    rates = f"H.264 at {ours.kbit:.0f} kbit/s less MJPEG at {best.kbit:.0f}"
    return Aim(f"720p{fps}, {clip}, VMAF: {rates}", ours.vmaf - best.vmaf, 0, is_floor=True)


def supported_preset(curves: Sequence[Point], kbit: int = 700) -> str:
    """The fastest preset that is near the slowest one in quality, on every clip."""
    presets = list(dict.fromkeys(point.coder for point in curves))
    scores = {(p.clip, p.coder): p.vmaf for p in curves if p.wished_kbit == kbit}
    clips = {point.clip for point in curves}
    for preset in presets:
        lost = max(scores[clip, presets[-1]] - scores[clip, preset] for clip in clips)
        if lost <= _NEAR_VMAF:
            return preset
    return presets[-1]


def _against_slowest(curves: Sequence[Point]) -> float:
    last = curves[-1].coder
    ours = sum(p.vmaf for p in curves if p.coder == default_preset())
    return ours / sum(p.vmaf for p in curves if p.coder == last)


def _fps_of(point: Point) -> int:
    return int(point.coder.split()[1])


def _table(title: str, points: Sequence[Point]) -> Table:
    rows = [
        [
            point.clip,
            point.coder,
            str(point.wished_kbit),
            f"{point.kbit:.0f}",
            f"{point.vmaf:.1f}",
            f"{point.ssim:.4f}",
            f"{point.cores:.2f}",
        ]
        for point in points
    ]
    headings = ["clip", "", "asked kbit/s", "kbit/s", "VMAF", "SSIM", "cores"]
    return Table(title, headings, rows)


def _curve_plot(clip: str, curves: Sequence[Point]) -> Plot:
    series: dict[str, list[tuple[float, float]]] = {}
    for point in curves:
        if point.clip == clip:
            series.setdefault(point.coder, []).append((point.kbit, point.vmaf))
    return Plot(f"quality-{clip}", f"libx264, 720p25, {clip}", "kbit/s", "VMAF", series)


def _motion_plot(motion: Sequence[Point]) -> Plot:
    series: dict[str, list[tuple[float, float]]] = {}
    for point in motion:
        if point.clip == CLIPS[-1]:
            series.setdefault(point.coder, []).append((point.kbit, point.vmaf))
    return Plot("quality-mjpeg", f"720p, {CLIPS[-1]}", "kbit/s", "VMAF", series)


def main() -> int:
    parser = script.parser_of("quality", __doc__, runs=1)
    return script.run("quality", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
