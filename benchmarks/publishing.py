"""From a picture's hand-over to the moment at which its part can be fetched; streams for each core.

python -m benchmarks.publishing --help

A source with a clock of its own hands pictures over, each with the time in it; a client holds the
hinted part of each stream. Measured with one stream of 720p25 and with several of 360p25; with
these once more from sources that hand over later what they could not in time. Then as many 360p25
streams as one core holds in real time: encoder processes and their ffmpeg on that core alone,
sources elsewhere; the alternative are bare ffmpeg processes with the same encode.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests

from benchmarks import script
from benchmarks.codes import drawn_times
from benchmarks.collecting import Collected, collecting
from benchmarks.fanout_viewers import Answered, Crowd, Position
from benchmarks.frames import make_frames
from benchmarks.processes import cpu_seconds, family, find, python
from benchmarks.results import Aim, Found, Plot, Table, median, number, percentile
from encoder.playlist_reader import read_position
from rawmedia import MediaFormat
from tests.service import Service, temporary_media_root

TITLE = "Publish latency, and streams for each core"
LARGE, SMALL = MediaFormat(1280, 720, 25), MediaFormat(640, 360, 25)
LARGE_KBIT, SMALL_KBIT = 700, 350
MANY = 8
PART_SECONDS, PARTS = 0.2, 10
PICTURES_IN_MEMORY = 50
_SETTLE_SECONDS = 4.0
# A stream that is so much slower than real time is not held.
_HELD = 0.985
_MOST_STREAMS = 16
# From these it is computed how many to try.
_FIRST_STREAMS = 3
_LIVE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from a part's first picture to its first byte, less the part's length."""

    values: list[float]
    last: list[float]  # from its last picture
    # Median from a part's last picture in ffmpeg's pipe to the part's file, as the encoder counts.
    encode_ms: float

    @property
    def queue_ms(self) -> float:
        """What a part's last picture waits for beside encoding: its turn, and the way out."""
        return percentile(self.last, 50) - self.encode_ms


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Latencies in each run; the core is filled once."""
    seconds = 4.0 if arguments.quick else arguments.seconds
    one, many, made_up = [], [], []
    with temporary_media_root() as name:
        folder = Path(name)
        large = make_frames(LARGE, PICTURES_IN_MEMORY, folder / "large.raw")
        small = make_frames(SMALL, PICTURES_IN_MEMORY, folder / "small.raw")
        for run in range(arguments.runs):
            one.append(_latency(folder / f"one{run}", LARGE, LARGE_KBIT, large, 1, seconds))
            more = (SMALL, SMALL_KBIT, small, MANY, seconds)
            many.append(_latency(folder / f"many{run}", *more))
            made_up.append(_latency(folder / f"made_up{run}", *more, makes_up=True))
        ours_cost, ours = _fill_with_streams(folder / "core", small, seconds)
        bare_cost, bare = _fill_with_ffmpeg(small, seconds, folder)
    _tell(found, one, many, made_up, (ours_cost, ours), (bare_cost, bare))


# --- latency -------------------------------------------------------------------------------------


def _latency(
    root: Path,
    media: MediaFormat,
    kbit: int,
    frames: Path,
    streams: int,
    seconds: float,
    *,
    makes_up: bool = False,
) -> Latency:
    with _service(root, media, kbit, streams) as service, ExitStack() as stack:
        names = [f"s{number}" for number in range(streams)]
        stack.enter_context(_fed(root, media, frames, names, makes_up=makes_up))
        _await_live(service.url, names)
        time.sleep(_SETTLE_SECONDS)
        folders = [root / "live" / name / "v0" for name in names]
        collected = [stack.enter_context(collecting(folder)) for folder in folders]
        port = int(service.url.rpartition(":")[2])
        answers = asyncio.run(_hold(port, folders, seconds))
        lags = [_figures(service.url, name)["encode_lag_seconds"]["median"] for name in names]
    values, last = [], []
    for each, rows in zip(collected, answers, strict=True):
        a, b = _latencies(each, rows)
        values += a
        last += b
    return Latency(values, last, 1000 * median(lags))


def _service(root: Path, media: MediaFormat, kbit: int, streams: int) -> _Streams:
    """Streams s0, s1, ... that wait for a source."""
    flags: tuple[str, ...] = ("--source", "ingest", "--ladder", "single", "--encoder", "libx264")
    size = ("--width", str(media.width), "--height", str(media.height), "--fps", str(media.fps))
    flags += (*size, "--video-kbit", str(kbit), "--web-processes", "1", "--stream", "s0")
    flags += ("--max-streams", str(_MOST_STREAMS))
    return _Streams(root, flags, streams)


class _Streams(Service):
    """A service with further streams."""

    def __init__(self, root: Path, flags: tuple[str, ...], streams: int) -> None:
        super().__init__(root, flags, "live/s0/index.m3u8")
        self._streams = streams

    def __enter__(self) -> _Streams:
        super().__enter__()
        self.create(range(1, self._streams))
        return self

    def create(self, numbers: range) -> None:
        """Further streams."""
        for index in numbers:
            body: Any = {"id": f"s{index}", "source": {"type": "ingest"}}
            answer = requests.post(f"{self.url}/api/streams", json=body, timeout=20)
            answer.raise_for_status()


def _fed(
    root: Path, media: MediaFormat, frames: Path, names: list[str], *, makes_up: bool = False
) -> ExitStack:
    sockets = [str(root / "run" / f"{name}.sock") for name in names]
    size = f"{media.width}x{media.height}"
    flags = ("--makes-up",) if makes_up else ()
    child = python("benchmarks.producer", *flags, str(frames), size, str(media.fps), *sockets)
    stack = ExitStack()
    stack.callback(child.wait)
    stack.callback(child.kill)
    return stack


def _await_live(url: str, names: list[str], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    for name in names:
        while True:
            figures = _figures(url, name)
            if figures.get("state") == "live" and figures.get("source") == "connected":
                break
            if time.monotonic() > deadline:
                raise SystemExit(f"stream {name} is not live: {figures}")
            time.sleep(0.1)


def _figures(url: str, name: str) -> dict[str, Any]:
    told: dict[str, Any] = requests.get(f"{url}/api/streams/{name}", timeout=10).json()
    return told


async def _hold(port: int, folders: list[Path], seconds: float) -> list[list[Answered]]:
    crowds = []
    for folder in folders:
        position = read_position((folder / "media.m3u8").read_text())
        prefix = re.match(r"[0-9a-f]+-", position.hint_uri)
        assert prefix
        base = f"/live/{folder.parent.name}/v0/{prefix[0]}"
        crowd = Crowd("127.0.0.1", port, partial(_part_path, base), PARTS)
        await crowd.join(1)
        crowd.follow(Position(position.last_msn + 1, position.parts))
        crowds.append(crowd)
    await asyncio.sleep(seconds)
    for crowd in crowds:
        crowd.leave()
    return [crowd.answers[0] for crowd in crowds]


def _part_path(base: str, at: Position) -> str:
    return f"{base}{at.msn}.{at.part}.m4s"


def _latencies(collected: Collected, answers: list[Answered]) -> tuple[list[float], list[float]]:
    wall_less_monotonic = time.time() - time.monotonic()
    drawn = drawn_times(collected)
    names = {(part.msn, part.number): part.name for part in collected.parts}
    first, last = [], []
    for answer in answers:
        times = drawn.get(names.get((answer.asked.msn, answer.asked.part), ""), [])
        if answer.status != 200 or not times or times[0] is None or times[-1] is None:
            continue
        if answer.first_byte_ns - answer.asked_ns < 1_000_000:  # it was there: nothing was held
            continue
        at_ms = 1000 * (answer.first_byte_ns / 1e9 + wall_less_monotonic)
        first.append(at_ms - times[0] - 1000 * PART_SECONDS)
        last.append(at_ms - times[-1])
    return first, last


# --- streams for each core -----------------------------------------------------------------------


def _core() -> int:
    """The last one; all else is on the others as far as there are others."""
    return max(os.sched_getaffinity(0))


def _fill_with_streams(root: Path, frames: Path, seconds: float) -> tuple[float, int]:
    """CPU seconds of a stream-second, and the streams that one core holds."""
    names = [f"s{index}" for index in range(_MOST_STREAMS)]
    with ExitStack() as stack:
        service = stack.enter_context(_service(root, SMALL, SMALL_KBIT, _FIRST_STREAMS))
        # Its threads wait for the sockets of the streams that are still to come.
        stack.enter_context(_fed(root, SMALL, frames, names))
        _await_live(service.url, names[:_FIRST_STREAMS], _LIVE_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        top = service.processes()[0]
        cost = _cost(find(top, "-m encoder"), seconds)
        running = _FIRST_STREAMS

        def share_of(count: int) -> float:
            nonlocal running
            service.create(range(running, count))
            for name in 2 * names[count:running]:  # ended, then forgotten: it may come again
                requests.delete(f"{service.url}/api/streams/{name}", timeout=20)
            running = count
            _await_live(service.url, names[:count], _LIVE_SECONDS)
            _pin(find(top, "-m encoder"))
            return _slowest(service.url, names[:count], seconds)

        return cost, most_held(share_of, int(1 / cost), _MOST_STREAMS)


def _cost(encoders: list[int], seconds: float) -> float:
    pids = [pid for encoder in encoders for pid in family(encoder)]
    before = cpu_seconds(pids)
    time.sleep(seconds)
    return (cpu_seconds(pids) - before) / seconds / len(encoders)


def _pin(encoders: list[int]) -> None:
    for pid in (pid for encoder in encoders for pid in family(encoder)):
        with suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), {_core()})


def most_held(share_of: Callable[[int], float], guess: int, most: int) -> int:
    """How many a core holds: fewer until they keep up, then more until one more is too many.

    Args:
        share_of: tries so many; returns which share of real time the slowest of them made.
        guess: tried first.
        most: that may be tried.
    """
    count, too_many = max(1, min(most, guess)), most + 1
    while count and (share := share_of(count)) < _HELD:
        too_many, count = count, _fewer(count, share)
    step = 1
    while 0 < count < too_many - 1:
        more = min(count + step, too_many - 1)
        if share_of(more) >= _HELD:
            count, step = more, 2 * step
        else:
            too_many, step = more, 1
    return count


def _slowest(url: str, names: list[str], seconds: float) -> float:
    time.sleep(_SETTLE_SECONDS)
    before = [_media_seconds(url, name) for name in names]
    began = time.monotonic()
    time.sleep(seconds)
    after = [_media_seconds(url, name) for name in names]
    took = time.monotonic() - began
    slowest = min((b - a) / took for a, b in zip(before, after, strict=True))
    print(f"{len(names)} streams: {slowest:.3f} of real time", flush=True)
    return slowest


def _fewer(count: int, share: float) -> int:
    """What the core may hold, when of so many each got that share of real time."""
    return max(0, min(count - 1, int(count * share)))


def _media_seconds(url: str, name: str) -> float:
    """What was encoded: units that were given up do not count."""
    return float(_figures(url, name)["media_seconds"])


def _fill_with_ffmpeg(frames: Path, seconds: float, folder: Path) -> tuple[float, int]:
    """The same for bare ffmpeg processes."""
    _took, cost = _bare(frames, _FIRST_STREAMS, seconds, folder)

    def share_of(count: int) -> float:
        took, _cost = _bare(frames, count, seconds, folder)
        print(f"{count} ffmpeg: {seconds / took:.3f} of real time", flush=True)
        return seconds / took

    return cost, most_held(share_of, int(1 / cost), 2 * _MOST_STREAMS)


def _bare(frames: Path, count: int, seconds: float, folder: Path) -> tuple[float, float]:
    """The longest that one took, and the median CPU seconds of a stream-second of its ffmpeg."""
    size, pictures = f"{SMALL.width}x{SMALL.height}", str(round(seconds * SMALL.fps))
    words = (str(frames), pictures, size, str(SMALL.fps), str(SMALL_KBIT), str(folder / "none"))
    kind = f"null-paced:{_core()}"
    children = [
        python("benchmarks.pipeline_run", kind, *words, stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    said = [json.loads(child.communicate(timeout=60 + 3 * seconds)[0]) for child in children]
    costs = [row["ffmpeg"] / seconds for row in said]
    return max(row["seconds"] for row in said), median(costs)


# --- what is told --------------------------------------------------------------------------------


def _tell(
    found: Found,
    one: list[Latency],
    many: list[Latency],
    made_up: list[Latency],
    ours: tuple[float, int],
    bare: tuple[float, int],
) -> None:
    found.tables += [_latency_table(one, many, made_up), _cores(ours, bare)]
    # The part's length is taken off: of the origin's share (half a part and 60 ms) 60 ms are left
    # for everything but the waiting for the part to fill.
    found.aims += [
        Aim(f"{name}: publish latency less part, p50", _median_of(runs), 60, "ms")
        for name, runs in (("1 stream", one), (f"{MANY} streams", many))
    ]
    found.plots.append(_plot(one, many))
    found.notes = _notes()
    found.ratio = ("streams that a core holds, lipstream / bare ffmpeg", ours[1] / max(1, bare[1]))
    found.data = {
        "one": [each.values for each in one],
        "many": [each.values for each in many],
        "made up": [each.values for each in made_up],
        "not encoding": {
            "many": [each.queue_ms for each in many],
            "made up": [each.queue_ms for each in made_up],
        },
        "cost": {"ours": ours[0], "bare": bare[0]},
    }


def _latency_table(one: list[Latency], many: list[Latency], made_up: list[Latency]) -> Table:
    title = "First picture of a part handed over → first byte of the part, less the part's length"
    headings = ["", "p50 ms", "p99 ms", "from the last picture: p50", "p99"]
    headings += ["of it, not encoding", "parts"]
    rows = [
        _row("1 stream, 720p25", one),
        _row(f"{MANY} streams, 360p25", many),
        _row(f"{MANY} streams, sources that make up", made_up),
    ]
    return Table(title, headings, rows)


def _cores(ours: tuple[float, int], bare: tuple[float, int]) -> Table:
    headings = ["360p25 at 350 kbit/s", "% of a core, each", "held by one core"]
    rows = [
        [name, f"{100 * share:.1f}", str(held)]
        for name, (share, held) in (
            ("lipstream, encoder processes", ours),
            ("bare ffmpeg, null muxer", bare),
        )
    ]
    return Table("Streams for each core", headings, rows)


def _plot(one: list[Latency], many: list[Latency]) -> Plot:
    series = {
        name: [
            (percentile([v for each in runs for v in each.values], share), float(share))
            for share in range(100)
        ]
        for name, runs in (("1 x 720p25", one), (f"{MANY} x 360p25", many))
    }
    return Plot("publishing", "Publish latency less the part's length", "ms", "% of parts", series)


def _notes() -> list[str]:
    return [
        "A part's length is taken off, for its first picture waits for its last. Below zero is "
        "possible: the last picture of a part of 0.2 s is handed over 0.16 s after the first.",
        "*Not encoding*: the median less what the encoder counts from a part's last picture in "
        "ffmpeg's pipe to the part's file: the wait for the encoder's clock, up to a picture, and "
        "in the queue before it, and the way to the client.",
        "*Sources that make up*: a picture that its source could not hand over in time is replaced "
        "by the one before. A camera has never taken it; these hand it over later, it waits in the "
        "queue, and since neither side is faster than the other, all that follow wait as long, "
        "until the queue is full, or the source stops for a moment.",
        f"A stream is held if it makes at least {_HELD:.1%} of real time. {_MOST_STREAMS} streams "
        "were the most that were tried of ours.",
        "The web process, the supervisor and the sources are not on that core.",
    ]


def _median_of(runs: list[Latency]) -> float:
    return median([percentile(each.values, 50) for each in runs])


def _row(name: str, runs: list[Latency]) -> list[str]:
    cells = [
        number(median([percentile(getattr(run, field), percent) for run in runs]))
        for field in ("values", "last")
        for percent in (50, 99)
    ]
    cells.append(number(median([run.queue_ms for run in runs])))
    return [name, *cells, str(sum(len(run.values) for run in runs))]


def main() -> int:
    parser = script.parser_of("publishing", __doc__, runs=2)
    add = parser.add_argument
    add("--seconds", type=float, default=8.0, help="of each measurement [%(default)s]")
    return script.run("publishing", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
