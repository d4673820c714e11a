"""From a sample of a microphone to the mouth that moves, and the sound, in what a viewer decodes.

python -m benchmarks.microphone --help

A stream of its own; somebody speaks through it over the WebSocket, in real time, mostly silence,
with a vowel now and then at moments that a seed decides. A viewer takes part after part and decodes
each as it comes. Measured: from the moment of the vowel's first sample, which the socket gets up to
20 ms later, until a picture with an open mouth, and sound, come out of the decoders. What a player
holds back comes on top of it: 0.6 s of PART-HOLD-BACK at parts of 0.2 s.

The same vowels are then posted as files, at the same moments. The last line is the ratio.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urljoin

import av
import httpx
import numpy as np
import soundfile
import websocket

from benchmarks import script
from benchmarks.results import Aim, Found, Table, median
from config import Settings
from encoder.playlist_reader import read_position, read_segments
from inference.presenter import mouth_opening, mouth_region
from inference.source import make_source
from rawmedia import MediaFormat

TITLE = "Live speech"
WIDTH, HEIGHT, FPS = 640, 360, 25
STREAM = "microphone"
PIECE_SECONDS = 0.02
VOWEL_SECONDS = 0.4
# Far enough apart that the mouth is shut and the decoders have caught up in between.
APART_SECONDS = (1.5, 2.1)
AUDIBLE = 0.02
# Of the widest opening; lips at rest, coded at this size, move by a few percent of it.
OPEN_SHARE = 0.2
# Nothing that comes later belongs to the vowel.
LATEST_SECONDS = 1.4


@dataclass(slots=True)
class Seen:
    """What a viewer decoded: when it came out, and how open the mouth was, or how loud."""

    at: list[float] = field(default_factory=list)  # monotonic
    value: list[float] = field(default_factory=list)

    def first_above(self, limit: float, after: float) -> float | None:
        """Seconds from a moment until a value above a limit."""
        for at, value in zip(self.at, self.value, strict=True):
            if after < at < after + LATEST_SECONDS and value > limit:
                return at - after
        return None


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over all vowels, in milliseconds."""

    way: str
    mouth_ms: float
    sound_ms: float
    worst_mouth_ms: float
    vowels: int
    missed: int


def measure(arguments: argparse.Namespace, found: Found) -> None:
    """Both ways in each run, with the same moments."""
    chance = random.Random(arguments.seed)
    count = 3 if arguments.quick else arguments.vowels
    flags = ["--live-jitter-ms", str(arguments.jitter_ms)]
    mouths: dict[str, list[float]] = {"live": [], "posted": []}
    sounds: dict[str, list[float]] = {"live": [], "posted": []}
    missed = dict.fromkeys(mouths, 0)
    for _ in range(arguments.runs):
        moments = list(_moments(count, chance))
        with _service(flags) as url, _viewer(url) as (pictures, sound):
            for way, speak in (("live", _speak_live), ("posted", _post)):
                began = speak(url, arguments.rate, moments)
                time.sleep(LATEST_SECONDS)
                limit = OPEN_SHARE * max(pictures.value)
                seen = [pictures.first_above(limit, at) for at in began]
                mouths[way] += [one for one in seen if one is not None]
                heard = [sound.first_above(AUDIBLE, at) for at in began]
                sounds[way] += [one for one in heard if one is not None]
                missed[way] += seen.count(None) + heard.count(None)
    _tell(found, [_result(way, mouths[way], sounds[way], missed[way]) for way in mouths])


def _tell(found: Found, results: Sequence[Result]) -> None:
    rows = [
        [r.way, *map(str, (r.mouth_ms, r.sound_ms, r.worst_mouth_ms, r.vowels, r.missed))]
        for r in results
    ]
    headings = ["ms", "mouth", "sound", "slowest mouth", "vowels", "not found"]
    found.tables.append(Table("First sample spoken → decoded by a viewer", headings, rows))
    missed = sum(each.missed for each in results)
    found.aims.append(Aim("speech: vowels that were not seen or heard", missed, 0))
    found.ratio = ("mouth, live / posted", results[0].mouth_ms / results[1].mouth_ms)
    found.data = {each.way: asdict(each) for each in results}


def main() -> int:
    parser = script.parser_of("microphone", __doc__, runs=1)
    add = parser.add_argument
    add("--vowels", type=int, default=12, help="of each run and way [%(default)s]")
    add("--rate", type=int, default=48_000, help="of the microphone, hertz [%(default)s]")
    add("--jitter-ms", type=int, default=120, help="of the jitter buffer [%(default)s]")
    return script.run("microphone", TITLE, parser, measure)


def _result(way: str, mouths: Sequence[float], sounds: Sequence[float], missed: int) -> Result:
    mouth, sound = (median(each) * 1000 for each in (mouths, sounds))
    return Result(way, round(mouth), round(sound), round(max(mouths) * 1000), len(mouths), missed)


# --- the speaker ---------------------------------------------------------------------------------


def _moments(count: int, chance: random.Random) -> Iterator[float]:
    """Seconds from the beginning at which a vowel begins, at any place within a part."""
    at = 1.0
    for _ in range(count):
        yield at
        at += chance.uniform(*APART_SECONDS)


def _vowel(rate: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """An "ah": a buzz of 140 Hz whose resonances are at 750 and 1200 Hz."""
    times = np.arange(round(VOWEL_SECONDS * rate)) / rate
    wave = np.zeros_like(times)
    for number in range(1, 25):
        gain = sum(1 / (1 + ((number * 140 - top) / 90) ** 2) for top in (750, 1200))
        wave += gain / number**0.5 * np.sin(2 * np.pi * number * 140 * times)
    samples: np.ndarray[Any, np.dtype[np.int16]]
    samples = np.rint(16_000 * wave / np.abs(wave).max()).astype("<i2")
    return samples


def _speak_live(url: str, rate: int, moments: Sequence[float]) -> list[float]:
    """Returns when each vowel's first sample was handed over, monotonic."""
    address = f"{url.replace('http', 'ws')}/api/streams/{STREAM}/pcm?rate={rate}"
    link = websocket.create_connection(address, timeout=10)
    assert "utterance" in json.loads(link.recv())
    vowel, piece = _vowel(rate), round(PIECE_SECONDS * rate)
    sound = np.zeros(round((moments[-1] + 1) * rate), "<i2")
    for moment in moments:
        first = round(moment * rate)
        sound[first : first + len(vowel)] = vowel
    start, spoken = time.monotonic(), iter(moments)
    following, began = next(spoken), []
    for at in range(0, len(sound), piece):
        # A microphone has a piece when its last sample has been heard.
        ready = start + at / rate + PIECE_SECONDS
        time.sleep(max(0.0, ready - time.monotonic()))
        if at / rate <= following < at / rate + PIECE_SECONDS:
            began.append(start + following)
            following = next(spoken, float("inf"))
        link.send_binary(sound[at : at + piece].tobytes())
    link.close()
    return began


def _post(url: str, rate: int, moments: Sequence[float]) -> list[float]:
    """Returns when each request began, monotonic."""
    file = io.BytesIO()
    soundfile.write(file, _vowel(rate), rate, "PCM_16", format="WAV")
    start, began = time.monotonic(), []
    with httpx.Client(timeout=10) as client:
        for moment in moments:
            time.sleep(max(0.0, start + moment - time.monotonic()))
            began.append(time.monotonic())
            place = f"{url}/api/streams/{STREAM}/speech"
            body: dict[str, Any] = {"content": file.getvalue()}
            client.post(place, headers={"Content-Type": "audio/wav"}, **body).raise_for_status()
    return began


# --- the viewer ----------------------------------------------------------------------------------


@contextmanager
def _viewer(url: str) -> Iterator[tuple[Seen, Seen]]:
    """Follows both renditions, in threads that end with the block."""
    region = mouth_region(
        make_source(Settings(width=WIDTH, height=HEIGHT), MediaFormat(WIDTH, HEIGHT, FPS))
    )
    pictures, sound, over = Seen(), Seen(), threading.Event()

    def look(frame: Any) -> float:
        return mouth_opening(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8), region)

    def listen(frame: Any) -> float:
        return float(np.abs(frame.to_ndarray()).max())

    base = f"{url}/live/{STREAM}"
    works = (("v0", pictures, look), ("a0", sound, listen))
    threads = [
        threading.Thread(target=_follow, args=(f"{base}/{name}/media.m3u8", seen, judge, over))
        for name, seen, judge in works
    ]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1.0)
        yield pictures, sound
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _follow(url: str, seen: Seen, judge: Callable[[Any], float], over: threading.Event) -> None:
    taken: set[str] = set()
    decoder: _Decoder | None = None
    rest = 0.0  # at rest a face may have dark places of its own
    with httpx.Client(timeout=10) as client:
        query: dict[str, str] = {}
        while not over.is_set():
            text = client.get(url, params=query).text
            position, (_, segments) = read_position(text), read_segments(text)
            query = {"_HLS_msn": str(position.last_msn + 1), "_HLS_part": str(position.parts)}
            parts = [part for segment in segments for part in segment.parts]
            if decoder is None:
                init = client.get(urljoin(url, text.split('MAP:URI="')[1].split('"')[0])).content
                decoder = _Decoder(init)
                # An open GOP of parts can be decoded from a key frame on only.
                first = max(n for n, part in enumerate(parts) if part.independent)
                taken = {part.uri for part in parts[:first]}
            for part in parts:
                if part.uri in taken:
                    continue
                taken.add(part.uri)
                for frame in decoder.decode(client.get(urljoin(url, part.uri)).content):
                    value = judge(frame)
                    rest = value if not seen.value else rest
                    seen.value.append(value - rest)
                    seen.at.append(time.monotonic())


class _Decoder:
    """Decodes part after part, as a player does."""

    def __init__(self, init: bytes) -> None:
        self._init = init
        self._codec: Any = None

    def decode(self, part: bytes) -> Iterator[Any]:
        with av.open(io.BytesIO(self._init + part), "r") as container:
            stream = container.streams[0]
            if self._codec is None:
                self._codec = av.CodecContext.create(stream.codec_context.name, "r")
                self._codec.extradata = stream.codec_context.extradata
                self._codec.thread_count = 1  # more hold pictures back
            for packet in container.demux(stream):
                if packet.size:
                    yield from self._codec.decode(packet)


@contextmanager
def _service(flags: Sequence[str]) -> Iterator[str]:
    """`lipstream serve` with one face that waits to be spoken through: its URL."""
    with tempfile.TemporaryDirectory(prefix="microphone-", dir="/dev/shm") as folder:
        argv = [sys.executable, "-m", "server", "serve", "--port", "0", "--stream", STREAM]
        argv += ["--media-root", f"{folder}/media", "--audio", "none", "--ladder", "single"]
        argv += ["--width", str(WIDTH), "--height", str(HEIGHT), *flags]
        service = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert service.stdout is not None
            lines = iter(service.stdout.readline, "")
            url = next(line.split()[-1] for line in lines if "watch" in line).rstrip("/")
            url = url.partition("/?")[0]
            httpx.get(f"{url}/live/{STREAM}/index.m3u8", timeout=20).raise_for_status()
            yield url
        finally:
            service.terminate()
            service.wait(15)


if __name__ == "__main__":
    sys.exit(main())
