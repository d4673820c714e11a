"""Where the time from drawing to showing goes, stage by stage."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from fractions import Fraction
from urllib.parse import parse_qs, urlsplit

import requests

from benchmarks.collecting import Collected, Part
from benchmarks.glass_players import FPS, Watched
from benchmarks.results import BUDGET, Table, median, number
from config import PART_SECONDS
from encoder.timing import Timing, plan

NOTES = [
    "*encode*: from the writing of a part's last picture into ffmpeg's pipe to the part's rename, "
    "as the encoder process itself counts it. It includes one picture's time that ffmpeg's MP4 "
    "muxer takes: it lets a fragment go only when the next picture arrives.",
    "*source → pipe* is what is left of the time from drawing to the part's rename: a test card "
    "draws ahead, as far as the encoder has room, and its pictures wait in that queue.",
    "*part fill*: what a picture waits for the last one of its part. *held reload*: from the "
    "playlist's rename to its last byte at the browser, which had asked before. *player asks*: "
    "from there to the request of the part. *player*: from the part's last byte to the picture on "
    "the canvas; decoding is part of it and stands below.",
    "*floor*: encode, a whole part, PART-HOLD-BACK: how far behind a player has to be that does "
    "as the playlist says, if everything else takes no time.",
    "One rendition only, so that no player changes it meanwhile. A player stays where it began: "
    "hls.js alone begins somewhere within a few hundred milliseconds, hence several starts.",
]


@dataclass(frozen=True, slots=True)
class Stages:
    """Milliseconds, one value for each picture or each part that could be followed."""

    source: list[float]
    encode: list[float]
    fill: list[float]
    publish: list[float]
    reload: list[float]
    asks: list[float]
    fetch: list[float]
    player: list[float]
    decode: list[float]

    def medians(self) -> dict[str, float]:
        """By stage."""
        return {each.name: median(getattr(self, each.name)) for each in fields(self)}


ROWS = (
    ("source", "source → pipe"),
    ("fill", "part fill"),
    ("encode", "encode, mux"),
    ("publish", "publish: part, then playlist"),
    ("reload", "held reload"),
    ("asks", "player asks for the part"),
    ("fetch", "fetch"),
    ("player", "player"),
)


def encode_lag(url: str) -> float:
    """Milliseconds from pipe to part, the median of the last 30 s."""
    figures = requests.get(f"{url}/api/streams/demo", timeout=5).json()
    return 1000 * float(figures["encode_lag_seconds"]["median"])


def stages(
    seen: Watched, collected: Collected, drawn: dict[str, list[int | None]], lag_ms: float
) -> Stages:
    """Follow what was shown back to its part."""
    found = Stages([], [lag_ms], [], [], [], [], [], [], seen.decode_ms)
    shown = {int(at_drawing): at for at_drawing, at in seen.pictures}
    reloads = _reloads(seen)
    files = {urlsplit(url).path.rpartition("/")[2]: times for url, times in seen.fetched.items()}
    for part in collected.parts:
        times = [time for time in drawn.get(part.name, ()) if time is not None]
        if not times:
            continue
        found.source.append(1000 * part.at - times[-1] - lag_ms)
        found.fill.extend(float(times[-1] - time) for time in times)
        _follow(part, collected, reloads, files, found)
        if part.name in files:
            arrived = files[part.name][2]
            found.player.extend(shown[time] - arrived for time in times if time in shown)
    return found


def _follow(
    part: Part,
    collected: Collected,
    reloads: dict[tuple[int, int], tuple[float, float, float]],
    files: dict[str, tuple[float, float, float]],
    found: Stages,
) -> None:
    listed = collected.playlist_after(part)
    reload = reloads.get((part.msn, part.number))
    if listed is None or reload is None or part.name not in files:
        return
    asked, _first, arrived = files[part.name]
    found.publish.append(1000 * (listed - part.at))
    found.reload.append(reload[2] - 1000 * listed)
    found.asks.append(asked - reload[2])
    found.fetch.append(arrived - asked)


def _reloads(seen: Watched) -> dict[tuple[int, int], tuple[float, float, float]]:
    """Blocking reloads of the picture's playlist by the part that they wait for."""
    found = {}
    for url, times in seen.fetched.items():
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        if re.search(r"/v0/media\.m3u8$", parts.path) and "_HLS_part" in query:
            found[int(query["_HLS_msn"][0]), int(query["_HLS_part"][0])] = times
    return found


def timing_of(profile: str) -> Timing:
    """The arithmetic of a stream of that profile."""
    part = PART_SECONDS[profile]
    return plan(fps=FPS, audio_rate_hz=48_000, part_seconds=part, segment_seconds=2.0)


def part_ms(profile: str) -> float:
    """Length of a part of the picture."""
    return float(1000 * timing_of(profile).video.part_seconds)


def floor_ms(profile: str, found: list[Stages]) -> float:
    """Encode, a part, hold-back."""
    timing = timing_of(profile)
    encode = median([lag for one in found for lag in one.encode])
    return encode + float(Fraction(1000) * (timing.video.part_seconds + timing.part_hold_back))


def origin_share_ms(found: list[Stages]) -> float:
    """From hand-over of a picture to its part at the browser: the sum of the medians."""
    names = ("fill", "encode", "publish", "reload", "asks", "fetch")
    return sum(_median_of(found, name) for name in names)


def _median_of(found: list[Stages], name: str) -> float:
    return median([one.medians()[name] for one in found])


def table(cases: list[tuple[str, list[Stages]]], floors: dict[str, float]) -> Table:
    """The budget; medians over starts of the medians of each start, in milliseconds."""
    rows = []
    for name, title in ROWS:
        rows.append([title, *(number(_median_of(found, name)) for _case, found in cases)])
    sums = [sum(_median_of(found, name) for name, _title in ROWS) for _case, found in cases]
    rows.append(["**sum**", *map(number, sums)])
    rows.append(["of it, decoding", *(number(_median_of(f, "decode")) for _c, f in cases)])
    rows.append(["**floor**", *(number(floors[case.partition(":")[0]]) for case, _found in cases)])
    return Table(BUDGET, ["", *(case for case, _found in cases)], rows)
