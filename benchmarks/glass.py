"""Glass to glass: from the drawing of a picture to its pixels in a browser's <video>.

python -m benchmarks.glass --help

The test card writes the time into each picture that it draws. A page draws what its <video> shows
into a canvas and reads that time back, by the same clock. Both latency profiles are watched in our
own page and in a page with hls.js alone; beside them plain HLS of 2 s segments, by ffmpeg's own
muxer and a static server. One watch of our page is long, for stalls; the others only begin anew,
for a player keeps for ever the delay that it began with.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import glass_budget, script
from benchmarks.codes import drawn_times
from benchmarks.collecting import Collected, collecting
from benchmarks.glass_players import (
    FPS,
    SIZE,
    Watched,
    bare_page,
    bare_site,
    plain_hls,
    watch,
)
from benchmarks.results import Aim, Found, Plot, Table, median, number, percentile
from tests.service import Service, temporary_media_root

TITLE = "Glass to glass"
PAGE, BARE, PLAIN = "our page", "hls.js alone", "ffmpeg's HLS, 2 s segments"
LIMITS = {("low", PAGE): 0.9, ("ultra", PAGE): 0.6, ("low", BARE): 1.3, ("ultra", BARE): 1.1}
# The origin's share: half a part, and this.
SHARE_MS = 60.0
# Five pictures: no stop that a viewer notices.
STOP_MS = 200.0
PROFILES = ("low", "ultra")


@dataclass(slots=True)
class Case:
    """One player of one stream, all its starts."""

    profile: str
    player: str
    watched: list[Watched] = field(default_factory=list)
    stages: list[glass_budget.Stages] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For a row."""
        return f"{self.profile}: {self.player}" if self.profile else self.player

    @property
    def medians(self) -> list[float]:
        """Seconds, of each start."""
        return [median(one.delays) for one in self.watched]

    @property
    def stalls(self) -> int:
        """In all starts together."""
        return sum(one.stalls for one in self.watched)


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """All cases; the order of the players within a profile is the seed's."""
    order = random.Random(arguments.seed)
    cases = []
    with temporary_media_root() as name, bare_site(Path(name)) as site:
        for profile in PROFILES:
            cases += _of_profile(arguments, profile, site, Path(name), order)
        cases.append(_plain(arguments, site, Path(name)))
    _tell(found, cases)


def _of_profile(
    arguments: argparse.Namespace, profile: str, site: str, folder: Path, order: random.Random
) -> list[Case]:
    cases = [Case(profile, PAGE), Case(profile, BARE)]
    width, height = map(str, SIZE)
    flags: tuple[str, ...] = (
        "--source",
        "testcard",
        "--width",
        width,
        "--height",
        height,
        "--fps",
        str(FPS),
    )
    flags += ("--latency", profile, "--ladder", "single")
    with Service(folder / profile, flags) as service:
        rendition = folder / profile / "live" / "demo" / "v0"
        playlist = f"{service.url}/live/demo/index.m3u8"
        for number_of_run in range(arguments.runs):
            for case in order.sample(cases, 2):
                is_long = case.player == PAGE and not number_of_run
                seconds = arguments.seconds if is_long else arguments.again
                page = service.url + "/" if case.player == PAGE else bare_page(site, playlist)
                profile_folder = folder / f"{profile}-{case.player[:3]}-{number_of_run}"
                with collecting(rendition) as collected:
                    seen = watch(page, seconds, profile_folder)
                case.watched.append(seen)
                lag = glass_budget.encode_lag(service.url)
                case.stages.append(_stages(seen, collected, lag))
                print(f"{case.name}: {median(seen.delays):.3f} s", flush=True)
    return cases


def _stages(seen: Watched, collected: Collected, lag: float) -> glass_budget.Stages:
    return glass_budget.stages(seen, collected, drawn_times(collected), lag)


def _plain(arguments: argparse.Namespace, site: str, folder: Path) -> Case:
    case = Case("", PLAIN)
    with plain_hls(folder / "plain"):
        page = bare_page(site, f"{site}/plain/media.m3u8")
        case.watched.append(watch(page, arguments.again, folder / "plain-profile"))
    return case


# --- what is told --------------------------------------------------------------------------------


def _tell(found: Found, cases: list[Case]) -> None:
    found.tables.append(_delays_table(cases))
    own = [case for case in cases if case.stages]
    floors = {case.profile: glass_budget.floor_ms(case.profile, case.stages) for case in own}
    found.tables.append(glass_budget.table([(case.name, case.stages) for case in own], floors))
    for case in own:
        limit = LIMITS[case.profile, case.player]
        found.aims.append(Aim(f"{case.name}, median", median(case.medians), limit, "s"))
    for case in own:
        if case.player == PAGE:
            found.aims.append(Aim(f"{case.name}, stalls", case.stalls, 0))
            longest = max(one.frozen_ms for one in case.watched)
            found.aims.append(Aim(f"{case.name}, longest stop", longest, STOP_MS, "ms"))
    for case in own:
        if case.player == PAGE:
            share = glass_budget.origin_share_ms(case.stages)
            limit = glass_budget.part_ms(case.profile) / 2 + SHARE_MS
            what = f"{case.profile}: handed over → part at the client, median"
            found.aims.append(Aim(what, share, limit, "ms"))
    found.plots.append(_plot(cases))
    page, plain = cases[0], cases[-1]
    found.ratio = ("our page, low / ffmpeg's HLS", median(page.medians) / median(plain.medians))
    found.notes += glass_budget.NOTES
    found.data = {
        case.name: {
            "medians": case.medians,
            "stalls": case.stalls,
            "delays": [[round(delay, 3) for delay in one.delays] for one in case.watched],
            "stages": [one.medians() for one in case.stages],
        }
        for case in cases
    }


def _delays_table(cases: list[Case]) -> Table:
    headings = ["", "starts", "median s", "of each start", "p95 s", "stalls", "longest stop ms"]
    headings += ["pictures", "not read", "dropped"]
    return Table("From drawing to showing", headings, [_row(case) for case in cases])


def _row(case: Case) -> list[str]:
    delays = [delay for one in case.watched for delay in one.delays]
    return [
        case.name,
        str(len(case.watched)),
        f"{median(case.medians):.2f}",
        ", ".join(f"{each:.2f}" for each in case.medians),
        f"{percentile(delays, 95):.2f}",
        str(case.stalls),
        number(max(one.frozen_ms for one in case.watched)),
        str(len(delays)),
        str(sum(one.unread for one in case.watched)),
        str(sum(one.dropped for one in case.watched)),
    ]


def _plot(cases: list[Case]) -> Plot:
    shares = range(0, 101, 2)
    series = {}
    for case in (case for case in cases if case.player != PLAIN):  # it is far to the right
        delays = [delay for one in case.watched for delay in one.delays]
        series[case.name] = [(percentile(delays, share), float(share)) for share in shares]
    return Plot("glass", "Delay of the pictures", "seconds behind drawing", "% of pictures", series)


def main() -> int:
    parser = script.parser_of("glass", __doc__, runs=3)
    add = parser.add_argument
    add("--seconds", type=float, default=60.0, help="of our page, the first time [%(default)s]")
    add("--again", type=float, default=12.0, help="of every other watch [%(default)s]")
    given = parser.parse_args()
    if given.quick:
        parser.set_defaults(seconds=10.0, again=5.0)
    return script.run("glass", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
