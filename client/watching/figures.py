"""What a viewer saw, as figures, verdicts and text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stream must reach to pass."""

    least_fps: float = 22.5  # nine tenths of 25
    longest_first_frame_seconds: float = 3.0
    longest_mean_interval_ms: float = 60.0


@dataclass(frozen=True, slots=True)
class Spread:
    """A row of numbers, in the unit of the figure that holds it."""

    count: int
    mean: float
    median: float
    deviation: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread | None:
        """None where there are no values."""
        if not values:
            return None
        return Spread(
            count=len(values),
            mean=statistics.fmean(values),
            median=statistics.median(values),
            deviation=statistics.pstdev(values),
            least=min(values),
            most=max(values),
        )

    def text(self, digits: int) -> str:
        """The row for people."""
        names = ("mean", "median", "deviation", "least", "most")
        told = (f"{name} {getattr(self, name):.{digits}f}" for name in names)
        return f"{self.count}: " + ", ".join(told)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was asked for, and whether it came."""

    name: str
    value: float
    limit: float
    unit: str
    passed: bool

    def text(self) -> str:
        """One line for people."""
        sign = ">=" if self.name == "fps" else "<="
        unit = f" {self.unit}" if self.unit else ""
        word = "pass" if self.passed else "FAIL"
        return f"{word}  {self.name} {self.value:.2f}{unit}, wanted {sign} {self.limit:g}{unit}"


@dataclass(frozen=True, slots=True)
class Figures:
    """A viewing. Times in seconds unless the name says otherwise."""

    url: str
    rendition: str
    has_sound: bool
    seconds: float  # from the first request on
    first_frame_seconds: float
    pictures_shown: int
    pictures_decoded: int
    fps: float
    intervals_ms: Spread | None
    stalls: int
    stalled_seconds: float
    latency_seconds: Spread | None  # of each picture shown, behind its PROGRAM-DATE-TIME
    sound_seconds: float
    total_bytes: int
    requests: int
    failures: int
    reconnects: int
    jumps: int
    lost: int
    gaps: int
    discontinuities: int
    decoder_errors: int
    ended: bool
    last_error: str

    @property
    def kbit_per_second(self) -> float:
        """All bytes over all the time."""
        return self.total_bytes * 8 / 1000 / self.seconds


def frames_per_second(shown: int, first_at: float, until: float) -> float:
    """Changes of the picture from the first one to the end, so that a frozen one lowers it."""
    return (shown - 1) / (until - first_at) if until > first_at else 0.0


def verdicts(figures: Figures, limits: Limits) -> list[Verdict]:
    """Judge a viewing."""
    mean = figures.intervals_ms.mean if figures.intervals_ms else math.inf
    first = figures.first_frame_seconds
    return [
        Verdict("fps", figures.fps, limits.least_fps, "", figures.fps >= limits.least_fps),
        Verdict(
            "first frame",
            first,
            limits.longest_first_frame_seconds,
            "s",
            first <= limits.longest_first_frame_seconds,
        ),
        Verdict(
            "mean frame interval",
            mean,
            limits.longest_mean_interval_ms,
            "ms",
            mean <= limits.longest_mean_interval_ms,
        ),
    ]


def block(figures: Figures, judged: list[Verdict]) -> str:
    """The block for people."""
    rows = {
        "stream": figures.url,
        "rendition": figures.rendition,
        "watched": f"{figures.seconds:.1f} s" + (", to its end" if figures.ended else ""),
        "first frame": f"{figures.first_frame_seconds:.2f} s",
        "pictures": f"{figures.pictures_shown} shown, {figures.pictures_decoded} decoded, "
        f"{figures.decoder_errors} complaints of the decoder",
        "average fps": f"{figures.fps:.2f}",
        "intervals, ms": figures.intervals_ms.text(1) if figures.intervals_ms else "none",
        "stalls": f"{figures.stalls}, {figures.stalled_seconds:.2f} s",
        "latency, s": figures.latency_seconds.text(2)
        if figures.latency_seconds
        else "not known: no EXT-X-PROGRAM-DATE-TIME",
        "sound": f"{figures.sound_seconds:.1f} s decoded" if figures.has_sound else "none",
        "bandwidth": f"{figures.kbit_per_second:.0f} kbit/s",
        "data": f"{figures.total_bytes / 1e6:.2f} MB in {figures.requests} requests",
        "path": f"{figures.failures} failed requests, {figures.reconnects} reconnects, "
        f"{figures.jumps} jumps, {figures.lost} lost pieces, {figures.gaps} gaps, "
        f"{figures.discontinuities} discontinuities",
    }
    if figures.last_error:
        rows["last error"] = figures.last_error
    lines = [f"{name:<14} {value}" for name, value in rows.items()]
    return "\n".join([*lines, *(verdict.text() for verdict in judged)]) + "\n"


def as_json(figures: Figures, judged: list[Verdict]) -> dict[str, Any]:
    """The same for programs; a value that no number can tell is null."""
    told = asdict(figures) | {"kbit_per_second": figures.kbit_per_second}
    rows = [asdict(verdict) for verdict in judged]
    for row in rows:
        row["value"] = row["value"] if math.isfinite(row["value"]) else None
    return told | {"verdicts": rows, "passed": all(verdict.passed for verdict in judged)}
