"""What viewers see while the media root is full, read-only, or no file can be opened."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome

from tests.browser.watching import until
from tests.faults.viewers import Audience, check
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.faults

SIZE = ("--width", "640", "--height", "360")
ROOM = "size=32m"
OUTAGE_SECONDS = 5.0


@dataclass
class Place:
    """A service whose media root is a file system of its own."""

    mount: Path
    service: Service
    audience: Audience

    def figures(self) -> dict[str, Any]:
        answer = requests.get(f"{self.service.url}/api/streams/demo", timeout=5)
        figures: dict[str, Any] = answer.json()
        return figures

    def ready(self) -> requests.Response:
        return requests.get(f"{self.service.url}/readyz", timeout=5)

    def check_says_so(self, why: str) -> None:
        """State, event and /readyz tell that the stream cannot write, and why."""
        until("blocked", lambda: self.figures().get("state") == "blocked", 5)
        assert why in self.figures()["reason"]
        assert any("stream_blocked" in line and why in line for line in self.service.log)
        until("not ready", lambda: self.ready().status_code == 503, 5)
        assert requests.get(f"{self.service.url}/healthz", timeout=5).ok

    def check_well_again(self) -> None:
        until("live", lambda: self.figures().get("state") == "live", 5)
        until("ready", lambda: self.ready().ok, 5)
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
        yield Place(mount, service, audience)


def test_the_media_root_is_full(place: Place) -> None:
    ballast = place.mount / "ballast"
    with place.audience.row(f"tmpfs full for {OUTAGE_SECONDS:g} s") as row:
        began = time.monotonic()
        fill(ballast)
        place.check_says_so("No space left on device")
        time.sleep(max(0.0, began + OUTAGE_SECONDS - time.monotonic()))
        ballast.unlink()
    check(row.seen, freeze=OUTAGE_SECONDS + 2, discontinuities=1, restarts=1)
    place.check_well_again()


def test_the_media_root_is_read_only(place: Place) -> None:
    with place.audience.row(f"media root read-only for {OUTAGE_SECONDS:g} s") as row:
        began = time.monotonic()
        remount(place.mount, "ro")
        place.check_says_so("Read-only file system")
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


def test_no_descriptor_is_left(place: Place) -> None:
    encoder = place.service.find("-m encoder")
    before = resource.prlimit(encoder, resource.RLIMIT_NOFILE)
    with place.audience.row(f"no file descriptors for {OUTAGE_SECONDS:g} s") as row:
        began = time.monotonic()
        resource.prlimit(encoder, resource.RLIMIT_NOFILE, (3, before[1]))
        place.check_says_so("Too many open files")
        time.sleep(max(0.0, began + OUTAGE_SECONDS - time.monotonic()))
        resource.prlimit(encoder, resource.RLIMIT_NOFILE, before)
    check(row.seen, freeze=OUTAGE_SECONDS + 2, discontinuities=1, restarts=1)
    place.check_well_again()
