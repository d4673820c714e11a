"""A source: dark pictures and silence, a flash and a beep in the same unit once a second.

``python -m tests.faults.flasher SOCKET FOLDER WIDTH HEIGHT FPS RATE``. While FOLDER has a file
``slow`` it takes a fifth of a second for each unit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from rawmedia import Disconnected, MediaFormat, connect

SLOW_SECONDS = 0.2


def main() -> None:
    """Feed whatever encoder listens there, for ever."""
    socket, folder = (Path(word) for word in sys.argv[1:3])
    media = MediaFormat(*(int(word) for word in sys.argv[3:]))
    number = 0
    while True:
        try:
            number = _feed(socket, folder / "slow", media, number)
        except Disconnected:
            time.sleep(0.05)


def _feed(socket: Path, slow: Path, media: MediaFormat, number: int) -> int:
    times = np.arange(media.samples_per_unit)[:, None] / media.audio_rate_hz
    beep = (np.sin(2 * np.pi * 1000 * times) * 16_000).astype(np.int16)
    try:
        with connect(socket, media) as producer:
            while True:
                with producer.unit() as (frame, samples):
                    loud = number % media.fps == 0
                    frame[:] = 255 if loud else 16
                    frame[:, : media.width * (number % media.fps) // media.fps, 0] += 60 * (
                        not loud
                    )
                    samples[:] = beep if loud else 0
                number += 1
                if slow.exists():
                    time.sleep(SLOW_SECONDS)
    except Disconnected:
        return number


if __name__ == "__main__":
    main()
