"""What viewers see while the media root, or the place of one stream alone, is full or read-only, or
no file can be opened."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome

from tests.browser.watching import until
from tests.faults.viewers import Audience, Follower, Row, check
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.faults

SIZE = ("--width", "640", "--height", "360")
# Three streams, each grown to its bound.
ROOM = "size=40m"
OUTAGE_SECONDS = 5.0
# For what is polled; how soon viewers see it again is measured by the row.
SOON_SECONDS = 15.0
OTHER, OWN = "other", "own"
# A part each fifth of a second; what a viewer's buffer does not show.
OTHERS_WAIT_SECONDS = 0.6


@dataclass
class Place:
    """A service whose media root is a file system of its own."""

    mount: Path
    service: Service
    audience: Audience
    other: Follower  # of another stream of the same service

    def figures(self, stream: str = "demo") -> dict[str, Any]:
        answer = requests.get(f"{self.service.url}/api/streams/{stream}", timeout=5)
        figures: dict[str, Any] = answer.json()
        return figures

    def encoder(self, stream: str = "demo") -> int:
        """Its encoder process."""
        processes = self.figures(stream)["processes"]
        (pid,) = (child["pid"] for child in processes if child["name"] == "encoder")
        return int(pid)

    def ready(self) -> requests.Response:
        return requests.get(f"{self.service.url}/readyz", timeout=5)

    def stale(self) -> set[str]:
        """The streams for which the service is not ready."""
        return set(self.ready().json()["stale"])

    def check_says_so(self, why: str) -> None:
        """State, event and /readyz tell that the stream cannot write, and why."""
        until("blocked", lambda: self.figures().get("state") == "blocked", SOON_SECONDS)
        assert why in self.figures()["reason"]
        assert any("stream_blocked" in line and why in line for line in self.service.log)
        until("not ready", lambda: self.ready().status_code == 503, SOON_SECONDS)
        assert requests.get(f"{self.service.url}/healthz", timeout=5).ok

    def check_well_again(self) -> None:
        until("live", lambda: self.figures().get("state") == "live", SOON_SECONDS)
        until("the other too", lambda: self.figures(OTHER).get("state") == "live", SOON_SECONDS)
        until("ready", lambda: self.ready().ok, SOON_SECONDS)
        partials = list(self.mount.rglob(".partial-*.m4s"))
        assert partials == []


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A small tmpfs; only root may mount one, and without it these faults cannot be made."""
    folder.mkdir()
    if os.getuid() != 0:
        pytest.fail("a full file system can be tested as root only: it has to be mounted")
    subprocess.run(["mount", "-t", "tmpfs", "-o", ROOM, "lipstream-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def place(viewer: Chrome, rows: Path | None) -> Iterator[Place]:
    with (
        temporary_media_root() as folder,
        mounted(Path(folder) / "m") as mount,
        Service(mount / "media", SIZE) as service,
        Audience(service.url, viewer, rows) as audience,
    ):
        yield Place(mount, service, audience, other_stream(service))


def make_stream(service: Service, name: str) -> None:
    size = {"width": 320, "height": 180, "ladder": "single"}
    wish: dict[str, Any] = {"id": name, "source": {"type": "testcard"}, **size}
    made = requests.post(f"{service.url}/api/streams", json=wish, timeout=5)
    made.raise_for_status()
    assert requests.get(service.url + made.json()["playback"]["hls"], timeout=10).ok


def other_stream(service: Service) -> Follower:
    """A second one, and who follows it; both end with the service."""
    make_stream(service, OTHER)
    follower = Follower(f"{service.url}/live/{OTHER}/v0/media.m3u8")
    follower.start()
    return follower


def test_the_media_root_is_full(place: Place) -> None:
    ballast = place.mount / "ballast"
    with place.audience.row(f"tmpfs full for {OUTAGE_SECONDS:g} s") as row:
        began = time.monotonic()
        fill(ballast)
        place.check_says_so("No space left on device")
        until("the other too", lambda: place.figures(OTHER)["state"] == "blocked", SOON_SECONDS)
        time.sleep(max(0.0, began + OUTAGE_SECONDS - time.monotonic()))
        ballast.unlink()
    check(row.seen, freeze=OUTAGE_SECONDS + 2, discontinuities=1, restarts=1)
    place.check_well_again()


def test_the_media_root_is_read_only(place: Place) -> None:
    with place.audience.row(f"media root read-only for {OUTAGE_SECONDS:g} s") as row:
        began = time.monotonic()
        remount(place.mount, "ro")
        place.check_says_so("Read-only file system")
        until("the other too", lambda: place.figures(OTHER)["state"] == "blocked", SOON_SECONDS)
        time.sleep(max(0.0, began + OUTAGE_SECONDS - time.monotonic()))
        remount(place.mount, "rw")
    check(row.seen, freeze=OUTAGE_SECONDS + 2, discontinuities=1, restarts=1)
    place.check_well_again()


def fill(path: Path) -> None:
    """Until not one page is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def remount(mount: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", mount], check=True)


def alone(
    place: Place, row: Row, *, fail: Callable[[], None], mend: Callable[[], None], why: str
) -> None:
    """A fault of one stream: it says so, the other lives on, and who follows that sees nothing."""
    place.other.take_broken()
    began = time.monotonic()
    others: set[str] = set()
    try:
        fail()
        place.check_says_so(why)
        until("it alone is not ready", lambda: place.stale() == {"demo"}, SOON_SECONDS)
        while time.monotonic() < began + OUTAGE_SECONDS:
            others.add(place.figures(OTHER)["state"])
            time.sleep(0.25)
    finally:
        mend()
    gap = place.other.longest_gap(began)
    row.note = f"another stream: {gap:.2f} s between two parts at most"
    if gap > OTHERS_WAIT_SECONDS:
        row.late = row.note
    assert others == {"live"}
    assert place.other.take_broken() == []


def test_no_descriptor_is_left(place: Place) -> None:
    """The limit is a process's own."""
    encoder = place.encoder()
    before = resource.prlimit(encoder, resource.RLIMIT_NOFILE)
    exhausted = partial(
        alone,
        place,
        fail=lambda: set_descriptors(encoder, (3, before[1])),
        mend=lambda: set_descriptors(encoder, before),
        why="Too many open files",
    )
    name, outage = f"no file descriptors for {OUTAGE_SECONDS:g} s", OUTAGE_SECONDS + 2
    place.audience.promise(name, exhausted, freeze=outage, discontinuities=1, restarts=1)
    place.check_well_again()


def set_descriptors(process: int, limits: tuple[int, int]) -> None:
    resource.prlimit(process, resource.RLIMIT_NOFILE, limits)


def test_the_folder_of_one_stream_is_read_only(place: Place) -> None:
    folder = place.mount / "media/live/demo"
    read_only = partial(
        alone,
        place,
        fail=lambda: lock(folder),
        mend=lambda: run("umount", "--lazy", folder),
        why="Read-only file system",
    )
    name = f"one stream's folder read-only for {OUTAGE_SECONDS:g} s"
    outage = OUTAGE_SECONDS + 2
    place.audience.promise(name, read_only, freeze=outage, discontinuities=1, restarts=1)
    place.check_well_again()


def lock(folder: Path) -> None:
    """Through a mount of its own: below it nothing can be written, beside it everything."""
    run("mount", "--bind", folder, folder)
    # The kernel refuses while a file is just being written.
    again = ["mount", "-o", "remount,bind,ro", str(folder)]
    until("it is read-only", lambda: not subprocess.run(again, check=False).returncode, 5)


def run(*words: str | Path) -> None:
    subprocess.run(words, check=True)


def test_the_place_of_one_stream_is_full(place: Place) -> None:
    """A stream whose folder is a file system of its own takes no room from others."""

    def fill_up(_row: Row) -> None:
        fill(room / "ballast")
        until("blocked", lambda: place.figures(OWN)["state"] == "blocked", SOON_SECONDS)
        assert "No space left on device" in place.figures(OWN)["reason"]
        until("it alone is not ready", lambda: place.stale() == {OWN}, SOON_SECONDS)
        assert [place.figures(name)["state"] for name in ("demo", OTHER)] == ["live"] * 2
        (room / "ballast").unlink()
        until("live again", lambda: place.figures(OWN)["state"] == "live", SOON_SECONDS)

    with mounted(place.mount / "media/live" / OWN) as room, stream(place.service, OWN):
        until("live", lambda: place.figures(OWN)["state"] == "live", SOON_SECONDS)
        place.audience.promise("another stream's own tmpfs full", fill_up)
    place.check_well_again()


@contextlib.contextmanager
def stream(service: Service, name: str) -> Iterator[None]:
    """For the block, and nothing is left of it."""
    make_stream(service, name)
    url = f"{service.url}/api/streams/{name}"
    try:
        yield
    finally:
        for _ in range(2):  # said again, what can still be watched goes at once
            requests.delete(url, timeout=5)
        until("gone", lambda: requests.get(url, timeout=5).status_code == 404, SOON_SECONDS)
