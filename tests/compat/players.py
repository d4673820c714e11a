"""Who plays: every player with how it is started, and which of them play at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from imageio_ffmpeg import get_ffmpeg_exe

from tests.browser.folder_site import serve_folder
from tests.browser.need import missing, require
from tests.browser.watching import until
from tests.compat import browsers, programs
from tests.compat.libraries import CACHE, HLS_JS_OLD, SHAKA, Library, NoLibrary, fetch
from tests.compat.recorder import Punctuality, Record, recorder
from tests.compat.result import Playing, Result
from tools.vendor import HLS_JS, VENDOR

PAGES = Path(__file__).resolve().parent / "pages"
# Small: the player is to be judged, not the machine that decodes many of them at once.
STREAM_FLAGS = ("--width", "640", "--height", "360", "--mpegts")
STREAM = "/live/demo/index.m3u8"
TRANSPORT_STREAM = "/live/demo/ts.m3u8"
SEGMENTS, WINDOW_SECONDS = 4, 15


@dataclass(frozen=True, slots=True)
class Seat:
    """What a player is given: its own way to the stream, the pages, and a folder."""

    record: Record
    site: str
    home: Path

    def page(self, name: str, library: str = "", stream: str = STREAM) -> str:
        return browsers.address(self.site, name, f"{self.record.url}{stream}", library)


@dataclass(frozen=True, slots=True)
class Player:
    """`play` returns what was seen, and what it played in.

    A name is "player" or "player in browser".
    """

    name: str
    play: Callable[[Seat], tuple[Playing, str]]
    low_latency: bool = True  # it is known to take parts and held reloads
    pictures: bool = True  # it shows them all
    dated: bool = True  # it knows when they were made
    stalls: int = 0  # that are its own, and not the stream's

    @property
    def title(self) -> str:
        """Without the browser, whose version only the run knows."""
        return self.name.partition(" in ")[0]


def _library(library: Library) -> str:
    try:
        return f"/libraries/{fetch(library).name}"
    except NoLibrary as error:
        missing(str(error))


def _chromium(name: str, page: str, library: Callable[[], str], stalls: int = 0) -> Player:
    return Player(
        f"{name} in Chromium",
        lambda seat: browsers.in_chromium(seat.page(page, library()), seat.home),
        stalls=stalls,
    )


_HLS_JS = f"hls.js {HLS_JS.version}"
_VENDORED = "/vendor/hls.min.mjs"
_CURL = Player(
    "curl",
    lambda seat: (programs.curl(require("curl"), seat.record), "`follow.sh`"),
    stalls=3,  # it holds nothing in hand: every part shows that a busy machine publishes late
)
_FFMPEG_WHEEL = Player(
    "ffmpeg",
    lambda seat: (programs.ffmpeg(get_ffmpeg_exe(), seat.record), "imageio-ffmpeg, our encoder"),
    low_latency=False,
)
_FFMPEG_SYSTEM = Player(
    "ffmpeg of the system",
    lambda seat: (programs.ffmpeg(require("ffmpeg"), seat.record), "-"),
    low_latency=False,
)
_GSTREAMER = Player(
    "GStreamer hlsdemux2",
    lambda seat: (programs.gstreamer(require("gst-launch-1.0"), seat.record), "`playbin3`"),
    low_latency=False,
)
_FIREFOX = Player(
    f"{_HLS_JS} in Firefox",
    lambda seat: browsers.in_firefox(seat.page("hlsjs", _VENDORED), seat.home),
)
_WEBKIT = Player(
    f"{_HLS_JS} in WebKitGTK",
    lambda seat: browsers.in_webkit(seat.page("hlsjs", _VENDORED), seat.home),
    # Without a sound card its clock runs 0.5 % fast: what it has in hand can run out once.
    stalls=1,
)
# It sits at PART-HOLD-BACK itself, 0.6 s, with next to nothing in hand.
_SHAKA = _chromium(f"Shaka Player {SHAKA.version}", "shaka", lambda: _library(SHAKA), stalls=1)
_WEBKIT_NATIVE = Player(
    "WebKitGTK's own player, fMP4",
    lambda seat: browsers.in_webkit(seat.page("native"), seat.home),
    low_latency=False,
    pictures=False,  # its GStreamer paints one picture of live fMP4 and no more
    dated=False,
)
_WEBKIT_TS = Player(
    "WebKitGTK's own player, MPEG-TS",
    lambda seat: browsers.in_webkit(seat.page("native", stream=TRANSPORT_STREAM), seat.home),
    low_latency=False,
    dated=False,
)

# At the same time plays what stands together: two cores carry an encoder and two browsers.
WAVES = (
    (
        _chromium(_HLS_JS, "hlsjs", lambda: _VENDORED),
        _chromium(f"hls.js {HLS_JS_OLD.version}", "hlsjs", lambda: _library(HLS_JS_OLD)),
    ),
    (_SHAKA, _WEBKIT),
    (_FIREFOX, _CURL),
    (_FFMPEG_WHEEL, _FFMPEG_SYSTEM, _GSTREAMER),
    (_WEBKIT_NATIVE, _WEBKIT_TS),
)
PLAYERS = tuple(player for wave in WAVES for player in wave)


@dataclass(slots=True)
class Playground:
    """Plays each wave when the first of its results is asked for."""

    origin: str
    site: str
    folder: Path
    _played: dict[str, Future[Result]] = field(default_factory=dict)

    def result(self, player: Player) -> Result:
        """Raises what the player's own play has raised."""
        if player.name not in self._played:
            self._await_window()
            wave = next(wave for wave in WAVES if player in wave)
            with ThreadPoolExecutor(len(wave)) as pool:
                self._played |= {p.name: pool.submit(self._play, p) for p in wave}
        return self._played[player.name].result()

    def again(self, player: Player) -> Result:
        """Let one play once more, alone."""
        return self._play(player, "again")

    def _await_window(self) -> None:
        """Who starts three segments behind live has to find them there."""
        url = f"{self.origin}/live/demo/v0/media.m3u8"

        def enough() -> bool:
            return requests.get(url, timeout=5).text.count("#EXTINF") >= SEGMENTS

        until(f"{SEGMENTS} segments are listed", enough, WINDOW_SECONDS)

    def _play(self, player: Player, time: str = "first") -> Result:
        home = self.folder / f"{PLAYERS.index(player)}-{time}"
        parts = Punctuality(f"{self.origin}/live/demo/v0/media.m3u8")
        with recorder(self.origin) as record, parts:
            playing, host = player.play(Seat(record, self.site, home))
        return Result(
            name=player.title,
            host=host,
            playing=playing,
            parts=record.parts,
            held_reloads=record.held_reloads,
            rungs=record.video_rungs,
            refused=tuple(record.refused),
            late_parts=parts.is_late,
        )


@contextlib.contextmanager
def playground(origin: str) -> Iterator[Playground]:
    """Pages and libraries on an origin of their own, as on a site that embeds a stream."""
    with TemporaryDirectory(prefix="compat-") as name:
        folder = Path(name)
        site = folder / "site"
        site.mkdir()
        for page in PAGES.iterdir():
            (site / page.name).symlink_to(page)
        (site / "vendor").symlink_to(VENDOR)
        (site / "libraries").symlink_to(CACHE)
        with serve_folder(site) as url:
            yield Playground(origin, url, folder)
