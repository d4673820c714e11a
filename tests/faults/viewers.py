"""What viewers see of a fault: a browser that plays, and clients that follow the playlists."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

from client.fetch import HttpFetch
from client.observe import next_position, with_query
from client.playlists import MediaPlaylist, Segment
from client.reader import read_media_playlist
from tests.browser.watching import diagnostics, until, until_live

RENDITIONS = ("v0", "a0")
# A held reload is answered within three target durations (40).
REQUEST_SECONDS = 8.0

# A row whose times are too long is measured again where processes waited for a processor in more
# than this share of it, so often at most.
STARVED, TRIES = 0.75, 3
_PRESSURE = Path("/proc/pressure/cpu")

# In the page, from its start to its end: how long the player stood still at most, and whether it
# began anew. `window.witness` dies with the document, so a reload shows too.
WITNESS = """
const video = document.querySelector("video");
const seen = { longest: 0, emptied: 0, at: video.currentTime, movedMs: performance.now() };
window.witness = seen;
video.addEventListener("emptied", () => { seen.emptied += 1; });
setInterval(() => {
  const now = performance.now();
  if (video.currentTime !== seen.at) {
    // A page that got no time to look has not stood still: its picture went on meanwhile. A jump
    // forth, as a player makes after a stall, is no such thing.
    const elapsed = now - seen.movedMs;
    const played = Math.max(0, video.currentTime - seen.at) * 1000;
    const stood = played > elapsed + 250 ? elapsed : elapsed - played;
    seen.longest = Math.max(seen.longest, stood);
    [seen.at, seen.movedMs] = [video.currentTime, now];
  }
}, 20);
"""
READ = """
const seen = window.witness;
if (!seen) return null;
return { ...seen, now: performance.now() };
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one row of the fault table; seconds."""

    fault: str
    part_gap: float  # the longest wait for a new part, over picture and sound
    freeze: float  # the longest time for which the player in the browser stood still
    fatal_errors: int  # of hls.js
    restarts: int  # of the player within the page
    reloads: int  # of the page
    discontinuities: int  # that were added to the playlist
    broken: tuple[str, ...]  # rules that a playlist broke, in words
    note: str = ""


class CpuPressure:
    """How much of the time since it was made some process had to wait for a processor."""

    def __init__(self) -> None:
        self._began, self._waited = time.monotonic(), self._waited_seconds()

    @property
    def share(self) -> float:
        """0 to 1; 0 where the kernel does not tell."""
        elapsed = time.monotonic() - self._began
        return (self._waited_seconds() - self._waited) / elapsed

    @staticmethod
    def _waited_seconds() -> float:
        """``some`` of PSI (Documentation/accounting/psi.rst of Linux)."""
        try:
            some = _PRESSURE.read_text().splitlines()[0]
        except OSError:
            return 0.0
        return int(some.rpartition("total=")[2]) / 1e6


class Follower:
    """Reloads one media playlist as a player does, and holds each answer against the one before."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.broken: list[str] = []
        self.newest: MediaPlaylist | None = None
        self.arrivals: list[float] = []  # when a new part or segment was told
        self._fetch = HttpFetch()
        self._is_full = False  # something has left the playlist
        self._known: dict[int, tuple[Any, ...]] = {}
        self._eras: dict[int, int] = {}  # discontinuity number by msn
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        self._thread.start()
        until("a playlist", lambda: self.newest, 10)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(REQUEST_SECONDS + 2)

    @property
    def last_msn(self) -> int:
        assert self.newest is not None
        return self.newest.last_msn

    @property
    def discontinuities(self) -> int:
        """All that there have been."""
        newest = self.newest  # one, for the next may come meanwhile
        assert newest is not None
        within = sum(segment.discontinuity for segment in newest.every)
        return (newest.discontinuity_sequence or 0) + within

    def _follow(self) -> None:
        while not self._stopped.is_set():
            msn, part = next_position(self.newest)
            asked = {"_HLS_msn": msn, "_HLS_part": part}
            url = with_query(self.url, {k: v for k, v in asked.items() if v is not None})
            answer = self._fetch(url, seconds=REQUEST_SECONDS)
            if answer.status == 200:
                self._take(read_media_playlist(answer.body))
            else:
                self._stopped.wait(0.1)

    def _take(self, playlist: MediaPlaylist) -> None:
        before, self.newest = self.newest, playlist
        if before is None or playlist.position != before.position:
            self.arrivals.append(time.monotonic())
        self.broken += [f"{fault}" for fault in playlist.faults]
        if before is not None:
            self._compare(before, playlist)
        self._remember(playlist)

    def _compare(self, before: MediaPlaylist, now: MediaPlaylist) -> None:
        if now.media_sequence < before.media_sequence or now.last_msn < before.last_msn:
            self.broken.append(f"6: msn fell from {before.last_msn} to {now.last_msn}")
        # A new stream grows first, until something has left.
        if now.media_sequence > before.media_sequence:
            self._is_full = True
        if self._is_full and now.seconds < 3 * (now.target_duration or 0):
            self.broken.append(f"7: only {float(now.seconds)} s in the window")

    def _remember(self, playlist: MediaPlaylist) -> None:
        era = playlist.discontinuity_sequence or 0
        for segment in playlist.every:
            era += segment.discontinuity
            if self._eras.setdefault(segment.msn, era) != era:
                self.broken.append(f"17: segment {segment.msn} has another discontinuity number")
            self._remember_segment(segment)

    def _remember_segment(self, segment: Segment) -> None:
        if not segment.uri:
            return
        facts = (segment.uri, segment.duration, segment.map_uri, segment.wall, segment.gap)
        if self._known.setdefault(segment.msn, facts) != facts:
            self.broken.append(f"8: segment {segment.msn} was {self._known[segment.msn]}")

    def take_broken(self) -> list[str]:
        """What was broken since it was last asked."""
        broken, self.broken = self.broken, []
        return broken

    def longest_gap(self, since: float) -> float:
        """Between two arrivals, the last one before ``since`` included, until now."""
        after = [at for at in self.arrivals if at >= since]
        before = [at for at in self.arrivals if at < since][-1:]
        times = [*before, *after, time.monotonic()]
        return max(b - a for a, b in pairwise(times))


@dataclass
class Audience:
    """A browser and the followers, for as long as a service runs.

    ``rows`` is where finished rows go, for the table of `tools/fault_table.py`.
    """

    url: str
    browser: Chrome
    rows: Path | None = None
    followers: list[Follower] = field(default_factory=list)

    def __enter__(self) -> Audience:
        self.browser.get(self.url + "/")
        until_live(self.browser)
        self.browser.execute_script(WITNESS)
        for name in RENDITIONS:
            follower = Follower(f"{self.url}/live/demo/{name}/media.m3u8")
            follower.start()
            self.followers.append(follower)
        return self

    def __exit__(self, *_: object) -> None:
        for follower in self.followers:
            follower.stop()

    @property
    def video(self) -> Follower:
        return self.followers[0]

    def wait_for_segments(self, more: int, seconds: float = 20) -> None:
        """So many more complete segments in every rendition."""
        wanted = max(follower.last_msn for follower in self.followers) + more
        self.wait_until_segment(wanted, seconds)

    def wait_until_segment(self, msn: int, seconds: float = 20) -> None:
        """Segment ``msn`` is complete in every rendition."""
        for follower in self.followers:
            until(f"segment {msn} of {follower.url}", partial(_has, follower, msn), seconds)

    def promise(
        self,
        fault: str,
        act: Callable[[Row], None],
        *,
        undo: Callable[[], None] = lambda: None,
        freeze: float = 2.0,
        part_gap: float = math.inf,
        **limits: int,
    ) -> Seen:
        """Make a fault, and hold what viewers saw of it against what its row promises.

        How long something took may be measured again, and only where processes had to wait for a
        processor almost all the time: such a time tells of the machine. What was broken is broken.

        Args:
            fault: the row's name.
            act: makes the fault.
            undo: makes another try possible.
            freeze: seconds for which the player may stand still.
            part_gap: seconds that may pass between two parts.
            limits: further ones of :func:`check`.
        """
        for left in reversed(range(TRIES)):
            pressure = CpuPressure()
            with self._measured(fault) as row:
                act(row)
            in_time = row.seen.freeze <= freeze and row.seen.part_gap <= part_gap
            is_late = bool(row.late) or not in_time
            again = left and is_late and pressure.share > STARVED
            if not again:
                self._keep(row.seen)
            check(row.seen, freeze=math.inf, **limits)
            if again:
                undo()
                continue
            assert not is_late, (row.seen, row.late, pressure.share)
            return row.seen
        raise AssertionError("the last try returns")

    @contextmanager
    def row(self, fault: str, *, settle_segments: int = 2) -> Iterator[Row]:
        """Measure what happens in the block and until all is calm again."""
        with self._measured(fault, settle_segments=settle_segments) as row:
            yield row
        self._keep(row.seen)

    def _keep(self, seen: Seen) -> None:
        if self.rows is not None:
            with self.rows.open("a") as file:
                file.write(json.dumps(asdict(seen)) + "\n")

    @contextmanager
    def _measured(self, fault: str, *, settle_segments: int = 2) -> Iterator[Row]:
        began = time.monotonic()
        self.browser.execute_script("Object.assign(window.witness, {longest: 0, emptied: 0})")
        errors = diagnostics(self.browser)["fatalErrors"]
        discontinuities = self.video.discontinuities
        between = [word for follower in self.followers for word in follower.take_broken()]
        assert between == [], "since the last row"
        row = Row()
        yield row
        self.wait_for_segments(settle_segments)
        until("the page says live", lambda: diagnostics(self.browser)["state"] == "live", 15)
        witness = self.browser.execute_script(READ)
        standing = witness["now"] - witness["movedMs"] if witness else 0
        row.seen = Seen(
            fault=fault,
            part_gap=round(max(f.longest_gap(began) for f in self.followers), 2),
            freeze=round(max(witness["longest"], standing) / 1000, 2) if witness else 0.0,
            fatal_errors=diagnostics(self.browser)["fatalErrors"] - errors,
            restarts=witness["emptied"] if witness else 0,
            reloads=0 if witness else 1,
            discontinuities=self.video.discontinuities - discontinuities,
            broken=tuple(word for follower in self.followers for word in follower.take_broken()),
            note=row.note,
        )


def _has(follower: Follower, msn: int) -> bool:
    return follower.last_msn >= msn


@dataclass
class Row:
    """Filled when its block has ended."""

    note: str = ""
    late: str = ""  # what else took too long, in words
    seen: Seen = field(init=False)


def check(
    seen: Seen,
    *,
    freeze: float = 2.0,
    discontinuities: int = 0,
    fatal_errors: int = 0,
    restarts: int = 0,
) -> None:
    """What every row promises: the page plays on by itself, and no playlist breaks a rule.

    Args:
        seen: the row.
        freeze: seconds for which the player may stand still.
        discontinuities: that must have been added.
        fatal_errors: that hls.js may report, where nothing answers for longer than its patience.
        restarts: times that the page may then begin anew by itself.
    """
    assert seen.broken == (), seen
    assert seen.reloads == 0, seen
    assert seen.restarts <= restarts, seen
    assert seen.fatal_errors <= fatal_errors, seen
    assert seen.freeze <= freeze, seen
    assert seen.discontinuities == discontinuities, seen
