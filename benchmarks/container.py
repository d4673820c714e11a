"""What the container and the playlists weigh beside the media.

python -m benchmarks.container --help

Init segment and parts of a stream of 0.5 Mbit/s against the same samples in one plain MP4, which
ffmpeg makes of them without encoding anew. Playlists: the bytes that a viewer loads each second
who reloads once a part, in the four forms in which they are published.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from benchmarks import script
from benchmarks.collecting import Collected, collecting
from benchmarks.results import Aim, Found, Table, median, number
from encoder.ffmpeg import find_ffmpeg
from tests.service import Service, temporary_media_root

TITLE = "Overhead of containers and playlists"
VIDEO_KBIT = 500
PROFILES = ("low", "ultra")
# Until then a delta is the whole playlist: nothing is old enough to be skipped.
_FILL_SECONDS = 30.0
FORMS = ("media.m3u8", "media.m3u8.gz", "delta.m3u8", "delta.m3u8.gz")
LIMIT_PERCENT = 2.0


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Both profiles at once: nothing here depends on the clock."""
    seconds = 6.0 if arguments.quick else arguments.seconds
    flags: tuple[str, ...] = (
        "--source",
        "avatar",
        "--ladder",
        "single",
        "--video-kbit",
        str(VIDEO_KBIT),
    )
    flags += ("--web-processes", "1", "--window-segments", "10")
    with temporary_media_root() as name, Service(Path(name) / "media", flags) as service:
        body: Any = {"id": "ultra", "source": {"type": "avatar"}, "latency": "ultra"}
        requests.post(f"{service.url}/api/streams", json=body, timeout=10).raise_for_status()
        requests.get(f"{service.url}/live/ultra/index.m3u8", timeout=20)
        live = Path(name) / "media" / "live"
        _await_deltas(live)
        collected = _collect(live, seconds)
        overheads = {key: _overhead(each, Path(name)) for key, each in collected.items()}
    _tell(found, collected, overheads, seconds)


def _folders(live: Path) -> dict[tuple[str, str], Path]:
    return {
        (profile, rendition): live / stream / rendition
        for profile, stream in (("low", "demo"), ("ultra", "ultra"))
        for rendition in ("v0", "a0")
    }


def _await_deltas(live: Path) -> None:
    deltas = [folder / "delta.m3u8" for folder in _folders(live).values()]
    deadline = time.monotonic() + _FILL_SECONDS
    while not all(path.exists() and "#EXT-X-SKIP" in path.read_text() for path in deltas):
        if time.monotonic() > deadline:
            raise SystemExit(f"no delta leaves anything out after {_FILL_SECONDS:g} s")
        time.sleep(0.1)


def _collect(live: Path, seconds: float) -> dict[tuple[str, str], Collected]:
    with ExitStack() as stack:
        found = {key: stack.enter_context(collecting(path)) for key, path in _folders(live).items()}
        time.sleep(seconds)
    return found


def _overhead(collected: Collected, folder: Path) -> tuple[int, int]:
    """Bytes of init and parts from the first key frame on, and of the plain MP4."""
    first = next(n for n, part in enumerate(collected.parts) if part.number == 0)
    data = collected.init + b"".join(part.data for part in collected.parts[first:])
    live, plain = folder / "live.mp4", folder / "plain.mp4"
    live.write_bytes(data)
    argv = [find_ffmpeg("").path, "-v", "error", "-y", "-i", str(live), "-c", "copy", str(plain)]
    subprocess.run(argv, check=True, timeout=60)
    return len(data), plain.stat().st_size


def _tell(
    found: Found,
    collected: dict[tuple[str, str], Collected],
    overheads: dict[tuple[str, str], tuple[int, int]],
    seconds: float,
) -> None:
    rows = []
    for (profile, rendition), (ours, plain) in overheads.items():
        percent = 100 * (ours - plain) / plain
        what = "picture" if rendition == "v0" else "sound"
        rate = 8 * plain / _length(collected[profile, rendition], profile) / 1000
        cells = [f"{profile}: {what}", f"{rate:.0f}", str(ours), str(plain), f"{percent:.2f} %"]
        rows.append(cells)
        if rendition == "v0":
            what = f"{profile}: container of {VIDEO_KBIT / 1000} Mbit/s video over plain MP4"
            found.aims.append(Aim(what, percent, LIMIT_PERCENT, "%"))
    headings = ["", "kbit/s", "init and parts, bytes", "plain MP4, bytes", "more"]
    found.tables.append(Table("The same samples", headings, rows))
    weights = {key: _playlist_rates(each, seconds) for key, each in collected.items()}
    rows = [
        [f"{profile}: {'picture' if rendition == 'v0' else 'sound'}", *map(number, rates)]
        for (profile, rendition), rates in weights.items()
    ]
    headings = ["bytes a viewer-second", "whole", "whole, gzip", "delta", "delta, gzip"]
    found.tables.append(Table("Playlists, one reload for each part", headings, rows))
    found.notes = [
        "Window of 10 segments of 2 s, from the moment on at which a delta update skips some. The "
        "picture is the built-in presenter, speaking.",
        "A plain MP4 has an index of its own, which a part does not need; parts have a header "
        "each. So a container can come out lighter than the plain file's.",
    ]
    whole, *_others, best = weights["low", "v0"]
    found.ratio = ("playlist bytes, delta with gzip / whole", best / whole)
    found.data = {f"{p} {r}": list(rates) for (p, r), rates in weights.items()}


def _length(collected: Collected, profile: str) -> float:
    first = next(n for n, part in enumerate(collected.parts) if part.number == 0)
    times = [part.at for part in collected.parts[first:]]
    part = 0.2 if profile == "low" else 0.12
    return times[-1] - times[0] + part


def _playlist_rates(collected: Collected, seconds: float) -> list[float]:
    """Median size times reloads in a second, for each form."""
    rates = []
    for form in FORMS:
        sizes = [size for _at, size in collected.playlists.get(form, [])]
        rates.append(median([float(size) for size in sizes]) * len(sizes) / seconds)
    return rates


def main() -> int:
    parser = script.parser_of("container", __doc__, runs=1)
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="of media that is weighed [%(default)s]"
    )
    return script.run("container", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
