"""From a line on standard input to a stream that runs: what ``python -m encoder`` does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import sys

import config
import logs
from encoder.errors import EncoderError
from encoder.ffmpeg import find_ffmpeg
from encoder.process import END_WORD, Ending, StreamProcess, StreamSpec
from rawmedia import RawMediaError


async def _run(spec: StreamSpec, settings: config.Settings) -> None:
    process = StreamProcess(spec, settings)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.stop, Ending.RESTART)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the supervisor's to hear
    loop.add_reader(sys.stdin, _heard, process)
    await process.run()


def _heard(process: StreamProcess) -> None:
    """The supervisor's word, or its end."""
    try:
        word = os.read(sys.stdin.fileno(), 64)
    except OSError:
        word = b""
    if not word:
        asyncio.get_running_loop().remove_reader(sys.stdin)
    process.stop(Ending.WISHED if word.strip() == END_WORD else Ending.ABANDONED)


def _first_line() -> bytes:
    """Not a byte more: what follows is for :func:`_heard`, which reads the descriptor.

    While nobody says it, ffmpeg is asked for its version, of which it then is not asked again.
    """
    if not select.select([sys.stdin], [], [], 0)[0]:
        with contextlib.suppress(EncoderError, config.ConfigError):  # a stream will say so
            find_ffmpeg(config.load().ffmpeg)
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as lines:
        return lines.readline()


def main() -> int:
    """Run one stream; 0 when it was told to end, 1 when it could not go on."""
    try:
        line = _first_line()
        if not line:  # it was never needed
            return 0
        told = json.loads(line)
        settings = config.load(environ=told.pop("settings", None))
        logs.configure(settings.log_format)
        spec = StreamSpec(**told)
        logs.bind(stream=spec.id)
        asyncio.run(_run(spec, settings))
    except (EncoderError, RawMediaError, config.ConfigError) as error:
        print(f"lipstream: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
