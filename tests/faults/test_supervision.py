"""What viewers see of processes that are killed or hang, and what is left when the service is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome

from server.child import SILENT_SECONDS
from tests.browser.watching import until
from tests.faults.viewers import Audience, check
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.faults

SIZE = ("--width", "640", "--height", "360")
ORPHANS_END_SECONDS = 5.0


@dataclass
class Hall:
    """A service that plays its avatar, and who watches."""

    service: Service
    audience: Audience

    def restarts(self, process: str) -> dict[str, int]:
        """Of a process of the stream, by reason."""
        figures: dict[str, Any] = requests.get(
            f"{self.service.url}/api/streams/demo", timeout=5
        ).json()
        (found,) = [p["restarts"] for p in figures["processes"] if p["name"] == process]
        counts: dict[str, int] = found
        return counts


@pytest.fixture(scope="module")
def hall(viewer: Chrome, rows: Path | None) -> Iterator[Hall]:
    with (
        temporary_media_root() as folder,
        Service(Path(folder) / "media", SIZE) as service,
        Audience(service.url, viewer, rows) as audience,
    ):
        yield Hall(service, audience)


def test_the_inference_worker_is_killed(hall: Hall) -> None:
    killed = hall.service.find("-m inference")
    with hall.audience.row("inference worker killed (-9)") as row:
        os.kill(killed, signal.SIGKILL)
    check(row.seen, freeze=0.5)
    until("the face is back", lambda: hall.service.find("-m inference") != killed, 5)
    assert hall.restarts("inference") == {"SIGKILL": 1}


def test_the_inference_worker_hangs(hall: Hall) -> None:
    hung = hall.service.find("-m inference")
    with hall.audience.row("inference worker hangs (SIGSTOP)") as row:
        os.kill(hung, signal.SIGSTOP)
        until("it was replaced", lambda: not hall.service.still_alive([hung]), SILENT_SECONDS + 4)
    check(row.seen, freeze=0.5)
    until("counted", lambda: hall.restarts("inference").get("stuck") == 1, 5)


def test_the_encoder_process_hangs(hall: Hall) -> None:
    hung = hall.service.find("-m encoder")
    with hall.audience.row("encoder process hangs (SIGSTOP)") as row:
        os.kill(hung, signal.SIGSTOP)
        until("it was replaced", lambda: not hall.service.still_alive([hung]), SILENT_SECONDS + 4)
    check(row.seen, freeze=SILENT_SECONDS + 5, discontinuities=1, restarts=1)
    until("counted", lambda: hall.restarts("encoder") == {"stuck": 1}, 5)


def test_the_supervisor_is_killed(media_root: Path) -> None:
    """Nothing outlives it for long, no media stays, and the next service may come at once."""
    with Service(media_root, SIZE) as service:
        everything = service.processes()
        assert len(everything) > 4
        sessions = {os.getsid(pid) for pid in everything}
        began = time.monotonic()
        service.stop(signal.SIGKILL)
        with Service(media_root, SIZE) as successor:  # it waits for the folder
            assert service.still_alive(everything) == [], "what writes there has ended before"
            assert time.monotonic() - began < ORPHANS_END_SECONDS + 10
            follow = requests.get(f"{successor.url}/live/demo/v0/media.m3u8", timeout=5)
            assert follow.ok
        left = service.still_alive(all_pids())
        assert not sessions & {os.getsid(pid) for pid in left}
    assert list(media_root.rglob("*")) == []


def test_a_killed_service_leaves_no_media_though_nobody_follows(media_root: Path) -> None:
    with Service(media_root, SIZE) as service:
        everything = service.processes()
        service.stop(signal.SIGKILL)
        until("all ended", lambda: not service.still_alive(everything), ORPHANS_END_SECONDS)
        left = [path for path in media_root.rglob("*") if path.is_file()]
        assert all("live" not in path.parts for path in left), left
        assert sum(path.stat().st_size for path in left) < 16_384, left


def all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if path.is_dir()]
