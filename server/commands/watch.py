"""``lipstream watch``: play a stream like a viewer and say what he saw."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from config import ConfigError
from server.flags import add_settings, read_settings

_LONGEST_SECONDS = 604_800.0  # a week

HELP = "play a stream like a viewer, and print what he saw"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Play a live stream like a viewer without a screen: follow its parts, decode every "
        "picture, show each when it is due, and print the figures. Exit status: 0 all verdicts "
        "are passed, 1 one is not, 2 not one picture was seen."
    )
    parser.add_argument("url", metavar="URL", help="of the multivariant or a media playlist")
    add_watching(parser)
    add_settings(parser, ["ffmpeg"])
    parser.set_defaults(run=run)


def add_watching(parser: argparse.ArgumentParser) -> None:
    """The flags of watching, for every command that watches."""
    from client.watching.figures import Limits
    from client.watching.player import Wish

    add, wish, limits = parser.add_argument, Wish(""), Limits()
    add(
        "--seconds",
        metavar="N",
        type=float,
        default=wish.seconds,
        help=f"how long, from the first picture on; 0: until it ends or Ctrl-C [{wish.seconds:g}]",
    )
    add(
        "--timeout",
        metavar="N",
        type=float,
        default=wish.timeout_seconds,
        help=f"give up after so many seconds without a picture [{wish.timeout_seconds:g}]",
    )
    add(
        "--rung",
        metavar="WHICH",
        default=wish.rung,
        help=f"highest, lowest, or a size such as 640x360 [{wish.rung}]",
    )
    add("--record-file", metavar="FILE", type=Path, help="keep it as MP4, not encoded again")
    add("--save-frames", metavar="DIR", type=Path, help="keep every decoded picture as a JPEG")
    add("--json", action="store_true", help="print JSON")
    add("--insecure-tls", action="store_true", help="accept any certificate")
    for flag, value, text in (
        ("--min-fps", limits.least_fps, "pictures a second that must be shown"),
        ("--max-first-frame", limits.longest_first_frame_seconds, "seconds to the first picture"),
        ("--max-interval", limits.longest_mean_interval_ms, "mean ms from picture to picture"),
    ):
        add(flag, metavar="N", type=float, default=value, help=f"verdict: {text} [{value:g}]")


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    return watch(arguments, arguments.url)


def watch(arguments: argparse.Namespace, url: str) -> int:
    """Watch an address as the flags of :func:`add_watching` say; returns the exit status.

    Raises:
        ClientError, EncoderError, ConfigError: it cannot be watched.
    """
    from client.watch import run as watch_url
    from client.watching.figures import Limits
    from client.watching.player import Wish
    from encoder.ffmpeg import find_ffmpeg

    for name in ("seconds", "timeout"):
        if not 0 <= getattr(arguments, name) <= _LONGEST_SECONDS:
            raise ConfigError(f"--{name} must be from 0 to {_LONGEST_SECONDS:g}")
    wish = Wish(
        url=url,
        seconds=arguments.seconds,
        timeout_seconds=arguments.timeout,
        rung=arguments.rung,
        frames_folder=arguments.save_frames,
        record_file=arguments.record_file,
    )
    limits = Limits(arguments.min_fps, arguments.max_first_frame, arguments.max_interval)
    ffmpeg = find_ffmpeg(read_settings(arguments).ffmpeg)
    # `timeout` and service managers end a program so: what was seen until then still counts.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return watch_url(
            wish,
            limits,
            ffmpeg,
            as_json_text=arguments.json,
            verify_tls=not arguments.insecure_tls,
        )
    finally:
        signal.signal(signal.SIGTERM, before)
