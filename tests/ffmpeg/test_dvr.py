"""A window much longer than what is in memory, as its viewers see it; and its recording as HLS."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pytest
import requests

from client.check import check
from client.verdicts import Level, Outcome
from encoder.disk_folder import archive_folder
from encoder.ffmpeg import find_ffmpeg
from encoder.playlist import SegmentEntry
from encoder.playlist_reader import read_segments
from tests.ffmpeg.test_check import failed
from tests.service import Service

pytestmark = pytest.mark.ffmpeg

RENDITIONS = ("v0", "v1", "a0")
IN_MEMORY, DVR_SECONDS = 6, 30
# Of one second, so that seconds are enough to see some move and some leave.
FLAGS = tuple(
    f"--segment-seconds 1 --window-segments {IN_MEMORY} --dvr-seconds {DVR_SECONDS} "
    "--width 320 --height 180 --video-kbit 200 --record hls".split()
)


@dataclass
class Viewer:
    """Fetches whatever is listed, and remembers all of it."""

    url: str
    first_msn: int  # of the stream
    bytes: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def playlist(self, rendition: str) -> str:
        answer = requests.get(f"{self.url}/{rendition}/media.m3u8", timeout=10)
        answer.raise_for_status()
        return answer.text

    def segments(self, rendition: str) -> list[SegmentEntry]:
        return [entry for entry in read_segments(self.playlist(rendition))[1] if entry.uri]

    def look(self) -> None:
        """Fetch what is new."""
        for rendition in RENDITIONS:
            for entry in self.segments(rendition):
                for uri in (entry.map_uri, entry.uri):
                    self.fetch(f"{rendition}/{uri}", again=False)

    def fetch(self, uri: str, *, again: bool = True) -> None:
        """Fetch a file; it must be what it was."""
        if uri in self.bytes and not again:
            return
        answer = requests.get(f"{self.url}/{uri}", timeout=10)
        assert answer.status_code == 200, uri
        headers = {name: answer.headers[name] for name in ("ETag", "Last-Modified", "Content-Type")}
        assert self.bytes.setdefault(uri, answer.content) == answer.content, uri
        assert self.headers.setdefault(uri, headers) == headers, uri

    def wait_for(self, rendition: str, msn: int, seconds: float = 60) -> None:
        """Look around until a segment is there."""
        deadline = time.monotonic() + seconds
        while self.segments(rendition)[-1].msn < msn:
            assert time.monotonic() < deadline
            self.look()
            time.sleep(0.5)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
def running(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("dvr") / "media"
    folders = ("--disk-folder", str(disk), "--record-folder", str(disk / "recorded"))
    with Service(root, (*FLAGS, *folders)) as service:
        yield service
    assert not archive_folder(str(disk), "demo").exists(), "media on the disk goes with the rest"


@pytest.fixture(scope="module")
def viewer(running: Service) -> Viewer:
    text = (running.media_root / "live/demo/v0/media.m3u8").read_text()
    return Viewer(f"{running.url}/live/demo", read_segments(text)[1][0].msn)


def decoded(source: str) -> str:
    """What ffmpeg has to say of all that it decodes."""
    argv = [find_ffmpeg("").path, "-v", "error", "-i", source, "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def moved(running: Service, disk: Path) -> set[str]:
    """Segments that are on the disk, and no more in memory."""
    memory = {path.name for path in (running.media_root / "live/demo/v0").glob("*.m4s")}
    on_disk = {path.name for path in (archive_folder(str(disk), "demo") / "v0").glob("*.m4s")}
    return on_disk - memory


def test_the_playlist_does_not_notice(running: Service, viewer: Viewer, disk: Path) -> None:
    viewer.wait_for("v0", viewer.first_msn + DVR_SECONDS + 3)
    assert len(viewer.segments("v0")) == DVR_SECONDS
    assert len(moved(running, disk)) >= DVR_SECONDS - IN_MEMORY - 2
    for uri in list(viewer.bytes):
        viewer.fetch(uri)  # after the move; those that left the playlist too (30)
    figures = requests.get(f"{running.url}/api/streams/demo", timeout=5).json()
    assert figures["dvr"]["listed_seconds"] == DVR_SECONDS
    assert figures["dvr"]["disk"]["state"] == "ok"
    assert 0 < figures["dvr"]["disk"]["bytes"] < figures["dvr"]["disk"]["bound_bytes"]
    assert figures["disk_bytes"] < figures["disk_bound_bytes"]


def test_no_rule_is_broken(running: Service) -> None:
    _seen, findings = check(f"{running.url}/live/demo/index.m3u8", 4, verify_tls=True)
    assert not failed(findings, Level.MUST)
    passed = {finding.rule for finding in findings if finding.outcome is Outcome.PASSED}
    assert {6, 7, 8, 24, 30, 42} <= passed


def test_a_killed_encoder_process_keeps_the_window(
    running: Service, viewer: Viewer, disk: Path
) -> None:
    viewer.look()
    before = viewer.segments("v0")
    os.kill(running.find("-m encoder"), signal.SIGKILL)
    viewer.wait_for("v0", before[-1].msn + 4)
    after = viewer.segments("v0")
    assert len(after) == DVR_SECONDS
    kept = {entry.msn: entry.uri for entry in before if entry.msn >= after[0].msn}
    assert len(kept) > DVR_SECONDS - 8
    assert kept.items() <= {entry.msn: entry.uri for entry in after}.items()
    for rendition in RENDITIONS:
        for entry in viewer.segments(rendition):
            viewer.fetch(f"{rendition}/{entry.uri}")
    assert len(moved(running, disk)) >= DVR_SECONDS - IN_MEMORY - 2


def test_the_end_leaves_the_whole_window_as_a_recording(running: Service, viewer: Viewer) -> None:
    requests.delete(f"{running.url}/api/streams/demo", timeout=5).raise_for_status()
    deadline = time.monotonic() + 10
    while not all(viewer.playlist(name).endswith("#EXT-X-ENDLIST\n") for name in RENDITIONS):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    text = (running.media_root / "live/demo/v0/media.m3u8").read_text()
    assert text.count("#EXTINF:") == DVR_SECONDS
    viewer.look()
    assert decoded(f"{viewer.url}/index.m3u8") == ""


def test_the_recording_holds_everything_that_was_on_the_air(
    running: Service, viewer: Viewer, disk: Path
) -> None:
    """From the first segment on, over the killed process; after the window had long moved on."""
    figures = requests.get(f"{running.url}/api/streams/demo", timeout=5).json()["recording"]
    (folder,) = (disk / "recorded").iterdir()
    assert (figures["state"], figures["path"]) == ("ended", str(folder))
    assert figures["bytes"] == pytest.approx(
        sum(path.stat().st_size for path in folder.rglob("*.*")), rel=0.02
    )
    for rendition in RENDITIONS:
        text = (folder / rendition / "media.m3u8").read_text()
        assert text.endswith("#EXT-X-ENDLIST\n")
        assert text.count("#EXT-X-DISCONTINUITY\n") == 1
        recorded = read_segments(text)[1]
        on_air = (running.media_root / "live/demo" / rendition / "media.m3u8").read_text()
        last = read_segments(on_air)[1][-1].msn
        assert [entry.msn for entry in recorded] == list(range(viewer.first_msn, last + 1))
        assert not any(entry.gap for entry in recorded)
        for entry in recorded:
            for uri in (entry.map_uri, entry.uri):
                seen = f"{rendition}/{uri}"
                viewer.fetch(seen, again=False)
                assert (folder / seen).read_bytes() == viewer.bytes[seen]
    assert decoded(str(folder / "index.m3u8")) == ""
    lengths = [_seconds(folder, rendition) for rendition in RENDITIONS]
    assert max(lengths) - min(lengths) < Fraction(1, 2)


def _seconds(folder: Path, rendition: str) -> Fraction:
    entries = read_segments((folder / rendition / "media.m3u8").read_text())[1]
    return sum((entry.duration for entry in entries), Fraction())
