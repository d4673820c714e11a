"""A source for streams of ``ingest``: pictures from memory in real time, by a clock of its own.

python -m benchmarks.producer FRAMES WIDTHxHEIGHT FPS SOCKET...

Each socket gets units of its own thread, each with the time code of its hand-over, until the
process is ended. For as long as a stream takes no unit the clock stands still, as of a program that
waits: what it missed is not made up for, or the queue before the encoder would never be empty.
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


def _produce(socket: Path, media: MediaFormat, frames: list[Frame], late: float) -> None:
    """To each stream that has that socket, one after the other."""
    while True:
        time.sleep(_POLL_SECONDS)
        if socket.exists():
            with suppress(rawmedia.Disconnected):
                _send(socket, media, frames, late)


def _send(socket: Path, media: MediaFormat, frames: list[Frame], late: float) -> None:
    sound = np.frombuffer(hum(media), np.int16).reshape(-1, media.audio_channels)
    with rawmedia.connect(socket, media) as producer:
        due, number = time.monotonic() + late, 0
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            asked = time.monotonic()
            producer.wait()
            due += 1 / media.fps + time.monotonic() - asked
            with producer.unit() as (frame, samples):
                np.copyto(frame, frames[number % len(frames)])
                np.copyto(samples, sound)
                number += 1
                milliseconds = int(time.time() * 1000)
                draw_code(frame, TimeCode(milliseconds, number % UNITS_MODULO))


def main() -> None:
    path, size, fps, *sockets = sys.argv[1:]
    width, height = map(int, size.split("x"))
    media = MediaFormat(width, height, int(fps))
    frames = read_frames(Path(path), media)
    for index, socket in enumerate(sockets):
        late = index / len(sockets) / media.fps  # spread, as independent sources are
        arguments = (Path(socket), media, frames, late)
        threading.Thread(target=_produce, args=arguments, daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
