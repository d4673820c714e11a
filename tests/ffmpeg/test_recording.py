"""One MP4 of what was on the air: the same pictures and sound, whatever ended it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from config import Settings
from encoder.ffmpeg import find_ffmpeg
from encoder.process import END_WORD
from tests.ffmpeg.test_stream import SMALL, Running, check_lip_sync, running
from tests.unit.mounts import small_tmpfs

pytestmark = pytest.mark.ffmpeg

SHORT: dict[str, Any] = {"segment_seconds": 1.0, "window_segments": 6}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is short enough for a socket."""
    return tmp_path_factory.mktemp("r")


def decode(file: Path) -> None:
    """ffmpeg decodes all of it and has nothing to say."""
    argv = [find_ffmpeg("").path, "-v", "error", "-i", str(file), "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def flashes_and_beeps(file: Path) -> tuple[list[float], list[float], float]:
    """By an independent player: when it becomes bright, when loud, and the length of the file."""
    seen, was_bright = [], False
    pieces, heard = [], 0
    with av.open(str(file)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.start_time, audio.start_time) == (0, 0)
        for frame in container.decode(video, audio):
            if isinstance(frame, av.VideoFrame):
                bright = bool(frame.to_ndarray(format="gray").mean() > 150)
                if bright and not was_bright:
                    seen.append(float(frame.time or 0))
                was_bright = bright
            elif isinstance(frame, av.AudioFrame):
                assert frame.pts == heard  # no gap, no overlap
                pieces.append(frame.to_ndarray()[0])
                heard += frame.samples
        assert container.duration is not None
        length = container.duration / av.time_base
    loud = np.flatnonzero(np.abs(np.concatenate(pieces)) > 0.1)
    starts = loud[np.diff(loud, prepend=-(10**9)) > 48_000 // 5]
    return seen, [float(start) / 48_000 for start in starts], length


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.glob("t-*.mp4"), key=lambda path: path.stat().st_mtime_ns)


def test_one_file_over_a_killed_ffmpeg_and_another_over_a_killed_process(short: Path) -> None:
    folder = short / "mp4"
    changed = SHORT | {"record": "mp4", "record_folder": str(folder)}
    folder.mkdir()
    with running(short / "one", **changed) as encoder:
        encoder.until_media(3)
        child = encoder.ffmpeg
        os.kill(child, signal.SIGKILL)
        encoder.until_replaced(child)
        encoder.until_media(8)
        (growing,) = recordings(folder)
        decode(growing)
        encoder.until(lambda: encoder.figures()["recording"]["bytes"] > 0)
        assert encoder.figures()["recording"]["path"] == str(growing)
        encoder.process.kill()
        encoder.process.wait()
        decode(growing)
        seen, heard, length = flashes_and_beeps(growing)
        assert length == pytest.approx(8, abs=1.1)
        check_lip_sync(seen, heard, after=5)  # it caught up by then
        encoder.source.hang_up()
        for left in (encoder.socket, encoder.state):
            left.unlink()
        values: dict[str, Any] = SMALL | changed
        second = Running(short / "one", Settings(**values))
        try:
            second.until(lambda: second.state.exists() and second.figures()["media_seconds"] > 3)
            second.tell(END_WORD)
            second.until(lambda: second.figures()["recording"]["state"] == "ended")
            media_seconds = second.figures()["media_seconds"]
            first, last = recordings(folder)
            assert (first, last.name) == (growing, f"{growing.stem}-2.mp4")
            decode(last)
            seen, heard, length = flashes_and_beeps(last)
            assert length == pytest.approx(media_seconds, abs=0.1), "all that was fed"
            check_lip_sync(seen, heard)
        finally:
            second.close()


def test_full_disks_do_not_touch_the_stream(short: Path) -> None:
    """One small disk for both: the recording stops, the window becomes short."""
    with small_tmpfs(short / "disk", "400k") as disk:
        changed = SHORT | {"record": "hls", "record_folder": str(disk)}
        changed |= {"dvr_seconds": 60.0, "disk_folder": str(disk)}
        with running(short / "full", **changed) as encoder:
            encoder.until(lambda: encoder.figures()["recording"]["state"] == "stopped", 30)
            assert "No space left" in encoder.figures()["recording"]["reason"]
            encoder.until(lambda: encoder.figures()["dvr"]["disk"]["state"] == "short", 30)
            short_window = SHORT["window_segments"]
            encoder.until(lambda: encoder.playlist("v0").count("#EXTINF:") == short_window)
            at = encoder.position("v0").last_msn
            encoder.until(lambda: encoder.position("v0").last_msn > at + 1)
            figures = encoder.figures()
            assert (figures["state"], figures["encoder_restarts"]) == ("live", 0)
            assert figures["disk_bytes"] < figures["disk_bound_bytes"]
            (folder,) = disk.glob("t-*")
            decode(folder / "index.m3u8")
            for path in folder.rglob("*"):
                if path.is_file():
                    path.unlink()
            encoder.until(lambda: encoder.figures()["dvr"]["disk"]["state"] == "ok", 30)
