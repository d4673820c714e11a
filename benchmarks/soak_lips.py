"""Lip sync of a test card's stream, from the media that its playlist lists now."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from urllib.parse import urljoin

import av
import httpx
import numpy as np

from encoder.playlist_reader import read_segments
from inference.timecode import is_flash

# Louder than what AAC smears before a beep of 0.49.
LOUD = 0.2
APART_SECONDS = 0.3
# Of another second.
NEAR_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Lips:
    """What was found at one time."""

    at: float  # monotonic seconds
    offsets: tuple[float, ...]  # seconds by which each flash comes after its beep


async def measure(client: httpx.AsyncClient, base: str) -> Lips:
    """Decode what both renditions list, and compare; nothing while there is no flash.

    Args:
        client: to ask with.
        base: URL of the stream's folder.

    Raises:
        httpx.HTTPError: there is no answer, or it is no playlist: a fault's time.
    """
    flashes = _flashes(await _media(client, f"{base}/v0/media.m3u8"))
    beeps = np.array(_beeps(await _media(client, f"{base}/a0/media.m3u8")))
    if not len(beeps):
        return Lips(time.monotonic(), ())
    nearest = [flash - float(beeps[np.argmin(np.abs(beeps - flash))]) for flash in flashes]
    return Lips(time.monotonic(), tuple(each for each in nearest if abs(each) < NEAR_SECONDS))


async def _media(client: httpx.AsyncClient, url: str) -> bytes:
    """The newest complete segments with the init segment they have in common."""
    answer = (await client.get(url)).raise_for_status()
    segments = [each for each in read_segments(answer.text)[1] if each.uri and not each.gap]
    newest = segments[-1].map_uri
    names = [newest, *(each.uri for each in segments if each.map_uri == newest)]
    answers = [await client.get(urljoin(url, name)) for name in names if name]
    return b"".join(answer.raise_for_status().content for answer in answers)


def _flashes(media: bytes) -> list[float]:
    with av.open(io.BytesIO(media), "r") as container:
        pictures = [
            (float(frame.time or 0.0), is_flash(np.asarray(frame.to_ndarray(format="gray"))))
            for frame in container.decode(video=0)
        ]
    on = zip(pictures, [(0.0, False), *pictures], strict=False)
    return [at for (at, bright), (_, before) in on if bright and not before]


def _beeps(media: bytes) -> list[float]:
    with av.open(io.BytesIO(media), "r") as container:
        frames = list(container.decode(audio=0))
    rate_hz, start = frames[0].sample_rate, float(frames[0].time or 0.0)
    loud = np.flatnonzero(np.abs(np.concatenate([f.to_ndarray()[0] for f in frames])) > LOUD)
    first = loud[np.diff(loud, prepend=-(10**9)) > APART_SECONDS * rate_hz]
    return [start + float(at) / rate_hz for at in first]
