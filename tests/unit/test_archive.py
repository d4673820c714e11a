"""Older segments leave tmpfs: what players can fetch stays, whatever the disk does."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.archive import Archive, Limits, archive_bound_bytes
from encoder.codecs import Track
from encoder.packager import (
    PLAYLIST_NAME,
    Calendar,
    Era,
    Layout,
    Past,
    Rendition,
    disk_bound_bytes,
)
from encoder.playlist import SegmentEntry
from encoder.playlist_reader import read_segments
from encoder.store import StreamStore
from encoder.timing import Timing, plan
from tests.unit.mounts import make_read_only, small_tmpfs
from tests.unit.samples import picture

KBIT = 100
LIVE, LISTED = 6, 20
SEGMENT_BYTES = KBIT * 125  # of one second


class Dvr:
    """A rendition with an archive on a real disk folder, and a player that forgets nothing."""

    def __init__(self, root: Path, disk: Path) -> None:
        self.timing: Timing = plan(
            fps=25, audio_rate_hz=48_000, part_seconds=0.2, segment_seconds=1
        )
        bound = archive_bound_bytes(self.timing, LISTED, [KBIT], 0)
        self.memory, self.disk = root / "live", disk
        self.store = StreamStore(
            self.memory, disk_bound_bytes(self.timing, LIVE, [KBIT], 0, LISTED - LIVE)
        )
        self.store.open(("v0",))
        self.archive = Archive(self.memory, disk, Limits(LIVE, bound))
        self.archive.open(("v0",))
        self.rendition = self.make_rendition(Past())
        # For each URI: its bytes, the media time it left the playlist, the longest playlist then.
        self.bytes: dict[str, bytes] = {}
        self.left: dict[str, Fraction] = {}
        self.longest: dict[str, Fraction] = {}
        self.listed: set[str] = set()
        self.first_msns: list[int] = []
        self.largest = 0

    def make_rendition(self, past: Past) -> Rendition:
        layout = Layout(self.timing, LISTED)
        first_msn = past.segments[-1].msn + 1 if past.segments else 1
        era = Era(first_msn, 1_790_000_000_000, f"r{first_msn}")
        calendar = Calendar(era, resumed=bool(past.segments))
        made = Rendition(
            "v0", self.timing.video, layout, calendar, self.store, past, archive=self.archive
        )
        made.set_init(b"init", Track("avc1.64001f", 90_000), era.run)
        return made

    @property
    def seconds(self) -> Fraction:
        return self.rendition.segmenter.next_frame * self.timing.video.frame_seconds

    def play(self, segments: int) -> None:
        """Feed so many seconds; after each the disk gets its time, and everything is looked at."""
        for _ in range(segments * 25):
            number = self.rendition.segmenter.next_frame
            ticks = self.timing.video.frame_ticks
            self.rendition.add(picture(number, 25, ticks, SEGMENT_BYTES // 25))
            if (number + 1) % 25 == 0:
                self.settle()
                self.look()

    def settle(self) -> None:
        """Until the disk has taken everything, or says that it does not."""
        deadline = time.monotonic() + 5
        while self.archive.figures()["waiting_files"] and not self.archive.figures()["reason"]:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def segments(self) -> tuple[SegmentEntry, ...]:
        return read_segments((self.memory / "v0" / PLAYLIST_NAME).read_text())[1]

    def fetch(self, uri: str) -> bytes | None:
        """As a web process looks: first in tmpfs, then on the disk."""
        for place in (self.memory, self.disk):
            try:
                return (place / "v0" / uri).read_bytes()
            except FileNotFoundError:
                continue
        return None

    def look(self) -> None:
        entries = [entry for entry in self.segments() if entry.uri]
        length = sum((entry.duration for entry in entries), Fraction())
        uris = {entry.uri for entry in entries}
        for uri in uris:
            data = self.fetch(uri)
            assert data, f"{uri} is listed (31)"
            assert self.bytes.setdefault(uri, data) == data
            self.longest[uri] = max(length, self.longest.get(uri, length))
        for uri in self.listed - uris:
            self.left[uri] = self.seconds
        for uri, left in self.left.items():
            if self.seconds < left + 1 + self.longest[uri]:
                assert self.fetch(uri) == self.bytes[uri], f"{uri} left the list (30)"
        self.listed = uris
        self.first_msns.append(entries[0].msn)
        assert self.first_msns == sorted(self.first_msns)  # 6
        assert entries[-1].msn - entries[0].msn + 1 == len(entries)
        assert len(entries) >= min(LIVE, entries[-1].msn)  # 7
        self.largest = max(self.largest, self.store.used_bytes)


@pytest.fixture(autouse=True)
def _all_events(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


@pytest.fixture
def dvr(tmp_path: Path) -> Iterator[Dvr]:
    made = Dvr(tmp_path, tmp_path / "disk")
    yield made
    made.archive.close()


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[Dvr]:
    """A disk with room for three windows: a segment takes four pages."""
    with small_tmpfs(tmp_path / "mount", f"{3 * LISTED * 16}k") as disk:
        made = Dvr(tmp_path, disk)
        yield made
        made.archive.close()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def whole_segments(folder: Path) -> set[int]:
    found = (re.fullmatch(r"r\d+-(\d+)\.m4s", name) for name in files(folder))
    return {int(match[1]) for match in found if match}


def test_a_long_window_with_a_short_one_in_memory(dvr: Dvr) -> None:
    dvr.play(3 * LISTED + 5)
    assert len(dvr.segments()) == LISTED
    # Those handed over last leave tmpfs with the next segment.
    assert len(whole_segments(dvr.memory)) <= LIVE + 1
    assert len(whole_segments(dvr.disk)) >= 2 * LISTED - LIVE - 1
    assert dvr.largest < disk_bound_bytes(dvr.timing, LIVE, [KBIT], 0, LISTED - LIVE)
    figures = dvr.archive.figures()
    assert (figures["state"], figures["waiting_files"], figures["reason"]) == ("ok", 0, "")
    assert figures["bytes"] == sum(path.stat().st_size for path in dvr.disk.rglob("*.m4s"))
    assert figures["bytes"] < figures["bound_bytes"]


def test_whatever_was_brought_to_the_disk_goes_again(dvr: Dvr) -> None:
    dvr.play(3 * LISTED)
    after = len(files(dvr.disk))
    dvr.play(LISTED)
    dvr.settle()
    assert abs(len(files(dvr.disk)) - after) <= 2


def test_a_moved_file_keeps_its_time(dvr: Dvr) -> None:
    """Last-Modified is part of the answer."""
    dvr.play(LIVE)
    times = {path.name: path.stat().st_mtime_ns for path in dvr.memory.rglob("*.m4s")}
    dvr.play(LIVE)
    moved = list(dvr.disk.rglob("*.m4s"))
    assert moved
    assert all(path.stat().st_mtime_ns == times.get(path.name) for path in moved[:1])
    assert sum(path.name in times for path in moved) >= LIVE - 1
    for path in moved:
        assert times.get(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns


def fill_up(ballast: Path) -> None:
    """Take all room that is left."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def test_a_full_disk_makes_the_window_short_and_room_makes_it_long_again(
    tight: Dvr, caplog: pytest.LogCaptureFixture
) -> None:
    tight.play(LISTED + LIVE)
    ballast = tight.disk / "of somebody else"
    fill_up(ballast)
    tight.play(LIVE - 1)  # those wait in tmpfs
    assert tight.archive.figures()["state"] == "waiting"
    assert "No space" in tight.archive.figures()["reason"]
    assert len(tight.segments()) == LISTED
    tight.play(4)
    assert tight.archive.figures()["state"] == "short"
    assert len(tight.segments()) == LIVE
    assert "dvr_short" in caplog.text
    ballast.unlink()
    until(lambda: not tight.archive.figures()["waiting_files"])  # it tries again by itself
    tight.play(LISTED + 1)
    assert tight.archive.figures()["state"] == "ok"
    assert "dvr_long_again" in caplog.text
    assert len(tight.segments()) == LISTED
    assert tight.largest < tight.store.limit_bytes


def test_a_read_only_disk_is_a_full_one(tight: Dvr) -> None:
    tight.play(LIVE + 3)
    make_read_only(tight.disk)
    tight.play(3 * LIVE)
    assert tight.archive.figures()["state"] == "short"
    assert "Read-only" in tight.archive.figures()["reason"]
    tight.play(2 * LISTED)
    assert len(tight.segments()) == LIVE
    assert tight.largest < tight.store.limit_bytes


def test_the_bound_is_kept(tmp_path: Path) -> None:
    source, disk = tmp_path / "live", tmp_path / "disk"
    (source / "v0").mkdir(parents=True)
    for number in range(3):
        (source / "v0" / f"{number}.m4s").write_bytes(b"a" * 1000)
    archive = Archive(source, disk, Limits(LIVE, 2500))
    archive.open(("v0",))
    for number in range(3):
        archive.take(f"v0/{number}.m4s")
    until(lambda: archive.figures()["reason"])
    assert files(disk) == {"0.m4s", "1.m4s"}
    assert archive.figures()["reason"] == "2500 bytes are the bound"
    archive.remove("v0/0.m4s")
    until(lambda: "2.m4s" in files(disk))
    assert archive.figures()["bytes"] == 2000
    archive.close()
    archive.delete()
    assert not disk.exists()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_next_process_goes_on_with_what_is_on_the_disk(dvr: Dvr) -> None:
    dvr.play(LISTED + 8)
    listed = dvr.segments()
    dvr.archive.close()
    partial = dvr.disk / "v0" / ".partial-torn.m4s"
    partial.write_bytes(b"torn")
    bound = archive_bound_bytes(dvr.timing, LISTED, [KBIT], 0)
    dvr.archive = Archive(dvr.memory, dvr.disk, Limits(LIVE, bound))
    dvr.archive.open(("v0",))
    assert not partial.exists()
    whole = tuple(entry for entry in listed if entry.uri)
    for entry in whole:
        dvr.archive.adopt(f"v0/{entry.uri}")
    dvr.rendition = dvr.make_rendition(Past(whole))
    began = dvr.first_msns[-1]
    dvr.left.clear()  # their time runs in the old process's clock
    dvr.play(3)
    assert len(dvr.segments()) == LISTED, "nothing was given up"
    assert dvr.first_msns[-1] == began + 3
    assert len(whole_segments(dvr.memory)) <= LIVE + 1
    dvr.archive.remove_leftovers()
    dvr.play(1)
    until(lambda: min(whole_segments(dvr.disk)) >= began)


def test_a_disk_that_is_not_there_yet(tmp_path: Path) -> None:
    """A next process may find the disk gone: the stream goes on, and so does the window later."""
    (tmp_path / "live/v0").mkdir(parents=True)
    (tmp_path / "live/v0/1.m4s").write_bytes(b"media")
    (tmp_path / "disk").write_text("something else")
    archive = Archive(tmp_path / "live", tmp_path / "disk", Limits(LIVE, 1000))
    archive.close()
    archive.open(("v0",))
    assert archive.figures()["reason"]
    archive = Archive(tmp_path / "live", tmp_path / "disk", Limits(LIVE, 1000))
    archive.open(("v0",))
    archive.take("v0/1.m4s")
    (tmp_path / "disk").unlink()
    until(lambda: not archive.figures()["reason"])
    assert (tmp_path / "disk/v0/1.m4s").read_bytes() == b"media"
    archive.close()


def test_closing_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    """A pipe that nobody writes to hangs whoever reads it, as a dead network disk does."""
    (tmp_path / "live" / "v0").mkdir(parents=True)
    os.mkfifo(tmp_path / "live" / "v0" / "1.m4s")
    archive = Archive(tmp_path / "live", tmp_path / "disk", Limits(LIVE, 1000))
    archive.open(("v0",))
    archive.take("v0/1.m4s")
    began = time.monotonic()
    for number in range(2, LIVE + 3):
        archive.take(f"v0/{number}.m4s")
    assert archive.is_short
    archive.close(0.1)
    assert time.monotonic() - began < 1
    os.close(os.open(tmp_path / "live" / "v0" / "1.m4s", os.O_RDWR))
