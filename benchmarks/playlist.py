"""What one part costs the packager at different lengths of the window, and what it would cost
without the lines that are kept rendered and compressed.

python -m benchmarks.playlist --help

For each length: milliseconds of processor time per part to render, compress and publish one
rendition's playlist (whole and delta, plain and gzip), and the sizes. "Anew" renders and compresses
all lines for each part.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from benchmarks import script
from benchmarks.results import Found, Table, median, number
from encoder.playlist import (
    Forms,
    MediaPlaylist,
    PartEntry,
    RenditionReport,
    SegmentEntry,
    ServerControl,
    render_media_playlist,
)
from encoder.window import Window

TITLE = "What a part costs at different lengths of the window"
CONTROL = ServerControl(2, 6, Fraction(1, 5), Fraction(3, 5), 12)
WALL_MS, PARTS = 1_782_907_200_123, 10
REPORTS = (RenditionReport("../a0/media.m3u8", 9, 3), RenditionReport("../v1/media.m3u8", 9, 3))


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Each length both ways, in each run."""
    parts = arguments.parts // (5 if arguments.quick else 1)
    rows: dict[int, list[tuple[float, float]]] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for _ in range(arguments.runs):
        for count in arguments.segments:
            with tempfile.TemporaryDirectory(dir=_memory()) as folder:
                kept, sizes[count] = _measure(count, parts, Path(folder), _kept)
                anew, _sizes = _measure(count, max(10, parts // 5), Path(folder), _anew)
            rows.setdefault(count, []).append((kept, anew))
    _tell(found, rows, sizes)


def _tell(
    found: Found, rows: dict[int, list[tuple[float, float]]], sizes: dict[int, tuple[int, int]]
) -> None:
    times = {n: [median([run[way] for run in runs]) for way in (0, 1)] for n, runs in rows.items()}
    shortest = times[min(times)][0]
    cells = [
        [
            str(count),
            *map(str, sizes[count]),
            *(f"{ms:.2f}" for ms in both),
            number(both[1] / both[0]),
            number(both[0] / shortest),
        ]
        for count, both in times.items()
    ]
    headings = ["segments", "bytes", "gzip", "kept, ms", "anew, ms", "anew / kept", "/ shortest"]
    found.tables.append(Table("CPU for each part", headings, cells))
    longest = times[max(times)]
    found.ratio = ("the longest window, anew / kept", longest[1] / longest[0])
    found.data = {"milliseconds": {str(count): both for count, both in times.items()}}


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


Publish = Callable[[Window, SegmentEntry, Path], tuple[int, int]]


def _measure(
    count: int, parts: int, folder: Path, publish: Publish
) -> tuple[float, tuple[int, int]]:
    """Median processor time of a part while the window slides."""
    window = Window(CONTROL, (_segment(msn) for msn in range(1, count + 1)))
    publish(window, _segment(count + 1), folder)  # an hour's window was not made in one part
    spent, sizes = [], (0, 0)
    for index in range(parts):
        msn, part = count + 1 + index // PARTS, index % PARTS
        began = time.process_time()
        if part == 0 and index:
            window.append(_segment(msn - 1))
            window.popleft()
            window.note_length()
        sizes = publish(window, _segment(msn, part + 1, uri=""), folder)
        spent.append((time.process_time() - began) * 1e3)
    return statistics.median(spent), sizes


def _kept(window: Window, current: SegmentEntry, folder: Path) -> tuple[int, int]:
    playlist = MediaPlaylist(
        CONTROL, window.newest, current, 0, "r-9.9.m4s", REPORTS, older=window.older
    )
    forms = Forms(playlist)
    whole = forms.both()
    _put(folder, *(forms.both(delta=True) if forms.has_delta else whole))
    return _put(folder, *whole)


def _anew(window: Window, current: SegmentEntry, folder: Path) -> tuple[int, int]:
    older = window.older
    before = [entry for block in older.blocks for entry in block.entries] if older else []
    segments = (*before, *window.newest)
    playlist = MediaPlaylist(CONTROL, segments, current, 0, "r-9.9.m4s", REPORTS)
    for delta in (True, False):
        text = render_media_playlist(playlist, delta=delta).encode()
        sizes = _put(folder, text, gzip.compress(text, 6, mtime=0))
    return sizes


def _put(folder: Path, data: bytes, packed: bytes) -> tuple[int, int]:
    for name, content in (("media.m3u8.gz", packed), ("media.m3u8", data)):
        partial = folder / f".partial-{name}"
        partial.write_bytes(content)
        partial.rename(folder / name)
    return len(data), len(packed)


def _segment(msn: int, parts: int = PARTS, uri: str | None = None) -> SegmentEntry:
    run = "69206e8f1a2b"
    name = f"{run}-{msn}.m4s" if uri is None else uri
    listed = (
        PartEntry(f"{run}-{msn}.{n}.m4s", Fraction(1, 5), independent=n == 0) for n in range(parts)
    )
    wall_ms = WALL_MS + 2000 * msn
    return SegmentEntry(msn, name, Fraction(2), f"{run}-init.mp4", wall_ms, parts=tuple(listed))


def main() -> int:
    parser = script.parser_of("playlist", __doc__, runs=2)
    add = parser.add_argument
    lengths = [7, 900, 3600]
    add("--segments", type=int, nargs="+", default=lengths, help="in the window [7 900 3600]")
    add("--parts", type=int, default=100, help="of which the median is taken [%(default)s]")
    return script.run("playlist", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
