"""Real signals to real processes: the stream goes on under the same URL (the basics of it)."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from encoder.playlist_reader import Position, read_position, read_segments
from server.heart import workers_of
from tests.browser.watching import until
from tests.service import Service

pytestmark = pytest.mark.faults


@dataclass
class Follower:
    """Follows the video playlist as a client does, and keeps what it was told."""

    url: str

    def position(self) -> Position:
        return read_position(self.text())

    def text(self) -> str:
        answer = requests.get(self.url, timeout=10)
        answer.raise_for_status()
        return answer.text

    def wait_for(self, msn: int, seconds: float = 15) -> str:
        """The playlist once segment ``msn`` is complete."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            held = requests.get(self.url, params={"_HLS_msn": str(msn)}, timeout=10)
            if held.status_code == 200 and read_position(held.text).last_msn >= msn:
                return held.text
        raise AssertionError(f"no segment {msn} in {seconds} s")


@pytest.fixture
def running(media_root: Path) -> Iterator[Service]:
    with Service(media_root) as service:
        yield service


@pytest.fixture
def follower(running: Service) -> Follower:
    return Follower(f"{running.url}/live/demo/v0/media.m3u8")


def entries(text: str) -> dict[str, str]:
    """URI of each complete segment, and the tags that describe it."""
    tags = re.compile(
        r"(?:#EXT-X-PROGRAM-DATE-TIME:(\S+)\n)(?:#EXT-X-PART.*\n)*#EXTINF:(\S+)\n(\S+)"
    )
    return {uri: f"{wall} {length}" for wall, length, uri in tags.findall(text)}


def told(service: Service, event: str) -> set[int]:
    """The segments at which the log says that this happened."""
    lines = [json.loads(line) for line in list(service.log) if f'"event": "{event}"' in line]
    return {line["msn"] for line in lines}


def breaks(service: Service) -> set[int]:
    """The segments that have to begin with a DISCONTINUITY.

    A machine that has no time for a picture adds some: the dates of what follows are set right.
    Where that was before a stream's first picture, nothing came before that it could break with.
    """
    first = min(told(service, "stream_live"))
    return told(service, "stream_resumed") | (told(service, "clock_moved") - {first})


def test_the_encoder_process_terminated_loses_nothing_that_was_published(
    running: Service, follower: Follower
) -> None:
    before = follower.wait_for(min(told(running, "stream_live")) + 2)
    os.kill(running.find("-m encoder"), signal.SIGTERM)
    newest = read_position(before).last_msn
    after = follower.wait_for(newest + 3)
    assert entries(before).items() <= entries(after).items()  # 8
    (_, listed), position = read_segments(after), read_position(after)
    found = [segment.msn for segment in listed if segment.discontinuity]
    until("it is told why", lambda: set(found) <= breaks(running), 10)
    (resumed,) = told(running, "stream_resumed")
    assert resumed in found, "\n".join(running.log)  # 16
    due = {msn for msn in breaks(running) if msn <= listed[-1].msn}
    assert found == sorted(msn for msn in due if msn >= listed[0].msn), "\n".join(running.log)
    assert position.discontinuity_sequence == len(due)
    for uri in entries(after):
        media = requests.get(follower.url.replace("media.m3u8", uri), timeout=5)
        assert media.status_code == 200, uri  # 31
        assert media.content[4:8] == b"moof"


def test_a_web_process_killed_is_replaced(running: Service, follower: Follower) -> None:
    victim = min(workers_of(running.find("server.web")))
    msn = follower.position().last_msn
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if follower.position().last_msn >= msn + 2:
                return
        except requests.RequestException:
            continue
    raise AssertionError("the playlist did not go on")
