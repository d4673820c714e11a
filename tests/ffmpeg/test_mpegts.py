"""MPEG-TS of the same encode: decoded by others, in step, aligned, taken over, bounded, closed."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import requests

from client.check import check
from client.verdicts import Level
from config import Settings
from encoder.ffmpeg import find_ffmpeg
from encoder.playlist import SegmentEntry
from encoder.playlist_reader import read_segments
from encoder.process import END_WORD
from tests.ffmpeg.test_check import failed
from tests.ffmpeg.test_rates import VARIANT
from tests.ffmpeg.test_stream import SMALL, Running, Source, check_lip_sync, running
from tests.service import Service

pytestmark = pytest.mark.ffmpeg

TS: dict[str, Any] = {"mpegts": True, "segment_seconds": 1.0, "window_segments": 6}
TS |= {"ladder": "320x180:300,160x90:100"}


@dataclass(frozen=True)
class Watched:
    """What PyAV makes of some segments in a row."""

    flashes: list[float]
    beeps: list[float]
    frames: int


def watch(data: bytes) -> Watched:
    """Decode pictures and sound of one transport stream."""
    flashes: list[float] = []
    loud: list[float] = []
    frames, was_bright = 0, False
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        for frame in container.decode(video, audio):
            assert isinstance(frame, av.VideoFrame | av.AudioFrame)
            assert frame.time is not None
            if isinstance(frame, av.VideoFrame):
                bright = bool(frame.to_ndarray(format="gray").mean() > 150)
                flashes += [frame.time] if bright and not was_bright else []
                was_bright, frames = bright, frames + 1
            else:
                at = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1) / frame.sample_rate
                loud += [frame.time + float(second) for second in at]
    times = np.array(loud)
    beeps = times[np.diff(times, prepend=-9) > 0.2]
    return Watched(flashes, [float(at) for at in beeps], frames)


def listed(encoder: Running, rendition: str) -> list[SegmentEntry]:
    return list(read_segments(encoder.playlist(rendition))[1])


def read(encoder: Running, rendition: str, entries: list[SegmentEntry]) -> list[bytes]:
    return [(encoder.folder / rendition / entry.uri).read_bytes() for entry in entries]


def complaints(data: bytes) -> str:
    """What ffmpeg has to say about a stream that it decodes."""
    argv = [find_ffmpeg("").path, "-v", "warning", "-f", "mpegts", "-i", "pipe:", "-f", "null", "-"]
    done = subprocess.run(argv, input=data, capture_output=True, timeout=20, check=True)
    return done.stderr.decode()


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("t")


def test_segments_of_the_same_encode(short: Path) -> None:
    with running(short / "s", **TS) as encoder:
        encoder.until_segments(15, "t0")
        for muxed, plain in (("t0", "v0"), ("t1", "v1")):
            check_alignment(encoder, muxed, plain)
        entries = listed(encoder, "t0")
        segments = read(encoder, "t0", entries)
        assert complaints(b"".join(segments)) == ""
        assert complaints(segments[2]) == "", "each can be played alone"
        watched = watch(b"".join(segments))
        assert watched.frames == 25 * len(segments)
        check_lip_sync(watched.flashes, watched.beeps)
        check_rates(encoder)
        kept = list((encoder.folder / "t0").glob("*.ts"))
        assert len(kept) <= 2 * TS["window_segments"] + 2, "those that left go after a while"
        figures = encoder.figures()
        assert figures["disk_bytes"] < figures["disk_bound_bytes"]
        encoder.tell(END_WORD)
        encoder.until(lambda: encoder.figures()["state"] == "ended")
        assert encoder.playlist("t0").endswith("#EXT-X-ENDLIST\n")
        assert listed(encoder, "t0")[-1].msn == listed(encoder, "v0")[-1].msn
        assert complaints(b"".join(read(encoder, "t0", listed(encoder, "t0")))) == ""


def check_alignment(encoder: Running, muxed: str, plain: str) -> None:
    """The same msn is the same time of the same run."""
    host = {entry.msn: entry for entry in listed(encoder, plain)}
    common = [entry for entry in listed(encoder, muxed) if entry.msn in host]
    assert len(common) >= TS["window_segments"] - 1
    for entry in common:
        other = host[entry.msn]
        assert entry.uri == other.uri.replace(".m4s", ".ts")
        assert (entry.wall_ms, entry.duration) == (other.wall_ms, other.duration)


def check_rates(encoder: Running) -> None:
    text = (encoder.folder / "ts.m3u8").read_text()
    told = {rendition: (int(p), int(a)) for p, a, rendition, _ in VARIANT.findall(text)}
    assert told.keys() == {"t0", "t1"}
    for rendition, (bandwidth, average) in told.items():
        entries = listed(encoder, rendition)
        bits = [8 * len(data) for data in read(encoder, rendition, entries)]
        seconds = sum((entry.duration for entry in entries), Fraction())
        assert max(bits) < 1.25 * bandwidth
        assert sum(bits) / seconds < 1.1 * average


def test_a_new_encoder_process_takes_the_transport_streams_over(short: Path) -> None:
    # Long enough that the break is still in it when this machine has stood still for a while.
    long = TS | {"window_segments": 12}
    with running(short / "r", **long) as encoder:
        encoder.until_segments(5, "t0")
        os.kill(encoder.ffmpeg, signal.SIGKILL)
        encoder.process.kill()
        encoder.process.wait()
        encoder.source.hang_up()
        before, settings = listed(encoder, "t0"), dict[str, Any](SMALL | long)
        successor = Running(short / "r", Settings(**settings), Source, "libx264")
        try:
            successor.until(lambda: successor.position("t0").last_msn >= before[-1].msn + 5)
            after = listed(successor, "t0")
            assert [entry.msn for entry in after] == list(range(after[0].msn, after[-1].msn + 1))
            assert {e.uri for e in after if e.msn <= before[-1].msn} <= {e.uri for e in before}
            assert sum(entry.discontinuity for entry in after) == 1
            assert not any(entry.gap for entry in after)
            check_alignment(successor, "t0", "v0")
            fresh = after[[entry.discontinuity for entry in after].index(True) :]
            assert complaints(b"".join(read(successor, "t0", fresh))) == ""
            closed = after[after.index(fresh[0]) - 1]  # muxed from the parts that were left of it
            assert complaints(read(successor, "t0", [closed])[0]) == ""
        finally:
            successor.close()


def test_over_http(media_root: Path) -> None:
    small = ("--width", "320", "--height", "180", "--video-kbit", "300", "--mpegts")
    with Service(media_root, small) as service:
        base = f"{service.url}/live/demo"
        index = requests.get(f"{base}/ts.m3u8", timeout=10)
        assert index.headers["Content-Type"].startswith("application/vnd.apple.mpegurl")
        media = requests.get(f"{base}/t0/media.m3u8", timeout=10).text
        uri = re.findall(r"^\S+\.ts$", media, re.MULTILINE)[-1]
        segment = requests.get(f"{base}/t0/{uri}", timeout=10)
        assert segment.headers["Content-Type"] == "video/mp2t"
        assert len(segment.content) % 188 == 0
        _seen, findings = check(f"{base}/ts.m3u8", 4, verify_tls=True)
    assert not failed(findings, Level.MUST)
