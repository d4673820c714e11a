"""Streams, viewers and random faults for a long time: what do viewers miss, and what grows?

    python -m benchmarks.soak --minutes 45

Prints what each kind of fault cost the viewers, and memory, descriptors, threads and bytes in the
media root over time. Exit status 1: something grew, something published was lost or changed, or a
viewer waited longer than a fault may cost, or lips and voice came apart. The same seed does the
same faults in the same order.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import httpx

from benchmarks.soak_faults import Done, Faults
from benchmarks.soak_figures import Sample, Trend, look, trends
from benchmarks.soak_lips import Lips, measure
from benchmarks.soak_viewers import Viewer

SAMPLE_SECONDS = 5.0
# Streams start, caches fill: what is held then is not yet what a service holds.
WARM_UP_SECONDS = 45.0
TMPFS_MEGABYTES = 256
# A test card beside them tells how lip sync fares; a picture is 0.04 s long.
CARD, IN_SYNC_SECONDS, LIPS_SECONDS = "soak-card", 0.04, 30.0
SMALL = {"width": 640, "height": 360, "ladder": "single"}
# A viewer notices nothing up to here; two part targets and a busy machine.
USUAL_PAUSE_SECONDS = 1.0
# No fault may cost more: the supervisor's slowest restart in a row of them, and a hang.
LONGEST_PAUSE_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of fault cost the viewers, in seconds without a new part."""

    fault: str
    times: int
    noticed: int  # how often any viewer had to wait
    median: float  # of the longest wait of any viewer, per time; 0 where none waited
    longest: float


def main() -> int:
    given = _parser().parse_args()
    chance = random.Random(given.seed)
    print(
        f"{given.minutes:g} minutes, {given.streams} streams, {given.viewers} viewers each, "
        f"a fault every {given.every:g} s, seed {given.seed}",
        flush=True,
    )
    with _memory() as folder, _service(folder / "media", given.log) as (pid, url):
        faults = Faults(pid, url, folder / "media", [], chance)
        left_out = faults.left_out  # asked while the memory is there that may be filled
        viewers, samples, lips = asyncio.run(_run(given, faults, folder / "media"))
    costs, grown = _costs(viewers, faults.done), trends(samples)
    print(_report(viewers, costs, grown))
    for name in left_out:
        print(f"left out, for it cannot be done here: {name}")
    print(_of_lips(lips))
    if given.json:
        told = {"costs": [asdict(c) for c in costs], "trends": [asdict(t) for t in grown]}
        Path(given.json).write_text(json.dumps(told, indent=2))
    wrong = [*_wrong(viewers, costs, grown), *out_of_sync(lips), *undone(faults.done)]
    print("\n".join(wrong) or "nothing grew, nothing published was lost or changed")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=45, help="how long [45]")
    parser.add_argument("--seed", type=int, default=1, help="of the faults [1]")
    parser.add_argument("--streams", type=int, default=2, help="of 640x360, all followed [2]")
    parser.add_argument("--viewers", type=int, default=3, help="of each stream [3]")
    parser.add_argument("--every", type=float, default=10, help="seconds between two faults [10]")
    parser.add_argument("--json", metavar="FILE", default="", help="write the figures there too")
    parser.add_argument("--log", metavar="FILE", default="", help="write the service's log there")
    return parser


@contextmanager
def _memory() -> Iterator[Path]:
    """A tmpfs of its own, so that it can be filled, where we may mount one; else shared memory."""
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/dev/shm") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MEGABYTES}m", "tmpfs", folder]
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        try:
            yield Path(folder)
        finally:
            if mounted:
                subprocess.run(["umount", folder], check=True)


@contextmanager
def _service(root: Path, log: str) -> Iterator[tuple[int, str]]:
    """`lipstream serve` with no stream yet: its process id and URL."""
    argv = [sys.executable, "-m", "server", "serve", "--stream", "", "--port", "0"]
    argv += ["--media-root", str(root), "--log-format", "json"]
    with Path(log or "/dev/null").open("wb") as said:
        service = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        assert service.stdout is not None
        lines = iter(service.stdout.readline, "")
        url = next(line.split()[-1] for line in lines if "lipstream runs at" in line)
        yield service.pid, url
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(15)


async def _run(
    given: argparse.Namespace, faults: Faults, root: Path
) -> tuple[list[Viewer], list[Sample], list[Lips]]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=20) as client:
        for number in range(given.streams):
            stream = f"soak-{number}"
            wish = {"id": stream, **SMALL}
            (await client.post(f"{faults.url}/api/streams", json=wish)).raise_for_status()
            faults.streams.append(stream)
            (await client.get(f"{faults.url}/live/{stream}/index.m3u8")).raise_for_status()
        card = {"id": CARD, "source": {"type": "testcard"}, **SMALL}
        (await client.post(f"{faults.url}/api/streams", json=card)).raise_for_status()
        lips: list[Lips] = []
        viewers = [
            Viewer(
                client, f"{faults.url}/live/{stream}/{rendition}/media.m3u8", USUAL_PAUSE_SECONDS
            )
            for stream in faults.streams
            for rendition in ["v0", "a0", *["v0"] * given.viewers][: given.viewers]
        ]
        tasks = [asyncio.ensure_future(viewer.follow()) for viewer in viewers]
        tasks.append(asyncio.ensure_future(faults.do_for_ever(given.every)))
        tasks.append(asyncio.ensure_future(_watch_lips(client, f"{faults.url}/live/{CARD}", lips)))
        samples = await _sample(given.minutes * 60, faults.supervisor, root, tasks)
        for task in tasks:
            task.cancel()
        for viewer in viewers:
            viewer.finish()
    return viewers, samples, lips


async def _watch_lips(client: httpx.AsyncClient, base: str, lips: list[Lips]) -> None:
    while True:
        await asyncio.sleep(LIPS_SECONDS)
        with contextlib.suppress(httpx.HTTPError, LookupError, av.FFmpegError):  # a fault's time
            lips.append(await measure(client, base))


async def _sample(
    seconds: float, pid: int, root: Path, tasks: Sequence[asyncio.Task[None]]
) -> list[Sample]:
    began, samples = time.monotonic(), list[Sample]()
    while (at := time.monotonic() - began) < seconds:
        for task in tasks:
            if task.done():
                task.result()  # none ends by itself
        if at > min(WARM_UP_SECONDS, seconds / 3):
            samples.append(await asyncio.to_thread(look, at, pid, root))
        if sys.stderr.isatty():
            print(f"\r{at / 60:5.1f} of {seconds / 60:g} minutes", end="", file=sys.stderr)
        await asyncio.sleep(SAMPLE_SECONDS)
    return samples


def _costs(viewers: Sequence[Viewer], done: Sequence[Done]) -> list[Cost]:
    """Each pause is put down to the fault that began last before its end, even if that failed."""
    waits: dict[str, list[float]] = {fault.name: [] for fault in done}
    for number, fault in enumerate(done):
        until = done[number + 1].began if number + 1 < len(done) else float("inf")
        pauses = [
            pause.seconds
            for viewer in viewers
            for pause in viewer.pauses
            if fault.began < pause.ended <= until
        ]
        if not fault.error or pauses:
            waits[fault.name].append(max(pauses, default=0.0))
    return [
        Cost(name, len(each), sum(w > 0 for w in each), statistics.median(each), max(each))
        for name, each in sorted(waits.items())
        if each
    ]


def undone(done: Sequence[Done]) -> list[str]:
    """Kinds of faults that never came to their end: nothing is known of them."""
    ended = {fault.name for fault in done if not fault.error}
    why = {fault.name: fault.error for fault in done if fault.name not in ended}
    return [f"never done: {name} ({error})" for name, error in sorted(why.items())]


def _report(viewers: Sequence[Viewer], costs: Sequence[Cost], grown: Sequence[Trend]) -> str:
    lines = ["", "| fault | times | noticed | median wait, s | longest wait, s |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| {c.fault} | {c.times} | {c.noticed} | {c.median:.2f} | {c.longest:.2f} |" for c in costs
    ]
    lines += ["", "| held by | figure | first third | last third | peak |", "|---|---|---|---|---|"]
    lines += [
        f"| {t.role} | {t.figure} | {t.first:.1f} | {t.last:.1f} | {t.peak:.1f} |" for t in grown
    ]
    parts, refused = sum(v.parts for v in viewers), sum(v.refused for v in viewers)
    lines += ["", f"{len(viewers)} viewers got {parts} files, and were refused {refused} times"]
    return "\n".join(lines)


def _of_lips(lips: Sequence[Lips]) -> str:
    offsets = [abs(each) for one in lips for each in one.offsets]
    if not offsets:
        return "lip sync: no flash was seen"
    middle, worst = statistics.median(offsets), max(offsets)
    return f"lip sync: {len(offsets)} flashes, off by {middle:.3f} s, {worst:.3f} s at most"


def out_of_sync(lips: Sequence[Lips]) -> list[str]:
    """Of each time the median: a flash at the edge of a fault has no beep of its own."""
    if not any(each.offsets for each in lips):
        return ["no flash of the test card was seen"]
    middle = [statistics.median(each.offsets) for each in lips if each.offsets]
    worst = max(middle, key=abs)
    return [f"lips are off by {worst:.3f} s"] if abs(worst) > IN_SYNC_SECONDS else []


def _wrong(viewers: Sequence[Viewer], costs: Sequence[Cost], grown: Sequence[Trend]) -> list[str]:
    said = [f"broken: {promise}" for viewer in viewers for promise in viewer.broken]
    said += [f"grows: {t.role} {t.figure} {t.first:.1f} -> {t.last:.1f}" for t in grown if t.grows]
    said += [
        f"too long: {c.fault} cost {c.longest:.1f} s, the limit is {LONGEST_PAUSE_SECONDS:g}"
        for c in costs
        if c.longest > LONGEST_PAUSE_SECONDS
    ]
    said += [f"nothing came: {v.url}" for v in viewers if not v.parts]
    return said


if __name__ == "__main__":
    sys.exit(main())
