"""How busy the machine is with something else: what a second of ours is worth at the moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

# More than that of processor time, taken by whoever else is on the host, is more than a player at
# 0.6 s from live can make up for.
STOLEN_SECONDS = 0.25
_STAT = Path("/proc/stat")

# What each of the service's processes does before anything else.
_START = "import encoder.process, inference.worker"


def slowness() -> float:
    """How much longer than its CPU time a start of Python takes now; 1: nobody else is busy."""
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, "-c", _START])
    _pid, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return max(1.0, (time.monotonic() - began) / (usage.ru_utime + usage.ru_stime))


def encoding_seconds() -> float:
    """What ffmpeg alone takes here, now, for the first two seconds of a stream of the defaults.

    From pictures in a pipe to 720p and 360p: the least that a start of such a stream can take.
    """
    rungs = "[0:v]split[a][b];[b]scale=640:360[c]"
    encode = ("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-f", "null", "-")
    source = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", "1280x720", "-r", "25", "-i", "pipe:0")
    outputs = ("-filter_complex", rungs, "-map", "[a]", *encode, "-map", "[c]", *encode)
    argv = (get_ffmpeg_exe(), "-v", "error", *source, *outputs)
    picture = random.Random(1).randbytes(3 * 1280) * 720
    began = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        for _ in range(50):
            child.stdin.write(picture)
    assert child.returncode == 0
    return time.monotonic() - began


class Stolen:
    """Processor time that the host gave to others since this was made, though we wanted it."""

    def __init__(self) -> None:
        self._before = self._ticks()

    @property
    def seconds(self) -> float:
        """Of all processors together; 0 on a machine of its own."""
        return (self._ticks() - self._before) / os.sysconf("SC_CLK_TCK")

    @property
    def is_much(self) -> bool:
        """What plays in real time cannot be judged by the time since then."""
        return self.seconds > STOLEN_SECONDS

    @staticmethod
    def _ticks() -> int:
        """``steal`` of proc_stat(5)."""
        try:
            return int(_STAT.read_text().split(maxsplit=9)[8])
        except (OSError, IndexError):  # no Linux
            return 0
