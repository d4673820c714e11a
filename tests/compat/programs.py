"""Players that are programs: ffmpeg, GStreamer, curl. What they print is read with its time."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import IO

from tests.browser.processes import kill_session
from tests.compat.recorder import Record
from tests.compat.result import FPS, PLAY_SECONDS, Playing

FOLLOW = Path(__file__).resolve().parent / "follow.sh"
# A new figure comes every PRINT_SECONDS; one that is this much later was a stall.
PRINT_SECONDS = 0.2
STALL_SECONDS = 0.25
LIMIT_SECONDS = 45
OUT_TIME = re.compile(r"out_time_us=(\d+)")
RENDERED = re.compile(r"rendered: (\d+), dropped: (\d+)")
# gst-launch stops the clock while it fills its buffer; at the start that is no stall.
BUFFERING = re.compile(r"Buffering, setting pipeline to PAUSED")
PART_LINE = re.compile(r"^(\d+)\.(\d+) (\d+) bytes, held ([\d.]+) s$")
# Not "key=value", and not "[NULL @ ...]": ffmpeg 9 stops reading a rendition that it does not play
# in the middle of a picture, and that rendition's parser, which has no decoder, says so.
FFMPEG_COMPLAINT = re.compile(r"(?!\w+=|\[NULL @)")
GST_COMPLAINT = re.compile(r"^ERROR|^WARNING")


@dataclass(slots=True)
class Progress:
    """Media seconds shown, by wall clock."""

    began: float
    points: list[tuple[float, float]] = field(default_factory=list)

    def note(self, media_seconds: float) -> None:
        if media_seconds > 0:
            self.points.append((time.time(), media_seconds))

    def playing(self, version: str, made_at: float | None, errors: list[str]) -> Playing:
        """Judged over PLAY_SECONDS from the first picture.

        Args:
            version: of the player.
            made_at: wall clock at media time 0.
            errors: what it complained of.
        """
        if not self.points:
            raise AssertionError(f"{version} has shown nothing: {errors}")
        first = self.points[0]
        seen = [p for p in self.points if p[0] <= first[0] + PLAY_SECONDS]
        late = [at - made_at - media for at, media in seen] if made_at else []
        return Playing(
            version=version,
            started_seconds=first[0] - self.began,
            played_seconds=seen[-1][1] - first[1],
            stalls=sum(_is_stall(a, b) for a, b in pairwise(seen)),
            pictures=round((seen[-1][1] - first[1]) * FPS),
            latency_seconds=statistics.median(late) if late else None,
            errors=tuple(errors),
        )


def _is_stall(before: tuple[float, float], after: tuple[float, float]) -> bool:
    """More wall clock than media has gone by."""
    wall, media = after[0] - before[0], after[1] - before[1]
    return wall - media >= STALL_SECONDS


def ffmpeg(program: str, record: Record) -> Playing:
    """ffmpeg at the pace of a player (`-re`), decoding all and showing nothing."""
    argv = [program, "-hide_banner", "-nostdin", "-loglevel", "error", "-nostats"]
    argv += ["-stats_period", str(PRINT_SECONDS), "-progress", "pipe:1", "-re"]
    argv += ["-i", f"{record.url}/live/demo/index.m3u8", "-t", str(PLAY_SECONDS + 1)]
    argv += ["-f", "null", "-"]
    complaints: list[str] = []
    with _running(argv) as (out, progress):
        for row in out:
            if match := OUT_TIME.match(row):
                progress.note(int(match[1]) / 1e6)
            elif FFMPEG_COMPLAINT.match(row):
                complaints.append(row.strip())
    return progress.playing(_version(program, "-version"), record.made_at(), complaints)


def gstreamer(program: str, record: Record) -> Playing:
    """GStreamer's playbin3, which picks hlsdemux2, into a sink that keeps the clock."""
    interval = round(PRINT_SECONDS * 1000)
    sink = f"fpsdisplaysink video-sink=fakesink text-overlay=false fps-update-interval={interval}"
    argv = [program, "-v", "playbin3", f"uri={record.url}/live/demo/index.m3u8"]
    argv += [f"video-sink={sink} sync=true", "audio-sink=fakesink sync=true"]
    argv += ["text-sink=fakesink sync=true"]  # captions: else they are drawn, by a plug-in of Pango
    complaints: list[str] = []
    demuxers = 0
    with _running(argv) as (out, progress):
        for row in out:
            demuxers += "GstHLSDemux2:" in row
            if match := RENDERED.search(row):
                progress.note(int(match[1]) / FPS)
                complaints += [f"{match[2]} pictures dropped"] if match[2] != "0" else []
            elif GST_COMPLAINT.search(row) or (progress.points and BUFFERING.search(row)):
                complaints.append(row.strip())
            if _is_over(progress):
                break
    assert demuxers, "playbin3 has not taken hlsdemux2"
    return progress.playing(_version(program, "--version"), record.made_at(), complaints)


def curl(program: str, record: Record) -> Playing:
    """`follow.sh`: held reloads and parts, one after the other."""
    argv = ["sh", str(FOLLOW), f"{record.url}/live/demo/v0/media.m3u8", str(PLAY_SECONDS + 2)]
    complaints: list[str] = []
    part_seconds = 0.0
    with _running(argv) as (out, progress):
        for number, row in enumerate(out):
            if not PART_LINE.match(row):
                complaints.append(row.strip())
            part_seconds = part_seconds or record.part_seconds()
            progress.note((number + 1) * part_seconds)
    playing = progress.playing(_version(program, "--version"), None, complaints)
    return replace(playing, pictures=None, latency_seconds=record.part_age())


def _is_over(progress: Progress) -> bool:
    points = progress.points
    return bool(points) and points[-1][0] - points[0][0] > PLAY_SECONDS + 1


@contextmanager
def _running(argv: list[str]) -> Iterator[tuple[IO[str], Progress]]:
    child = subprocess.Popen(
        ["timeout", str(LIMIT_SECONDS), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"GST_DEBUG_NO_COLOR": "1", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        yield child.stdout, Progress(time.time())
    finally:
        kill_session(child.pid)
        child.stdout.close()
        child.wait()


def _version(program: str, flag: str) -> str:
    said = subprocess.run([program, flag], check=True, capture_output=True, text=True).stdout
    match = re.search(r"(?:version n?|^curl )(\d+(?:\.\d+)+)", said)
    assert match is not None, said
    return match[1]
