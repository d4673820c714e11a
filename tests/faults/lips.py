"""Lip sync of a live stream whose source flashes and beeps, from its decoded media."""

from __future__ import annotations

import io

import av
import numpy as np
import requests
from numpy.typing import NDArray

from client.playlists import Segment
from tests.faults.viewers import Follower

RATE_HZ = 48_000
# A beep is one unit long; AAC smears it by less than a frame.
LOUD, BRIGHT = 0.1, 150
BEEPS_APART_SECONDS = 0.2


def offsets(video: Follower, audio: Follower, from_msn: int) -> list[float]:
    """Seconds by which each flash comes after its beep, from a segment on; of one encoder run."""
    seen, heard = _flashes(_media(video, from_msn)), _beeps(_media(audio, from_msn))
    first, last = max(seen[0], heard[0]) - 0.5, min(seen[-1], heard[-1]) + 0.5
    seen, heard = ([at for at in times if first < at < last] for times in (seen, heard))
    assert len(seen) == len(heard) >= 3, (seen, heard)
    return [flash - beep for flash, beep in zip(seen, heard, strict=True)]


def _media(follower: Follower, from_msn: int) -> bytes:
    assert follower.newest is not None
    wanted: list[Segment] = [s for s in follower.newest.segments if s.msn >= from_msn and not s.gap]
    (init,) = {segment.map_uri for segment in wanted}
    names = [str(init), *(segment.uri for segment in wanted)]
    base = follower.url.rpartition("/")[0]
    answers = [requests.get(f"{base}/{name}", timeout=5) for name in names]
    assert all(answer.ok for answer in answers), names  # 31
    return b"".join(answer.content for answer in answers)


def _flashes(media: bytes) -> list[float]:
    found, was_bright = [], False
    with av.open(io.BytesIO(media), "r") as container:
        for frame in container.decode(video=0):
            bright = frame.to_ndarray(format="gray").mean() > BRIGHT
            if bright and not was_bright:
                assert frame.time is not None
                found.append(frame.time)
            was_bright = bool(bright)
    return found


def _beeps(media: bytes) -> list[float]:
    pieces: list[NDArray[np.float32]] = []
    start = None
    with av.open(io.BytesIO(media), "r") as container:
        for frame in container.decode(audio=0):
            start = frame.time if start is None else start
            pieces.append(frame.to_ndarray()[0])
    assert start is not None
    loud = np.flatnonzero(np.abs(np.concatenate(pieces)) > LOUD)
    apart = int(BEEPS_APART_SECONDS * RATE_HZ)
    return [start + at / RATE_HZ for at in loud[np.diff(loud, prepend=-apart) >= apart]]
