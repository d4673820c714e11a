"""What one part costs the packager at different lengths of the window, and what it would cost
without the lines that are kept rendered and compressed.

    python benchmarks/playlist.py

For each length: milliseconds of processor time per part to render, compress and publish one
rendition's playlist (whole and delta, plain and gzip), and the sizes. "naive" renders and
compresses all lines again for each part. The ratios compare with the shortest window.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

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

CONTROL = ServerControl(2, 6, Fraction(1, 5), Fraction(3, 5), 12)
WALL_MS, PARTS = 1_782_907_200_123, 10
REPORTS = (RenditionReport("../a0/media.m3u8", 9, 3), RenditionReport("../v1/media.m3u8", 9, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--segments", type=int, nargs="+", default=[7, 900, 3600])
    parser.add_argument("--parts", type=int, default=100, help="parts to take the median of")
    given = parser.parse_args()
    print(f"{'segments':>8}  {'whole':>9} {'gzip':>9}  {'kept':>9} {'naive':>10}  {'ratio':>6}")
    first: dict[str, float] = {}
    for count in given.segments:
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            kept, sizes = _measure(count, given.parts, Path(folder), _kept)
            naive, _sizes = _measure(count, max(10, given.parts // 5), Path(folder), _naive)
        first = first or {"kept": kept, "naive": naive}
        print(
            f"{count:8}  {sizes[0]:7} B {sizes[1]:7} B  {kept:6.2f} ms {naive:7.2f} ms"
            f"  {naive / kept:5.1f}x   against {given.segments[0]} segments:"
            f" kept {kept / first['kept']:.1f}x, naive {naive / first['naive']:.1f}x"
        )


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
    for number in range(parts):
        msn, part = count + 1 + number // PARTS, number % PARTS
        began = time.process_time()
        if part == 0 and number:
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


def _naive(window: Window, current: SegmentEntry, folder: Path) -> tuple[int, int]:
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


if __name__ == "__main__":
    main()
