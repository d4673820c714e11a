"""A source for streams of ``ingest``: pictures from memory in real time, by a clock of its own.

python -m benchmarks.producer [--makes-up] FRAMES WIDTHxHEIGHT FPS SOCKET...

Each socket gets units of its own thread, each with the time code of its hand-over, until the
process is ended. For as long as a stream takes no unit the clock stands still, as of a program that
waits. A picture whose time passed while this process had no processor was never taken, as of a
camera; with --makes-up it is handed over later, as of a program that must not lose one. The
encoder has shown another one in its place by then, so that it waits in the queue, and all that
follow wait as long.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

import rawmedia
from benchmarks.frames import hum, read_frames
from inference.timecode import UNITS_MODULO, TimeCode, draw_code
from rawmedia import Frame, MediaFormat

_POLL_SECONDS = 0.1
_MAKES_UP = "--makes-up"


def _produce(
    socket: Path, media: MediaFormat, frames: list[Frame], late: float, makes_up: bool
) -> None:
    """To each stream that has that socket, one after the other."""
    while True:
        time.sleep(_POLL_SECONDS)
        if socket.exists():
            with suppress(rawmedia.Disconnected):
                _send(socket, media, frames, late, makes_up)


def next_due(due: float, asked: float, waited: float, period: float, *, makes_up: bool) -> float:
    """When the picture after this one is handed over; all in seconds.

    Args:
        due: when this one should have been.
        asked: when it was, as far as this process knows.
        waited: for how long the stream then took none.
        period: from one to the next.
        makes_up: whether those that were missed before are handed over as well.
    """
    missed = 0 if makes_up else int(max(0.0, asked - due) / period)
    return due + waited + (1 + missed) * period


def _send(
    socket: Path, media: MediaFormat, frames: list[Frame], late: float, makes_up: bool
) -> None:
    sound = np.frombuffer(hum(media), np.int16).reshape(-1, media.audio_channels)
    with rawmedia.connect(socket, media) as producer:
        due, number = time.monotonic() + late, 0
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            asked = time.monotonic()
            producer.wait()
            waited = time.monotonic() - asked
            due = next_due(due, asked, waited, 1 / media.fps, makes_up=makes_up)
            with producer.unit() as (frame, samples):
                np.copyto(frame, frames[number % len(frames)])
                np.copyto(samples, sound)
                number += 1
                milliseconds = int(time.time() * 1000)
                draw_code(frame, TimeCode(milliseconds, number % UNITS_MODULO))


def main() -> None:
    words = [word for word in sys.argv[1:] if word != _MAKES_UP]
    makes_up = len(words) < len(sys.argv) - 1
    path, size, fps, *sockets = words
    width, height = map(int, size.split("x"))
    media = MediaFormat(width, height, int(fps))
    frames = read_frames(Path(path), media)
    for index, socket in enumerate(sockets):
        late = index / len(sockets) / media.fps  # spread, as independent sources are
        arguments = (Path(socket), media, frames, late, makes_up)
        threading.Thread(target=_produce, args=arguments, daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
