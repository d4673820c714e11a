"""What viewers see while ffmpeg, its hardware, the source or the encoder process fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome

from server.child import HEALTHY_SECONDS
from tests.browser.watching import until
from tests.faults import lips, stand_in
from tests.faults.media_time import check_media_time
from tests.faults.viewers import Audience, Follower, Row, check
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.faults

WIDTH, HEIGHT, FPS, RATE_HZ = 640, 360, 25, 48_000
SIZE = ("--width", str(WIDTH), "--height", str(HEIGHT))
# No output and no work for 0.7 s, or no output for 1.2 s; and the end of the hung one.
NOTICED_SECONDS = 1.4
# Rule 58 within a frame.
IN_SYNC_SECONDS = 0.04


@dataclass
class Stage:
    """A service whose source and ffmpeg do what a test orders."""

    service: Service
    orders: Path
    source: subprocess.Popen[bytes]
    audience: Audience
    # Since when its encoder process is at work at least. How old the process is does not tell: it
    # may have waited in reserve.
    encoder_since: float = field(default_factory=time.monotonic)

    def order(self, what: str) -> None:
        (self.orders / what).touch()

    def figures(self) -> dict[str, Any]:
        answer = requests.get(f"{self.service.url}/api/streams/demo", timeout=5)
        figures: dict[str, Any] = answer.json()
        return figures

    def index(self) -> str:
        return requests.get(f"{self.service.url}/live/demo/index.m3u8", timeout=5).text

    def logged(self, name: str) -> dict[str, Any]:
        """The newest event of that name in the service's log."""
        lines = [line for line in self.service.log if f'"event": "{name}"' in line]
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    @property
    def ffmpeg(self) -> int:
        """The stand-in that encodes now."""
        return self.service.find("rawvideo")

    def note_new_encoder(self) -> None:
        """A row has killed the process, and another one is in its place."""
        self.encoder_since = time.monotonic()

    def start_source(self) -> None:
        self.source = flasher(self.service, self.orders)

    def check_lips(self) -> None:
        """From now on, flash and beep come together."""
        video, audio = self.audience.followers
        first = 1 + max(video.last_msn, audio.last_msn)
        self.audience.wait_until_segment(first + 1)
        found = lips.offsets(video, audio, first)
        assert max(abs(offset) for offset in found) <= IN_SYNC_SECONDS, found


def flasher(service: Service, folder: Path) -> subprocess.Popen[bytes]:
    socket = service.media_root / "run" / "demo.sock"
    argv = [sys.executable, "-m", "tests.faults.flasher", str(socket), str(folder)]
    return subprocess.Popen([*argv, *(str(n) for n in (WIDTH, HEIGHT, FPS, RATE_HZ))])


@pytest.fixture(scope="module")
def stage(viewer: Chrome, rows: Path | None) -> Iterator[Stage]:
    with temporary_media_root() as folder:
        program = stand_in.install(Path(folder) / "bin")
        flags = (*SIZE, "--source", "ingest", "--ffmpeg", str(program))
        with Service(Path(folder) / "media", flags) as service:
            source = flasher(service, program.parent)
            with Audience(service.url, viewer, rows) as audience:
                made = Stage(service, program.parent, source, audience)
                yield made
                made.source.kill()
                made.source.wait()


def test_the_hardware_encoder_breaks(stage: Stage) -> None:
    """First of all: software takes over at the same size, and stays."""
    assert stage.figures()["encoder"] == stand_in.PRETENDED
    until("what else works is known", lambda: "encoder-trials" not in threads(stage), 20)
    before = stage.index()
    with stage.audience.row("hardware encoder fails for good") as row:
        stage.order("broken")
        os.kill(stage.ffmpeg, signal.SIGKILL)
    check(row.seen, discontinuities=1)
    figures = stage.figures()
    assert (figures["encoder"], figures["encoder_changes"]) == ("libx264", {"ended": 1})
    assert figures["state"] == "live"
    assert any("encoder_changed" in line and "libx264" in line for line in stage.service.log)
    assert "no encode device" in figures["encoder_failures"][-1]["stderr"][-1]
    after = stage.index()
    assert re.findall(r"RESOLUTION=\w+", before) == re.findall(r"RESOLUTION=\w+", after)
    for follower in stage.audience.followers:
        check_new_era(follower)
    stage.check_lips()


def test_the_broken_encoder_is_for_new_streams_to_try_again(stage: Stage) -> None:
    """Not for the next process of this one, though the circuit could be well again."""
    assert stage.figures()["encoders_given_up"] == [stand_in.PRETENDED]
    (stage.orders / "broken").unlink()
    time.sleep(1)  # two beats, by which the supervisor knows
    killed = stage.service.find("-m encoder")
    with stage.audience.row("encoder process killed (-9) after the takeover") as row:
        os.kill(killed, signal.SIGKILL)
    stage.note_new_encoder()
    check(row.seen, freeze=3.0, discontinuities=1)
    assert stage.service.find("-m encoder") != killed
    figures = stage.figures()
    assert (figures["encoder"], figures["state"]) == ("libx264", "live")
    assert figures["encoders_given_up"] == [stand_in.PRETENDED]
    stage.check_lips()


def check_new_era(follower: Follower) -> None:
    """Rules 14, 16, 18: a new init segment and a right PDT, from one segment on."""
    assert follower.newest is not None
    segments = follower.newest.every
    (place,) = [n for n, segment in enumerate(segments) if segment.discontinuity]
    assert len({segment.map_uri for segment in segments[:place]}) == 1
    assert len({segment.map_uri for segment in segments[place:]}) == 1
    assert segments[place].map_uri != segments[place - 1].map_uri
    newest = segments[-1]
    assert newest.wall is not None
    behind = time.time() - float(newest.wall)
    assert 0 < behind < 5, "its first picture is as old as it says"


def threads(stage: Stage) -> str:
    names = []
    for task in Path(f"/proc/{stage.service.find('-m encoder')}/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            names.append(task.read_text())
    return " ".join(names)


# Before the others: each failure within a minute makes the next restart wait longer.
def test_ffmpeg_hangs(stage: Stage) -> None:
    hung: list[list[int]] = []
    before = stage.figures()["encoder_restarts_by_reason"]["stuck"]

    def hang(row: Row) -> None:
        pids = stage.service.below(stage.ffmpeg)  # stand-in and ffmpeg, as one program would be
        hung.append(pids)
        began = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        stage.audience.wait_for_segments(3)
        noticed = stage.logged("encoder_ended")["time"] - began
        if noticed > NOTICED_SECONDS:
            row.late = f"noticed after {noticed:.2f} s"

    stage.audience.promise("ffmpeg hangs (SIGSTOP)", hang)
    assert stage.figures()["encoder_restarts_by_reason"]["stuck"] == before + len(hung)
    assert stage.service.still_alive([pid for pids in hung for pid in pids]) == []
    stage.check_lips()


def test_ffmpeg_hangs_and_its_encoder_process_is_killed(stage: Stage) -> None:
    """It does not notice that its pipes have ended; nobody but the supervisor can end it."""
    hung = stage.service.below(stage.ffmpeg)
    with stage.audience.row("ffmpeg hangs (SIGSTOP), its process is killed (-9)") as row:
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        os.kill(stage.service.find("-m encoder"), signal.SIGKILL)
        until("none is left", lambda: not stage.service.still_alive(hung), 5)
    stage.note_new_encoder()
    check(row.seen, freeze=3.0, discontinuities=1)
    stage.check_lips()


def test_ffmpeg_killed(stage: Stage) -> None:
    with stage.audience.row("ffmpeg killed (-9)") as row:
        os.kill(stage.ffmpeg, signal.SIGKILL)
    check(row.seen)
    stage.check_lips()


def test_ffmpeg_exits(stage: Stage) -> None:
    before = stage.figures()["encoder_restarts_by_reason"]["ended"]
    with stage.audience.row("ffmpeg exits by itself") as row:
        stage.order("exit")
    check(row.seen)
    figures = stage.figures()
    assert figures["encoder_restarts_by_reason"]["ended"] == before + 1
    last = figures["encoder_failures"][-1]
    assert (last["status"], last["reason"]) == (1, "ended")
    assert any("malloc of size" in line for line in last["stderr"]), last["stderr"]
    assert "rawvideo" in last["argv"]
    stage.check_lips()


def test_ffmpeg_writes_garbage(stage: Stage) -> None:
    with stage.audience.row("ffmpeg writes garbage") as row:
        stage.order("garbage")
    check(row.seen)
    assert stage.figures()["encoder_restarts_by_reason"]["garbage"] == 1
    stage.check_lips()


def test_the_source_is_killed(stage: Stage) -> None:
    def kill(_row: Row) -> None:
        stage.source.kill()
        stage.source.wait()
        time.sleep(3)
        stage.start_source()

    stage.audience.promise("source killed (-9), back after 3 s", kill, freeze=0.5)
    stage.check_lips()


def test_the_source_hangs(stage: Stage) -> None:
    def hang(_row: Row) -> None:
        stage.source.send_signal(signal.SIGSTOP)
        time.sleep(4)
        stage.source.send_signal(signal.SIGCONT)

    stage.audience.promise("source hangs for 4 s (SIGSTOP)", hang, freeze=0.5)
    stage.check_lips()


def test_the_source_is_slower_than_real_time(stage: Stage) -> None:
    def slow_down(_row: Row) -> None:
        stage.order("slow")
        time.sleep(6)
        (stage.orders / "slow").unlink()

    stage.audience.promise("source gives 5 of 25 fps for 6 s", slow_down, freeze=0.5)
    stage.check_lips()


def test_the_encoder_process_is_killed(stage: Stage) -> None:
    """One that was well: the rows before have made the supervisor wait longer each time."""
    # Beats come each half second; what the newest told of the stream counts.
    is_well = lambda: time.monotonic() - stage.encoder_since > HEALTHY_SECONDS + 2  # noqa: E731
    until("it has run for a healthy minute", is_well, HEALTHY_SECONDS + 5)
    with stage.audience.row("encoder process killed (-9)") as row:
        os.kill(stage.service.find("-m encoder"), signal.SIGKILL)
    stage.note_new_encoder()
    check(row.seen, freeze=3.0, discontinuities=1)
    for follower in stage.audience.followers:
        assert follower.newest is not None
        for segment in follower.newest.segments:
            url = follower.url.replace("media.m3u8", segment.uri)
            assert segment.gap or requests.get(url, timeout=5).ok, url  # 31
    stage.check_lips()


def test_the_machine_is_suspended(stage: Stage) -> None:
    """All processes stop for 30 s; what was missed is given up, not made up for."""
    before = stage.audience.video.last_msn
    with stage.audience.row("machine suspended for 30 s") as row:
        pids = [*stage.service.processes(), stage.source.pid]
        began = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(30)
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
        stage.audience.wait_for_segments(1, seconds=10)
        row.note = f"new segment {time.monotonic() - began - 30:.1f} s after waking"
    check(row.seen, freeze=34, discontinuities=1, fatal_errors=1, restarts=1)
    for follower in stage.audience.followers:
        assert follower.newest is not None
        newest = follower.newest.segments[-1]
        assert newest.wall is not None
        assert 0 < time.time() - float(newest.wall) < 6  # 14
        check_media_time(follower, before)
    stage.check_lips()
