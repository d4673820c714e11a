"""A whole encoder process with a real ffmpeg, judged by PyAV as an independent player.

The source flashes and beeps in the same unit twice a second.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from config import Settings
from encoder.boxes import BoxStream, Sample, read_fragment, read_sample_defaults
from encoder.clock import NANOSECONDS
from encoder.codecs import read_init
from encoder.ffmpeg import find_ffmpeg
from encoder.plan import plan_stream
from encoder.playlist_reader import Position, read_position, read_segments
from encoder.process import END_WORD, StreamSpec
from encoder.sound import SOUND_CODECS
from encoder.stream import SILENT_NS, STILL_NS
from rawmedia import Disconnected, Frame, MediaFormat, Samples, connect
from tests.yardstick import slowness

pytestmark = pytest.mark.ffmpeg

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"width": 320, "height": 180, "fps": 25, "video_kbit": 300, "log_format": "json"}
SECONDS = 15.0  # the longest that anything here may take


class Source:
    """A producer in a thread: dark pictures and silence, a flash and a beep each half second."""

    def __init__(self, socket: Path, media: MediaFormat) -> None:
        self._socket, self._media = socket, media
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        times = np.arange(media.samples_per_unit)[:, None] / media.audio_rate_hz
        self._beep = (np.sin(2 * np.pi * 1000 * times) * 16_000).astype(np.int16)
        self._thread.start()

    def hang_up(self) -> None:
        self._stopped.set()
        self._thread.join(SECONDS)

    def _run(self) -> None:
        try:
            with connect(self._socket, self._media) as producer:
                number = 0
                while not self._stopped.is_set():
                    number += 1
                    with producer.unit() as (frame, samples):
                        self.fill(number, frame, samples)
        except Disconnected:
            return  # the end of a test

    def fill(self, number: int, frame: Frame, samples: Samples) -> None:
        """Make unit ``number``."""
        loud = number % 12 == 0
        frame[:] = 255 if loud else 16 + number % 8
        samples[:] = self._beep if loud else 0


@dataclass(frozen=True)
class Copy:
    """What was published of one rendition: all its segments in order, and its parts."""

    init: bytes
    segments: dict[int, bytes]
    parts: dict[tuple[int, int], bytes]
    position: Position


class Running:
    """An encoder process and its source."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        source: type[Source] = Source,
        encoder: str = "libx264",
    ) -> None:
        self.settings = settings
        self.media = MediaFormat(**settings.media_fields)
        self.timing = plan_stream(settings).timing
        self.folder = folder / "live" / "t"
        self.state = folder / "t.json"
        self.socket = folder / "t.sock"
        self.log = folder / "log"
        self.began = time.monotonic()
        spec = StreamSpec("t", str(self.socket), str(self.folder), str(self.state), encoder)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "encoder"],
                stdin=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=os.environ | settings.to_environment(),
            )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(spec)).encode() + b"\n")
        self.process.stdin.flush()
        self.until(self.socket.exists)
        self.source = source(self.socket, self.media)
        self.until((self.folder / "index.m3u8").exists)
        _slid_out, listed = read_segments(self.playlist("v0"))
        self.first_msn = listed[0].msn
        self.live_after_seconds = time.monotonic() - self.began

    def until(self, true: Callable[[], Any], seconds: float = SECONDS) -> None:
        """Wait for something that must come."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def until_media(self, seconds: float) -> None:
        """Wait until so much media lies behind the video playlist's start."""
        self.until_segments(math.ceil(seconds / self.timing.segment_seconds))

    def until_segments(self, count: int, rendition: str = "v0") -> None:
        """Wait for the last of so many segments, counted from the first that was listed."""
        wanted = self.first_msn + count - 1
        self.until(lambda: self.position(rendition).last_msn >= wanted)

    def playlist(self, rendition: str) -> str:
        return (self.folder / rendition / "media.m3u8").read_text("utf-8")

    def position(self, rendition: str) -> Position:
        return read_position(self.playlist(rendition))

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = json.loads(self.state.read_text())
        return figures

    @property
    def ffmpeg(self) -> int:
        """Process id of the child."""
        found: list[int] = []

        def look() -> list[int]:
            found[:] = children(self.process.pid)
            return found

        self.until(look)
        return found[0]

    def until_more_media(self) -> None:
        """Wait for the next part."""
        before = self.playlist("v0")
        self.until(lambda: self.playlist("v0") != before)

    def until_replaced(self, old: int) -> None:
        self.until(lambda: [pid for pid in children(self.process.pid) if pid != old])

    def copy(self, rendition: str) -> Copy:
        """Read what is published now. Nothing has gone yet: the tests are short."""
        folder = self.folder / rendition
        position = self.position(rendition)
        names = {file.name: file for file in folder.glob("[!.]*.m4s")}
        numbered = {name.partition("-")[2].removesuffix(".m4s"): f for name, f in names.items()}
        whole = {int(n): f.read_bytes() for n, f in numbered.items() if "." not in n}
        pairs = ((n.split("."), f.read_bytes()) for n, f in numbered.items() if "." in n)
        parts = {(int(msn), int(index)): data for (msn, index), data in pairs}
        (init,) = folder.glob("*-init.mp4")
        return Copy(init.read_bytes(), dict(sorted(whole.items())), parts, position)

    def hashes(self) -> dict[str, str]:
        """Of every media file; playlists change, these may not."""
        files = [*self.folder.rglob("[!.]*.m4s"), *self.folder.rglob("[!.]*.mp4")]
        digests = {}
        for file in files:
            digests[str(file)] = hashlib.sha256(file.read_bytes()).hexdigest()
        return digests

    def end(self, *, by_signal: bool = False) -> float:
        """Stop it as the supervisor does, or by SIGTERM; returns the seconds it took."""
        began = time.monotonic()
        assert self.process.stdin is not None
        if by_signal:
            self.process.terminate()
        else:
            self.process.stdin.close()
        self.process.wait(SECONDS)
        return time.monotonic() - began

    def tell(self, word: bytes) -> None:
        """Write a line to it, as the supervisor does."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + b"\n")
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.poll() is None:
            for pid in children(self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self.source.hang_up()


def children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has ended meanwhile
                found += map(int, file.read_text().split())
    return found


@contextmanager
def running(
    folder: Path, source: type[Source] = Source, encoder: str = "libx264", **changed: Any
) -> Iterator[Running]:
    folder.mkdir()
    values: dict[str, Any] = SMALL | changed
    process = Running(folder, Settings(**values), source, encoder)
    try:
        yield process
    finally:
        process.close()


# --- what a player finds ------------------------------------------------------------------------


def samples_of(copy: Copy, data: bytes) -> list[Sample]:
    """The samples of segments or parts, by our own reader."""
    defaults = read_sample_defaults(read_init(copy.init)[1])
    boxes = list(BoxStream().feed(data))
    pairs = zip(boxes[::2], boxes[1::2], strict=True)
    return [sample for moof, mdat in pairs for sample in read_fragment(moof, mdat, defaults)]


def check_rules_27_54(copy: Copy, frame_ticks: int) -> None:
    """Times go on from frame to frame over parts and segments; a segment is its parts."""
    first, last = min(copy.segments), max(copy.segments)
    assert list(copy.segments) == list(range(first, last + 1))
    samples = samples_of(copy, b"".join(copy.segments.values()))
    assert [s.dts_ticks for s in samples] == [n * frame_ticks for n in range(len(samples))]
    for msn, data in copy.segments.items():
        kept = [part for key, part in sorted(copy.parts.items()) if key[0] == msn]
        assert not kept or b"".join(kept) == data


def flashes(copy: Copy, running: Running) -> list[float]:
    """Decode all pictures; the instants at which it becomes bright."""
    timing, found, was_bright = running.timing, [], False
    frames, keys = 0, []
    with av.open(io.BytesIO(copy.init + b"".join(copy.segments.values())), "r") as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (320, 180)
        assert stream.time_base is not None
        for frame in container.decode(stream):
            assert frame.pts is not None
            assert frame.pts == frames * timing.video.frame_ticks
            keys += [frames] if frame.key_frame else []
            bright = frame.to_ndarray(format="gray").mean() > 150
            if bright and not was_bright:
                found.append(float(frame.pts * stream.time_base))
            was_bright, frames = bool(bright), frames + 1
    assert frames == len(copy.segments) * timing.segment_frames
    assert set(range(0, frames, timing.segment_frames)) <= set(keys)  # rule 55
    return found


def beeps(copy: Copy, running: Running) -> list[float]:
    """Decode all sound; the instants at which it becomes loud."""
    pieces: list[NDArray[np.float32]] = []
    heard = 0
    with av.open(io.BytesIO(copy.init + b"".join(copy.segments.values())), "r") as container:
        stream = container.streams.audio[0]
        if stream.codec_context.name == "opus":  # the decoder drops the pre-skip that dOps tells
            heard = SOUND_CODECS["opus"].priming_samples
            pieces.append(np.zeros(heard, np.float32))
        for frame in container.decode(stream):
            assert frame.pts == heard  # no gap, no overlap
            pieces.append(frame.to_ndarray()[0])
            heard += frame.samples
    frame_samples = running.timing.audio.frame_ticks
    assert heard == running.timing.audio.segment_start(len(copy.segments)) * frame_samples
    loud = np.flatnonzero(np.abs(np.concatenate(pieces)) > 0.1)
    starts = loud[np.diff(loud, prepend=-(10**9)) > running.media.audio_rate_hz // 5]
    return [float(start) / running.media.audio_rate_hz for start in starts]


def check_lip_sync(seen: list[float], heard: list[float], after: float = 0.0) -> None:
    """Rule 58: flash and beep within an AAC frame, the encoder's priming counted."""
    first = next(at for at in seen if at > after) - 0.1  # between two pairs
    seen, heard = ([at for at in times if at > first] for times in (seen, heard))
    end = min(seen[-1], heard[-1]) + 0.1  # one rendition can be a segment ahead
    seen, heard = ([at for at in times if at < end] for times in (seen, heard))
    assert len(seen) == len(heard) >= 2
    assert all(abs(a - b) < 1024 / 48_000 for a, b in zip(seen, heard, strict=True))


def check_rules_47_56(encoder: Running) -> None:
    """The multivariant playlist says what ffmpeg's own init segments say."""
    video, _moov = read_init(encoder.copy("v0").init)
    audio, _moov = read_init(encoder.copy("a0").init)
    assert re.fullmatch(r"avc1\.6400[0-3][0-9a-f]", video.codecs)  # High, a level for its size
    assert (video.width, video.height, video.timescale_hz) == (320, 180, 90_000)
    assert (audio.codecs, audio.timescale_hz) == ("mp4a.40.2", encoder.media.audio_rate_hz)
    text = (encoder.folder / "index.m3u8").read_text("utf-8")
    assert f'CODECS="{video.codecs},{audio.codecs}",RESOLUTION=320x180,FRAME-RATE=25.000' in text


def check_all(running: Running, after: float = 0.0) -> None:
    """What must hold of any stream at any time; lip sync from an instant on."""
    video, audio = running.copy("v0"), running.copy("a0")
    check_rules_27_54(video, running.timing.video.frame_ticks)
    check_rules_27_54(audio, 1024)
    check_lip_sync(flashes(video, running), beeps(audio, running), after)


# --- a stream that nothing happens to -----------------------------------------------------------


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is short enough for a socket."""
    return tmp_path_factory.mktemp("s")


def test_a_stream_is_live_within_three_seconds(short: Path) -> None:
    """The best of three starts: the others had to share the machine."""
    seconds: list[float] = []
    while not (seconds and min(seconds) < 3) and len(seconds) < 3:
        with running(short / f"start{len(seconds)}") as encoder:
            seconds.append(encoder.live_after_seconds)
    assert min(seconds) < 3, seconds


def test_a_steady_stream(short: Path) -> None:
    with running(short / "steady") as encoder:
        encoder.until_media(8)
        check_all(encoder)
        check_rules_47_56(encoder)
        figures = encoder.figures()
        assert (figures["state"], figures["source"]) == ("live", "connected")
        assert figures["encoder_restarts"] == figures["units_skipped"] == 0
        assert figures["disk_bytes"] < figures["disk_bound_bytes"]
        child = encoder.ffmpeg
        assert encoder.end() < 2  # its lifeline was cut
        assert encoder.process.returncode == 0
        assert not Path(f"/proc/{child}").exists()
        assert not encoder.folder.exists()
        assert not encoder.socket.exists()
        assert not encoder.state.exists()


def test_odd_parts_and_segments_stereo_at_44100_hz(short: Path) -> None:
    odd: dict[str, Any] = {"latency": "ultra", "segment_seconds": 1.5, "audio_rate_hz": 44_100}
    with running(short / "odd", **odd, audio_channels=2) as encoder:
        assert encoder.timing.segment_frames % 3 == 0
        encoder.until_media(7)
        check_all(encoder)


def test_sigterm_ends_the_process_and_leaves_the_media_to_viewers(short: Path) -> None:
    with running(short / "term") as encoder:
        encoder.until_media(4)
        child, listed = encoder.ffmpeg, encoder.position("v0").last_msn
        assert encoder.end(by_signal=True) < 2
        assert encoder.process.returncode == 0
        assert not Path(f"/proc/{child}").exists()
        assert encoder.position("v0").last_msn >= listed


def test_41_the_end_is_told_by_endlist_and_nothing_is_lost(short: Path) -> None:
    with running(short / "end") as encoder:
        encoder.until_media(4)
        before = encoder.hashes()
        encoder.tell(END_WORD)
        encoder.until(lambda: encoder.position("v0").ended and encoder.position("a0").ended)
        for name in ("v0", "a0"):
            text = (encoder.folder / name / "media.m3u8").read_text()
            assert text.endswith("#EXT-X-ENDLIST\n")
            assert "PRELOAD-HINT" not in text  # 9
        after = encoder.hashes()
        media = {uri: digest for uri, digest in before.items() if ".m3u8" not in uri}
        assert media.items() <= after.items()
        check_rules_27_54(encoder.copy("v0"), encoder.timing.video.frame_ticks)
        check_rules_27_54(encoder.copy("a0"), 1024)
        encoder.until(lambda: encoder.figures()["state"] == "ended")
        figures = encoder.figures()
        assert round(figures["media_seconds"] * 25) == figures["units_fed"], "all that was fed"
        assert encoder.end() < 2
        assert not encoder.folder.exists()


# --- faults -------------------------------------------------------------------------------------


def test_a_killed_ffmpeg_leaves_no_gap_and_changes_nothing_published(short: Path) -> None:
    with running(short / "kill") as encoder:
        encoder.until_media(4)
        before, at = encoder.hashes(), encoder.position("v0")
        child = encoder.ffmpeg
        os.kill(child, signal.SIGKILL)
        encoder.until_replaced(child)
        encoder.until_media(10)
        after = encoder.hashes()
        assert {file: after.get(file) for file in before} == before
        assert encoder.position("v0").last_msn > at.last_msn
        check_all(encoder, after=7)
        figures = encoder.figures()
        assert (figures["encoder_restarts"], figures["units_skipped"]) == (1, 0)
        assert "DISCONTINUITY" not in encoder.playlist(
            "v0"
        )  # same parameters, times go on: none is needed


def test_a_stopped_ffmpeg_is_replaced_and_the_stream_catches_up(short: Path) -> None:
    with running(short / "stop") as encoder:
        encoder.until_media(4)
        media_before, at = encoder.figures()["media_seconds"], time.monotonic()
        child = encoder.ffmpeg
        os.kill(child, signal.SIGSTOP)
        newest = 0.0

        def is_replaced() -> bool:
            # What is newest while there is no other child is the old one's, and was published no
            # later than its last output came.
            nonlocal newest
            seen = max(file.stat().st_mtime for file in encoder.folder.rglob("[!.]*.m4s"))
            if [pid for pid in children(encoder.process.pid) if pid != child]:
                return True
            newest = seen
            return False

        encoder.until(is_replaced)
        silent = time.time() - newest
        assert (SILENT_NS + STILL_NS) / NANOSECONDS < silent < 3 * slowness()
        assert not Path(f"/proc/{child}").exists()  # reaped, though it could not act on SIGTERM
        encoder.until_media(12)
        grown = encoder.figures()["media_seconds"] - media_before
        assert grown > time.monotonic() - at - 1.2  # figures are written twice a second
        check_all(encoder, after=9)
        assert encoder.figures()["units_skipped"] == 0


def test_a_source_may_go_and_come_back(short: Path) -> None:
    with running(short / "back") as encoder:
        encoder.until_media(4)
        encoder.source.hang_up()
        encoder.until(lambda: encoder.figures()["source"] == "waiting")
        msn = encoder.position("v0").last_msn
        encoder.until(lambda: encoder.position("v0").last_msn > msn)  # pictures go on without it
        encoder.source = Source(encoder.socket, encoder.media)
        encoder.until_media(12)
        check_all(encoder, after=9)
        figures = encoder.figures()
        assert figures["source"] == "connected"
        assert figures["encoder_restarts"] == figures["units_skipped"] == 0
        assert figures["units_repeated"] > 25


def stand_in(folder: Path, body: str) -> str:
    """A script in ffmpeg's place; ``$REAL`` is the real one."""
    folder.mkdir()
    script = folder / "ffmpeg"
    script.write_text(f"#!/bin/sh\nREAL='{find_ffmpeg('').path}'\n{body}")
    script.chmod(0o755)
    return str(script)


def test_a_slow_start_is_no_overload(short: Path) -> None:
    """NVENC takes a second to open; that second is caught up, not given up."""
    script = stand_in(short / "slow-bin", '[ "$1" = -version ] || sleep 1\nexec "$REAL" "$@"\n')
    with running(short / "slow", ffmpeg=script) as encoder:
        encoder.until_media(6)
        check_all(encoder)
        assert encoder.figures()["units_skipped"] == 0


def test_an_ffmpeg_that_is_gone_ends_the_stream_with_an_error(short: Path) -> None:
    """Better than a stream that stands still: the supervisor hears of it."""
    script = Path(stand_in(short / "gone-bin", 'exec "$REAL" "$@"\n'))
    with running(short / "gone", ffmpeg=str(script)) as encoder:
        script.unlink()
        os.kill(encoder.ffmpeg, signal.SIGKILL)
        assert encoder.process.wait(SECONDS) == 1
        assert str(script) in encoder.log.read_text().splitlines()[-1]


def test_the_end_need_not_wait_for_a_restart(short: Path) -> None:
    """Each further restart waits longer; who stops the stream does not."""
    with running(short / "often") as encoder:
        child = 0
        for _ in range(6):
            encoder.until_replaced(child)
            encoder.until_more_media()  # an encoder that gave nothing is another matter
            child = encoder.ffmpeg
            os.kill(child, signal.SIGKILL)
        encoder.until(lambda: not children(encoder.process.pid))  # the next would come in 3.2 s
        assert encoder.end(by_signal=True) < 2
        assert encoder.process.returncode == 0


def test_a_last_word_with_the_first_is_heard(short: Path) -> None:
    """A stream that is ended as soon as it was begun: both lines lie in the pipe at once."""
    spec = StreamSpec(
        "t", str(short / "w.sock"), str(short / "w"), str(short / "w.json"), "libx264"
    )
    values: dict[str, Any] = SMALL | {"ended_seconds": 0.0}
    settings = Settings(**values)
    process = subprocess.Popen(
        [sys.executable, "-m", "encoder"],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | settings.to_environment(),
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(spec)).encode() + b"\n" + END_WORD + b"\n")
    process.stdin.flush()
    try:
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
