"""What viewers see when somebody sets the wall clock: one DISCONTINUITY, later.

Media time goes on meanwhile.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser.watching import until
from tests.faults.media_time import check_media_time
from tests.faults.viewers import Audience, Follower, Row
from tests.service import Service

pytestmark = pytest.mark.faults

HOUR = 3600
# Python reads this at the start of each process of the service: its wall clock is ours to set,
# and only that one. (libfaketime 0.9.10 would do it for any program, and breaks Python's sleep.)
SHIFTED = """
import time

now, now_ns = time.time, time.time_ns


def offset():
    with open({setting!r}) as file:
        return int(file.read())


time.time = lambda: now() + offset()
time.time_ns = lambda: now_ns() + offset() * 10**9
"""


def test_the_wall_clock_jumps_an_hour_forth_and_back(
    viewer: Chrome, rows: Path | None, media_root: Path, tmp_path: Path
) -> None:
    setting = tmp_path / "offset"
    setting.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(SHIFTED.format(setting=str(setting)))
    environment = {"PYTHONPATH": str(tmp_path)}
    size = ("--width", "640", "--height", "360")
    with (
        Service(media_root, size, environment=environment) as service,
        Audience(service.url, viewer, rows) as audience,
    ):
        for name, offset in (("wall clock set 1 h forth", HOUR), ("... and back", 0)):
            before = audience.video.last_msn
            audience.promise(
                name,
                partial(jump, audience, setting, offset),
                undo=partial(jump, audience, setting, HOUR - offset),
                freeze=0.5,
                part_gap=1.0,
                discontinuities=1,
            )
            for follower in audience.followers:
                assert abs(off(follower, offset)) < 5
                check_media_time(follower, before)


def jump(audience: Audience, setting: Path, offset: int, _row: Row | None = None) -> None:
    """Set the clock, and wait until the playlist says so."""
    wanted = audience.video.discontinuities + 1
    set_clock(setting, offset)
    until("a new anchor", partial(has, audience.video, wanted), 20)


def set_clock(setting: Path, offset: int) -> None:
    unfinished = setting.with_suffix(".new")
    unfinished.write_text(str(offset))
    unfinished.rename(setting)


def has(follower: Follower, discontinuities: int) -> bool:
    return follower.discontinuities >= discontinuities


def off(follower: Follower, offset: int) -> float:
    """Seconds by which the newest segment's date differs from the clock, its own age aside."""
    assert follower.newest is not None
    newest = follower.newest.every[-1]
    assert newest.wall is not None
    return time.time() + offset - float(newest.wall)
