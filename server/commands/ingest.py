"""``lipstream ingest``: raw pictures and sound from pipes to a stream."""

from __future__ import annotations

import argparse
import contextlib
import sys

from config import ConfigError
from server.flags import add_settings, read_settings

_FLAGS: tuple[tuple[str, str, type, str | int | None, str], ...] = (
    ("--size", "picture_size", str, "1280x720", "WIDTHxHEIGHT of the pictures"),
    (
        "--fps",
        "picture_fps",
        str,
        "25",
        "pictures a second, any rate; others than the stream's are "
        "repeated or left out, each with its own sound",
    ),
    ("--audio-rate", "sound_rate", int, 48_000, "samples a second"),
    ("--channels", "sound_channels", int, 1, "1 or 2, interleaved"),
    ("--audio-fd", "sound_fd", int, None, "descriptor to read the sound from"),
    ("--audio", "sound_file", str, None, "raw s16le file or named pipe to read the sound from"),
    ("--url", "api_url", str, None, "of the service, for --create; else from --host and --port"),
)
HELP = "raw pictures and sound from pipes to a stream"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Read BGR24 pictures from stdin, and s16le sound where told, and feed a stream whose "
        "source is `ingest`. Whoever writes faster than real time waits. Ends when stdin does."
    )
    parser.epilog = (
        "Example: ffmpeg -re -i clip.mp4 -f rawvideo -pix_fmt bgr24 -s 1280x720 -r 25 - | "
        "lipstream ingest demo --size 1280x720 --fps 25"
    )
    parser.add_argument("stream", metavar="ID", help="of the stream")
    # Not the names of settings: these are of the pipes, not of the service.
    for flag, dest, kind, default, text in _FLAGS:
        shown = "" if default is None else f" [{default}]"
        metavar = flag.lstrip("-").upper()
        parser.add_argument(
            flag, dest=dest, metavar=metavar, type=kind, default=default, help=text + shown
        )
    parser.add_argument(
        "--create", action="store_true", help="start the stream, and end it when stdin ends"
    )
    add_settings(parser, ["host", "port", "media_root", "api_token"])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    import logs
    from encoder.media_root import choose
    from server import ingest
    from server.serve import is_loopback

    settings = read_settings(arguments)
    logs.configure(settings.log_format)
    if arguments.sound_fd is not None and arguments.sound_file is not None:
        raise ConfigError("--audio-fd and --audio are two ways to say where the sound is: give one")
    writer = ingest.Writer(
        *ingest.parse_size(arguments.picture_size),
        ingest.parse_fps(arguments.picture_fps),
        arguments.sound_rate,
        arguments.sound_channels,
        ingest.open_sound(arguments.sound_fd, arguments.sound_file),
    )
    root = choose(settings.media_root, settings.port)
    host = settings.host if is_loopback(settings.host) else "127.0.0.1"
    api = arguments.api_url or f"http://{host}:{settings.port}"
    own = ingest.created(api.rstrip("/"), settings.api_token, arguments.stream, writer, root)
    with own if arguments.create else contextlib.nullcontext():
        pictures = ingest.feed(writer, arguments.stream, root)
    print(f"lipstream: {pictures} pictures", file=sys.stderr)
    return 0
