"""`/metrics` of a real service: right whichever web process is asked, whatever has died."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from encoder.boxes import BoxStream
from encoder.ffmpeg import find_ffmpeg
from encoder.playlist_reader import read_position
from tests.service import Service

pytestmark = pytest.mark.ffmpeg

SMALL = ("--width", "320", "--height", "180", "--video-kbit", "150", "--ladder", "single")
VIEWERS = 12
SLICE, IDR = 1, 5  # NAL types of H.264
WHOLE = re.compile(r"[0-9a-f]+-\d+\.m4s")  # a segment's name, not a part's
Told = dict[str, float]


class Scraper:
    """Asks with a new connection each time, so that all web processes get their turn."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._last: Told = {}

    def scrape(self) -> Told:
        """Values by name and labels; a counter that fell is an error."""
        answer = requests.get(f"{self.url}/metrics", timeout=5)
        answer.raise_for_status()
        told = {
            " ".join((s.name.removeprefix("lipstream_"), *s.labels.values())): s.value
            for family in text_string_to_metric_families(answer.text)
            for s in family.samples
        }
        web = ("requests_total", "request_seconds", "answers_total", "answer_bytes_total")
        for key, value in told.items():
            if key.startswith(web):
                assert value >= self._last.get(key, 0.0), f"{key} fell"
        self._last = told
        return told

    def wait_for(self, what: Callable[[Told], bool], seconds: float = 15) -> Told:
        """Scrape until it is so."""
        deadline = time.monotonic() + seconds
        while not what(told := self.scrape()):
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
        return told


@pytest.fixture(params=["asgi", "gthread"])
def running(request: pytest.FixtureRequest, media_root: Path) -> Iterator[Service]:
    with Service(media_root, (*SMALL, "--web-worker", request.param)) as service:
        yield service


def reload_ahead(url: str) -> int:
    """Be held for a whole segment; the status."""
    playlist = f"{url}/live/demo/v0/media.m3u8"
    newest = read_position(requests.get(playlist, timeout=5).text).last_msn
    held = requests.get(playlist, params={"_HLS_msn": str(newest + 2)}, timeout=10)
    return held.status_code


def web_workers(service: Service) -> list[int]:
    """Processes that the web master has forked."""
    master = service.find("server.web")
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [int(word) for word in children.split()]


def has_successor(service: Service, dead: int) -> bool:
    now = web_workers(service)
    return dead not in now and len(now) == 2


def test_the_sums_are_right_across_processes_and_deaths(running: Service) -> None:
    scraper = Scraper(running.url)
    before = scraper.scrape()
    with ThreadPoolExecutor(VIEWERS) as viewers:
        statuses = [viewers.submit(reload_ahead, running.url) for _ in range(VIEWERS)]
        held = scraper.wait_for(lambda told: told["held_requests"] >= VIEWERS)
        assert held["held_requests"] <= VIEWERS + 2  # and those who ask just now
        assert [status.result() for status in statuses] == [200] * VIEWERS
    reloads = "requests_total reload 2xx"

    def is_over(told: Told) -> bool:  # one who has his answer may not have been counted yet
        return told["held_requests"] <= 1 and told[reloads] - before[reloads] >= VIEWERS

    after = scraper.wait_for(is_over)
    assert after[reloads] - before[reloads] == VIEWERS
    inf, tenth = (f"request_seconds_bucket reload {bound}" for bound in ("+Inf", "0.1"))
    assert after[inf] - before[inf] == VIEWERS
    assert after[tenth] - before[tenth] < VIEWERS, "they were held"
    joined, called, own = (
        after[f"answers_total {way}"] - before[f"answers_total {way}"]
        for way in ("joined", "called", "own")
    )
    if "gthread" in running.flags:
        assert own >= 2 * VIEWERS
        assert joined == called == 0
    else:
        assert joined + called >= VIEWERS
        assert joined > called, "most were coalesced"

    dead = web_workers(running)[0]
    os.kill(dead, signal.SIGKILL)
    killed = scraper.wait_for(lambda _told: has_successor(running, dead))
    assert killed[reloads] >= after[reloads]
    assert killed["held_requests"] <= 1


def test_a_stream_tells_how_it_is_and_what_happened_to_it(media_root: Path) -> None:
    with Service(media_root, SMALL) as service:
        scraper = Scraper(service.url)
        first = scraper.scrape()
        assert 0 < first["live_edge_limit_seconds demo"] < 1
        told = scraper.wait_for(lambda now: now["parts_total v0 demo"] >= 30)
        for kind in ("v0", "a0"):
            assert told[f"parts_total {kind} demo"] > first[f"parts_total {kind} demo"]
            assert told[f"media_bytes_total {kind} demo"] > 30 * 200
        # The first parts are of a busy start; with each later one the median tells less of them.
        told = scraper.wait_for(lambda now: 0 < now["encode_lag_seconds median demo"] < 1)
        assert told["encode_lag_seconds median demo"] <= told["encode_lag_seconds max demo"]
        part_target = told["live_edge_limit_seconds demo"] / 3
        assert abs(told["av_skew_seconds demo"]) < 2 * part_target
        assert told["av_offset_seconds demo"] == 0
        assert 0 < told["tmpfs_bytes demo"] <= told["tmpfs_bound_bytes demo"]
        assert told["media_root_free_bytes"] < told["media_root_size_bytes"]
        assert all(value == 0 for key, value in told.items() if key.startswith("refused_total"))

        os.kill(service.find("rawvideo"), signal.SIGKILL)
        scraper.wait_for(lambda now: now["encoder_restarts_total ended demo"] == 1)
        os.kill(service.find("-m inference"), signal.SIGKILL)
        ended = "process_restarts_total inference SIGKILL demo"
        told = scraper.wait_for(lambda now: now.get(ended) == 1)
        assert told["frames_repeated_total demo"] >= first["frames_repeated_total demo"]
        os.kill(service.find("-m encoder"), signal.SIGKILL)
        ended = "process_restarts_total encoder SIGKILL demo"
        scraper.wait_for(lambda now: now.get(ended) == 1 and now.get("parts_total v0 demo", 0) > 0)


# An encoder that makes key frames only when it starts: the next segment would begin without one.
_NO_KEY_FRAMES = """#!/bin/bash
for word in "$@"; do
  if [[ " $* " == *" s16le "* ]]; then # not when it is tried out
    [[ $word == expr:not* ]] && word='expr:eq(n,0)'
    [[ $last == -g ]] && word=1000
  fi
  words+=("$word")
  last=$word
done
exec {ffmpeg} "${{words[@]}}"
"""


def first_picture(media: bytes) -> int:
    """NAL type of the first slice; each NAL follows its length in four bytes."""
    at = 0
    while (kind := media[at + 4] & 0x1F) not in (SLICE, IDR):
        at += 4 + int.from_bytes(media[at : at + 4], "big")
    return kind


def test_media_that_would_break_a_rule_is_refused_and_counted(
    media_root: Path, tmp_path: Path
) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text(_NO_KEY_FRAMES.format(ffmpeg=find_ffmpeg("").path))
    script.chmod(0o755)
    looked_at = 0
    with Service(media_root, (*SMALL, "--ffmpeg", str(script))) as service:
        scraper = Scraper(service.url)
        told = scraper.wait_for(lambda now: now["refused_total 55 demo"] >= 2)
        assert told["encoder_restarts_total unlawful demo"] >= 2
        for path in (service.media_root / "live/demo/v0").glob("[!.]*.m4s"):
            if WHOLE.fullmatch(path.name):
                boxes = BoxStream().feed(path.read_bytes())
                media = next(box for box in boxes if box.kind == "mdat")
                assert first_picture(bytes(media.payload)) == IDR, path
                looked_at += 1
        assert looked_at
        lines = [json.loads(line) for line in service.log if line.startswith("{")]
        (first, *_) = [line for line in lines if line["event"] == "media_refused"]
        assert (first["rule"], first["stream"], first["level"]) == (55, "demo", "error")
