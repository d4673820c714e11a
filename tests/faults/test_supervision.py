"""What viewers see of processes that are killed or hang, and what is left when the service is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from selenium.webdriver import Chrome

from benchmarks.soak_lips import Lips, measure
from server.child import SILENT_SECONDS
from tests.browser.watching import until
from tests.faults.viewers import Audience, Follower, Row, check
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.faults

SIZE = ("--width", "640", "--height", "360")
ORPHANS_END_SECONDS = 5.0
# A start takes about three of them; then the page, which asks again each second or so, begins anew.
NEXT_SERVICE_SECONDS = 12.0
# Rule 58 within a frame.
IN_SYNC_SECONDS = 0.04


@dataclass
class Hall:
    """A service that plays its avatar, and who watches."""

    service: Service
    audience: Audience

    @property
    def worker(self) -> int | None:
        """The inference worker, if there is one just now."""
        with contextlib.suppress(AssertionError):
            return self.service.find("-m inference")
        return None

    def figures(self) -> dict[str, Any]:
        """Of the stream."""
        answer = requests.get(f"{self.service.url}/api/streams/demo", timeout=5)
        figures: dict[str, Any] = answer.json()
        return figures

    def check_the_face_goes_on(self) -> None:
        """Pictures come from the new worker: none of the next second's is a repeated one."""
        until("a source", lambda: self.figures()["source"] == "connected", 20)
        for _ in range(5):  # the first unit may come late
            before = self.figures()
            time.sleep(1.5)
            after = self.figures()
            fed, repeated = (after[k] - before[k] for k in ("units_fed", "units_repeated"))
            if fed and repeated <= fed / 10:
                break
        else:
            raise AssertionError(f"{repeated} of {fed} pictures are repeated ones")

    def restarts(self, process: str) -> dict[str, int]:
        """Of a process of the stream, by reason."""
        (found,) = [p["restarts"] for p in self.figures()["processes"] if p["name"] == process]
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
    killed: list[int] = []

    def kill(_row: Row) -> None:
        killed.append(hall.service.find("-m inference"))
        os.kill(killed[-1], signal.SIGKILL)
        until("another", lambda: hall.worker not in (None, *killed), 10)

    hall.audience.promise("inference worker killed (-9)", kill, freeze=0.5)
    assert hall.restarts("inference") == {"SIGKILL": len(killed)}, "since the start of the service"
    hall.check_the_face_goes_on()


def test_the_inference_worker_hangs(hall: Hall) -> None:
    hung: list[int] = []

    def hang(_row: Row) -> None:
        hung.append(hall.service.find("-m inference"))
        os.kill(hung[-1], signal.SIGSTOP)
        until("its end", lambda: not hall.service.still_alive(hung), SILENT_SECONDS + 4)
        until("another", lambda: hall.worker not in (None, *hung), 20)

    hall.audience.promise("inference worker hangs (SIGSTOP)", hang, freeze=0.5)
    until("counted", lambda: hall.restarts("inference").get("stuck") == len(hung), 5)
    hall.check_the_face_goes_on()


def test_the_supervisor_has_no_descriptor_left(hall: Hall) -> None:
    """It cannot start what was killed; it says so, goes on trying, and viewers see no error.

    The worker in reserve is killed too: it would simply go on.
    """
    supervisor, killed = hall.service.processes()[0], []

    def exhaust(_row: Row) -> None:
        killed.append(hall.service.find("-m inference"))
        before = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            for pid in (*hall.service.waiting(), killed[-1]):
                os.kill(pid, signal.SIGKILL)
            until("it says so", partial(has_said, hall.service, "process_unstarted"), 10)
            time.sleep(2)
        finally:
            resource.prlimit(supervisor, resource.RLIMIT_NOFILE, before)
        until("another", lambda: hall.worker not in (None, *killed), 40)

    name = "supervisor without file descriptors, inference worker killed"
    hall.audience.promise(name, exhaust, freeze=0.5)
    assert hall.restarts("inference")["not started"] >= 1
    hall.check_the_face_goes_on()


def has_said(service: Service, event: str) -> bool:
    return any(f'"event": "{event}"' in line for line in service.log)


def test_the_encoder_process_hangs(hall: Hall) -> None:
    hung = hall.service.find("-m encoder")
    with hall.audience.row("encoder process hangs (SIGSTOP)") as row:
        os.kill(hung, signal.SIGSTOP)
        until("it was replaced", lambda: not hall.service.still_alive([hung]), SILENT_SECONDS + 4)
    check(row.seen, freeze=SILENT_SECONDS + 5, discontinuities=1, restarts=1)
    until("counted", lambda: hall.restarts("encoder") == {"stuck": 1}, 5)


def test_lips_are_in_step_after_a_worker_was_lost(media_root: Path) -> None:
    """A test card tells: whatever flashes and beeps after the fault does so together."""
    with Service(media_root, (*SIZE, "--source", "testcard")) as service:
        video = Follower(f"{service.url}/live/demo/v0/media.m3u8")
        video.start()
        for sign in (signal.SIGKILL, signal.SIGSTOP):
            lost = service.find("-m inference")
            os.kill(lost, sign)
            until("its end", partial(has_ended, service, lost), SILENT_SECONDS + 4)
            base = video.url.rpartition("/v0/")[0]
            connected = partial(source_is, service, "connected")
            until("another", connected, 20)
            until("flashes", partial(has, video, video.last_msn + 3), 20)
            found = asyncio.run(lips_of(base))
            assert len(found.offsets) >= 3, "it flashes again"
            assert max(map(abs, found.offsets)) <= IN_SYNC_SECONDS, found
        video.stop()


def has_ended(service: Service, pid: int) -> bool:
    return not service.still_alive([pid])


def has(follower: Follower, msn: int) -> bool:
    return follower.last_msn >= msn


def source_is(service: Service, what: str) -> bool:
    figures = requests.get(f"{service.url}/api/streams/demo", timeout=5).json()
    return bool(figures["source"] == what)


async def lips_of(base: str) -> Lips:
    async with httpx.AsyncClient() as client:
        return await measure(client, base)


def test_the_supervisor_is_killed(media_root: Path) -> None:
    """Nothing outlives it for long, no media stays, and the next service may come at once."""
    with Service(media_root, SIZE) as service:
        everything = service.processes()
        assert len(everything) > 4
        handles = dict(open_handles(everything))
        began = time.monotonic()
        service.stop(signal.SIGKILL)
        with Service(media_root, SIZE) as successor:  # it waits for the folder
            assert service.still_alive(everything) == [], "what writes there has ended before"
            assert time.monotonic() - began < ORPHANS_END_SECONDS + 10
            follow = requests.get(f"{successor.url}/live/demo/v0/media.m3u8", timeout=5)
            assert follow.ok
        # By handle: a number may mean another process by now.
        assert {pid for pid, handle in handles.items() if not has_gone(handle)} == set()
        for handle in handles.values():
            os.close(handle)
    assert list(media_root.rglob("*")) == []


def test_viewers_are_with_the_next_service_when_the_supervisor_was_killed(
    viewer: Chrome, rows: Path | None, media_root: Path
) -> None:
    """A service manager starts the next one at once, at the same address: viewers stay."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    flags = (*SIZE, "--port", port)
    with ExitStack() as services:
        service = services.enter_context(Service(media_root, flags))
        with Audience(service.url, viewer, rows) as audience:
            with audience.row("supervisor killed (-9), the next one at the same port") as row:
                everything = service.processes()
                service.stop(signal.SIGKILL)
                began = time.monotonic()
                successor = services.enter_context(Service(media_root, flags))
                row.note = f"a playlist again {time.monotonic() - began:.1f} s after"
                assert service.still_alive(everything) == []
                follow_anew(audience)
            # The stream is another one: its numbers are far ahead. A player finds it by itself.
            # Each try while nothing answers, one a second, is an error of hls.js and a beginning.
            tries = int(NEXT_SERVICE_SECONDS)
            check(row.seen, freeze=NEXT_SERVICE_SECONDS, fatal_errors=tries, restarts=tries)
            assert successor.url == service.url


def follow_anew(audience: Audience) -> None:
    """Of a new stream under an old URL a playlist may say anything."""
    for place, before in enumerate(audience.followers):
        before.stop()
        after = audience.followers[place] = Follower(before.url)
        after.arrivals = before.arrivals[-1:]  # since then it waits
        after.start()


def test_a_killed_service_leaves_no_media_though_nobody_follows(media_root: Path) -> None:
    with Service(media_root, SIZE) as service:
        everything = service.processes()
        service.stop(signal.SIGKILL)
        until("all ended", lambda: not service.still_alive(everything), ORPHANS_END_SECONDS)
        left = [path for path in media_root.rglob("*") if path.is_file()]
        assert all("live" not in path.parts for path in left), left
        assert sum(path.stat().st_size for path in left) < 16_384, left


def open_handles(pids: list[int]) -> Iterator[tuple[int, int]]:
    """A pidfd of each that is still there: a trial of an encoder ends by itself."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            yield pid, os.pidfd_open(pid)


def has_gone(handle: int) -> bool:
    """Whether the process of a pidfd has ended; it is readable then (pidfd_open(2))."""
    return bool(select.select([handle], [], [], 0)[0])
