"""From `POST /api/streams` on a warm service to a playlist that plays.

    python -m benchmarks.start

Milliseconds until the request is answered, and until the multivariant playlist is there; it is held
until a player has all it needs, so its media playlist is asked once and must begin with an
independent part. The last line compares the face with the test card, which has nothing to draw.

A busy machine stretches all of it: beside each time stands how much longer than its CPU time a
start of Python took just before and after it, and the limit is one for a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.yardstick import slowness

LIMIT_MS = 1000.0
SOURCES: dict[str, dict[str, Any]] = {"testcard": {"source": {"type": "testcard"}}, "face": {}}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="of each source [7]")
    parser.add_argument("--json", metavar="FILE", default="", help="write the figures there too")
    given = parser.parse_args()
    playable: dict[str, list[float]] = {}
    quiet: dict[str, float] = {}
    with _service() as url, httpx.Client(base_url=url, timeout=20) as client:
        for name, wish in SOURCES.items():
            runs = [_start(client, wish) for _ in range(given.runs)]
            playable[name] = [ms for _, ms, _ in runs]
            answered = statistics.median(ms for ms, _, _ in runs)
            median, slowest = statistics.median(playable[name]), max(playable[name])
            busy = statistics.median(slow for _, _, slow in runs)
            quiet[name] = statistics.median(ms / slow for _, ms, slow in runs)
            verdict = "ok" if quiet[name] <= LIMIT_MS else "TOO SLOW"
            print(
                f"{name:8} answered {answered:4.0f} ms, playable {median:5.0f} ms, "
                f"{slowest:5.0f} at most, machine {busy:.1f} times as slow as alone: "
                f"{quiet[name]:5.0f} ms, limit {LIMIT_MS:g}  {verdict}"
            )
    if given.json:
        Path(given.json).write_text(json.dumps(playable, indent=2))
    medians = {name: statistics.median(values) for name, values in playable.items()}
    print(f"face / testcard: {medians['face'] / medians['testcard']:.2f}")
    return 0 if max(quiet.values()) <= LIMIT_MS else 1


def _start(client: httpx.Client, wish: dict[str, Any]) -> tuple[float, float, float]:
    """Milliseconds to the answer and to the playlist, and how slow the machine was."""
    before = slowness()
    began = time.perf_counter()
    made = client.post("/api/streams", json=wish).raise_for_status().json()
    answered = time.perf_counter()
    playlist = made["playback"]["hls"]
    client.get(playlist).raise_for_status()
    ready = time.perf_counter()
    slow = max(before, slowness())
    media = client.get(f"{playlist.rpartition('/')[0]}/v0/media.m3u8").text
    first = next(line for line in media.splitlines() if line.startswith("#EXT-X-PART:"))
    assert "INDEPENDENT=YES" in first, first
    for _ in range(2):  # the second time it goes at once
        client.delete(f"/api/streams/{made['id']}").raise_for_status()
        time.sleep(1.0)
    return (answered - began) * 1000, (ready - began) * 1000, slow


@contextmanager
def _service() -> Iterator[str]:
    """`lipstream serve` with no stream yet: its URL."""
    with tempfile.TemporaryDirectory(prefix="start-", dir="/dev/shm") as folder:
        argv = [sys.executable, "-m", "server", "serve", "--stream", "", "--port", "0"]
        argv += ["--media-root", f"{folder}/media"]
        service = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert service.stdout is not None
            lines = iter(service.stdout.readline, "")
            yield next(line.split()[-1] for line in lines if "lipstream runs at" in line)
        finally:
            service.terminate()
            service.wait(15)


if __name__ == "__main__":
    sys.exit(main())
