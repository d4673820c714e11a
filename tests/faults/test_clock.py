"""What viewers see when somebody sets the wall clock: one DISCONTINUITY, later."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser.need import require
from tests.browser.watching import until
from tests.faults.viewers import Audience, Follower, check
from tests.service import Service

pytestmark = pytest.mark.faults

HOUR = 3600


def test_the_wall_clock_jumps_an_hour_forth_and_back(
    viewer: Chrome, rows: Path | None, media_root: Path, tmp_path: Path
) -> None:
    require("faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    setting = tmp_path / "clock"
    setting.write_text("+0")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(setting),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nobody can set that one
        "NO_FAKE_STAT": "1",
    }
    size = ("--width", "640", "--height", "360")
    with (
        Service(media_root, size, environment=environment) as service,
        Audience(service.url, viewer, rows) as audience,
    ):
        for name, offset in (("wall clock set 1 h forth", HOUR), ("... and back", 0)):
            with audience.row(name) as row:
                setting.write_text(f"+{offset}")
                wanted = audience.video.discontinuities + 1
                until("a new anchor", partial(has, audience.video, wanted), 20)
            check(row.seen, freeze=0.5, discontinuities=1)
            assert row.seen.part_gap < 1
            for follower in audience.followers:
                assert abs(off(follower, offset)) < 5


def has(follower: Follower, discontinuities: int) -> bool:
    return follower.discontinuities >= discontinuities


def off(follower: Follower, offset: int) -> float:
    """Seconds by which the newest segment's date differs from the clock, its own age aside."""
    assert follower.newest is not None
    newest = follower.newest.every[-1]
    assert newest.wall is not None
    return time.time() + offset - float(newest.wall)
