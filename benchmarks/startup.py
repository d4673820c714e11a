"""How long until something can be used: commands, the service, a stream, a player.

python -m benchmarks.startup --help

The alternative for commands is Python that does nothing; for a player, hls.js alone.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks import script
from benchmarks.glass_players import bare_page, bare_site
from benchmarks.processes import ROOT
from benchmarks.results import Aim, Found, Plot, Table, median, ratio_of
from server.cli import COMMANDS
from tests.browser import drivers
from tests.browser.need import require
from tests.browser.watching import until
from tests.service import Service, temporary_media_root

TITLE = "Start-up"
# What runs when the service starts, beside its commands.
MODULES = {
    "supervisor": "server.serve",
    "encoder process": "encoder.process",
    "web process": "server.web",
    "source": "inference.worker",
}
_NOTHING = "Python alone"
_START_SECONDS = 20.0
_POSTED = "POST /api/streams → first playlist"
_POSTED_LIMIT_SECONDS = 1.0
_OWN_FIRST = "return window.lipstream && window.lipstream.firstFrameMs"
_BARE_FIRST = "return window.seen && window.seen.firstPictureMs"


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Everything in each run."""
    order = random.Random(arguments.seed)
    imports: dict[str, list[float]] = {}
    starts: dict[str, list[float]] = {}
    with temporary_media_root() as name, bare_site(Path(name)) as site:
        for run in range(arguments.runs):
            jobs = _imports()
            for what in order.sample(sorted(jobs), len(jobs)):
                imports.setdefault(what, []).append(_cpu_seconds(jobs[what]))
            for what, seconds in _service(Path(name) / str(run), site).items():
                starts.setdefault(what, []).append(seconds)
    _tell(found, imports, starts)


# --- commands ------------------------------------------------------------------------------------


def _imports() -> dict[str, list[str]]:
    """What is run to see how long a program needs before it does anything."""
    jobs = {_NOTHING: ["-c", "pass"]}
    jobs |= {f"lipstream {name} --help": ["-m", "server", name, "--help"] for name in COMMANDS}
    return jobs | {name: ["-c", f"import {module}"] for name, module in MODULES.items()}


def _cpu_seconds(words: list[str]) -> float:
    """CPU time: a busy machine stretches any other."""
    import os

    child = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"python {words} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime


# --- the service ---------------------------------------------------------------------------------


def _service(folder: Path, site: str) -> dict[str, float]:
    """Cold: nothing is known of this machine's encoders; what that finds out is kept for warm."""
    folder.mkdir()
    found = {}
    kept = {"XDG_CACHE_HOME": str(folder / "cache")}
    began = time.monotonic()
    with Service(folder / "cold", environment=kept):
        found["`lipstream serve`, cold → first playlist"] = time.monotonic() - began
    began = time.monotonic()
    with Service(folder / "media", environment=kept) as service:
        found["`lipstream serve`, warm → first playlist"] = time.monotonic() - began
        found[_POSTED] = _stream(service)
        playlist = f"{service.url}/live/demo/index.m3u8"
        pages = {
            "our page opened → first picture": (service.url + "/", _OWN_FIRST),
            "hls.js alone opened → first picture": (bare_page(site, playlist), _BARE_FIRST),
        }
        for number, (what, (page, look)) in enumerate(pages.items()):
            found[what] = _first_picture(page, look, folder / f"profile{number}")
    return found


def _stream(service: Service) -> float:
    """A second stream, in a service that runs: until its playlist lists a whole segment."""
    body: Any = {"id": "second", "source": {"type": "testcard"}}
    began = time.monotonic()
    requests.post(f"{service.url}/api/streams", json=body, timeout=20).raise_for_status()
    # Held until there is all that a player needs.
    requests.get(f"{service.url}/live/second/index.m3u8", timeout=20).raise_for_status()
    media = requests.get(f"{service.url}/live/second/v0/media.m3u8", timeout=20)
    seconds = time.monotonic() - began
    if "#EXTINF" not in media.text:
        raise SystemExit(f"a playlist that cannot be played: {media.text}")
    requests.delete(f"{service.url}/api/streams/second", timeout=20)
    return seconds


def _first_picture(page: str, look: str, profile: Path) -> float:
    """Seconds from the navigation to the first decoded picture, by the page's own clock."""
    with drivers.chromium(require("chromium"), require("chromedriver"), profile) as browser:
        browser.get("about:blank")  # the browser itself has started
        browser.get(page)
        milliseconds = until("a picture", lambda: browser.execute_script(look), _START_SECONDS)
    return float(milliseconds) / 1000


# --- what is told --------------------------------------------------------------------------------


def _tell(found: Found, imports: dict[str, list[float]], starts: dict[str, list[float]]) -> None:
    nothing = imports[_NOTHING]
    rows = [
        [what, f"{1000 * median(each):.0f}", f"{ratio_of(each, nothing):.1f}"]
        for what, each in imports.items()
    ]
    rows.sort(key=lambda row: float(row[1]))
    found.tables.append(Table("Import", ["", "CPU ms", "/ Python alone"], rows))
    rows = [[what, f"{median(each):.2f}", _list(each)] for what, each in starts.items()]
    found.tables.append(Table("Start", ["", "median s", "of each run"], rows))
    names = sorted(imports, key=lambda what: median(imports[what]))
    bars = [(float(n), 1000 * median(imports[what])) for n, what in enumerate(names)]
    short = [name.removeprefix("lipstream ").removesuffix(" --help") for name in names]
    series = {"import": bars}
    found.plots.append(Plot("startup", "Import", "", "CPU ms", series, bars=True, ticks=short))
    found.notes = [
        "A stream's first segment lies in the past when it starts: its pictures are encoded as "
        "fast as the encoder takes them, so that a playlist is there at once.",
        "The service starts with the built-in presenter, two renditions, and two web processes. "
        "Cold, it first finds out which encoder works here, in an empty cache; warm, it knows.",
    ]
    posted = median(starts[_POSTED])
    found.aims.append(Aim(f"{_POSTED}, warm", posted, _POSTED_LIMIT_SECONDS, "s"))
    own, bare = (starts[name] for name in starts if "opened" in name)
    found.ratio = ("first picture, our page / hls.js alone", ratio_of(own, bare))
    found.data = {"imports": imports, "starts": starts}


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def main() -> int:
    parser = script.parser_of("startup", __doc__, runs=3)
    return script.run("startup", TITLE, parser, measure)


if __name__ == "__main__":
    sys.exit(main())
