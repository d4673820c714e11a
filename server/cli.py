"""The command line: ``lipstream``, or ``python -m server``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import config
from config import ConfigError, Settings
from encoder.errors import EncoderError
from inference.errors import InferenceError
from rawmedia import RawMediaError
from server.errors import ProcessGaveUp, ServerError

BAD_INPUT = 2
_ENCODER_FLAGS = ("ffmpeg", "video_codec", "encoder", "width", "height", "fps")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors are one line on stderr."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except ProcessGaveUp as error:
        if error.exit_status != BAD_INPUT:  # else the process has told what was wrong
            print(f"lipstream: {error}", file=sys.stderr)
        return error.exit_status
    except (ConfigError, EncoderError, InferenceError, RawMediaError, ServerError) as error:
        print(f"lipstream: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    return status


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; flags come from the fields of :class:`config.Settings`."""
    parser = argparse.ArgumentParser(
        prog="lipstream",
        description="A talking face as a live HLS stream, for every phone and browser.",
        epilog="Every flag is also an environment variable: --video-kbit is LIPSTREAM_VIDEO_KBIT.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve",
        help="run the service with one stream",
        description="Run the service: the stream, its encoder, and the web server.",
        epilog="Examples: lipstream serve  |  lipstream serve --image me.jpg --audio hello.wav  |  "
        "lipstream serve --source camera:0 --host 0.0.0.0 --insecure",
    )
    _add_settings(serve, [item.name for item in fields(Settings)])
    serve.set_defaults(run=_serve)
    web = commands.add_parser(
        "web",
        help="serve the streams of a `lipstream serve` that runs with --web-processes 0",
        description="Run web processes apart from the streams, so that either can be restarted "
        "alone. Settings, media_root above all, must be those of `lipstream serve`.",
    )
    _add_settings(web, [item.name for item in fields(Settings)])
    web.set_defaults(run=_web)
    encoders = commands.add_parser(
        "encoders",
        help="show which encoders work here",
        description="Encode a few pictures with each encoder of this ffmpeg, at the stream's "
        "size, and show which results can be played.",
    )
    _add_settings(encoders, _ENCODER_FLAGS)
    encoders.add_argument("--fresh", action="store_true", help="forget cached results")
    encoders.add_argument("--json", action="store_true", help="print JSON")
    encoders.set_defaults(run=_encoders)
    _add_ingest(commands.add_parser("ingest", help="raw pictures and sound from pipes to a stream"))
    _add_check(commands.add_parser("check", help="hold a live stream against the rules of HLS"))
    _add_token(commands.add_parser("token", help="make a link for a viewer, valid for some hours"))
    return parser


def _add_token(token: argparse.ArgumentParser) -> None:
    token.description = (
        "Print the path at which a viewer finds a stream of a service that has a viewer_key; "
        "it must be the same key here. Whoever has the link can watch until it expires."
    )
    token.add_argument("stream", metavar="ID", help="of the stream")
    token.add_argument("--hours", metavar="N", type=float, default=24, help="valid so long [24]")
    _add_settings(token, ["viewer_key"])
    token.set_defaults(run=_token)


def _add_ingest(ingest: argparse.ArgumentParser) -> None:
    ingest.description = (
        "Read BGR24 pictures from stdin, and s16le sound where told, and feed a stream whose "
        "source is `ingest`. Whoever writes faster than real time waits. Ends when stdin does."
    )
    ingest.epilog = (
        "Example: ffmpeg -re -i clip.mp4 -f rawvideo -pix_fmt bgr24 -s 1280x720 -r 25 - | "
        "lipstream ingest demo --size 1280x720 --fps 25"
    )
    ingest.add_argument("stream", metavar="ID", help="of the stream")
    # Not the names of settings: these are of the pipes, not of the service.
    for flag, dest, kind, default, text in _INGEST_FLAGS:
        shown = "" if default is None else f" [{default}]"
        metavar = flag.lstrip("-").upper()
        ingest.add_argument(
            flag, dest=dest, metavar=metavar, type=kind, default=default, help=text + shown
        )
    ingest.add_argument(
        "--create", action="store_true", help="start the stream, and end it when stdin ends"
    )
    _add_settings(ingest, ["host", "port", "media_root", "api_token"])
    ingest.set_defaults(run=_ingest)


_INGEST_FLAGS: tuple[tuple[str, str, type, str | int | None, str], ...] = (
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


def _add_check(check: argparse.ArgumentParser) -> None:
    check.description = (
        "Follow a live stream as players do, try requests one by one, and report rule by rule. "
        "Exit status: 0 every MUST that was seen is kept, 1 one is broken, 2 could not check."
    )
    check.add_argument("url", metavar="URL", help="of the multivariant playlist")
    check.add_argument("--seconds", metavar="N", type=float, default=20, help="how long [20]")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--insecure-tls", action="store_true", help="accept any certificate")
    check.set_defaults(run=_check)


def _add_settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, help="read settings from TOML")
    known = {item.name: item for item in fields(Settings)}
    for name in names:
        _add_flag(parser, known[name])


def _add_flag(parser: argparse.ArgumentParser, item: Field[Any]) -> None:
    flag = "--" + item.name.replace("_", "-")
    text = item.metadata["help"]
    if item.metadata["secret"]:
        variable = config.ENVIRONMENT_PREFIX + item.name.upper()
        text += f"; flags can be seen by every user of this machine: better in {variable}"
    if isinstance(item.default, bool):
        action = argparse.BooleanOptionalAction
        parser.add_argument(flag, action=action, default=None, help=text)
        return
    shown = "" if item.default == "" else f" [{item.default}]"
    parser.add_argument(
        flag,
        metavar=type(item.default).__name__.upper(),
        help=(text + shown).replace("%", "%%"),
    )


def _settings(arguments: argparse.Namespace) -> Settings:
    flags = {}
    for item in fields(Settings):
        text = getattr(arguments, item.name, None)
        if isinstance(text, str):
            flags[item.name] = config.parse_text(item, text, "--" + item.name.replace("_", "-"))
        elif text is not None:
            flags[item.name] = text
    return config.load(file=arguments.config, flags=flags)


def _serve(arguments: argparse.Namespace) -> int:
    from server.serve import serve  # here: `lipstream encoders` need not load a web server

    serve(_settings(arguments))
    return 0


def _ingest(arguments: argparse.Namespace) -> int:
    import logs
    from encoder.media_root import choose
    from server import ingest
    from server.serve import is_loopback

    settings = _settings(arguments)
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


def _web(arguments: argparse.Namespace) -> int:
    from server.web_unit import serve_web

    serve_web(_settings(arguments))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from client.check import run
    from client.errors import ClientError

    try:
        return run(
            arguments.url,
            arguments.seconds,
            as_json_text=arguments.json,
            verify_tls=not arguments.insecure_tls,
        )
    except ClientError as error:
        print(f"lipstream: {error}", file=sys.stderr)
        return BAD_INPUT


def _token(arguments: argparse.Namespace) -> int:
    import time

    from server.tokens import LONGEST_HOURS, STREAM_ID, check_key, token_path

    settings = config.load(file=arguments.config, flags={"viewer_key": arguments.viewer_key})
    if not settings.viewer_key:
        raise ConfigError(
            "viewer_key is not set, so streams are open to all: give the service and this command "
            "the same LIPSTREAM_VIEWER_KEY, such as `openssl rand -hex 32` prints"
        )
    check_key(settings.viewer_key)
    if not STREAM_ID.fullmatch(arguments.stream):
        raise ConfigError(
            f"the stream is {arguments.stream!r}: use 1 to 63 small letters, digits and hyphens"
        )
    if not 0 < arguments.hours <= LONGEST_HOURS:
        raise ConfigError(f"--hours is {arguments.hours:g}: more than 0, at most {LONGEST_HOURS:,}")
    expires_at = int(time.time() + arguments.hours * 3600)
    print(token_path(settings.viewer_key, arguments.stream, expires_at))
    return 0


def _encoders(arguments: argparse.Namespace) -> int:
    import json

    from encoder.ffmpeg import find_ffmpeg
    from encoder.probe import trials
    from encoder.report import encoder_json, encoder_table, first_working

    settings = _settings(arguments)
    ffmpeg = find_ffmpeg(settings.ffmpeg)
    size = (settings.width, settings.height, settings.fps)
    results = trials(ffmpeg, *size, codec=settings.video_codec, fresh=arguments.fresh)
    chosen = first_working(results) if settings.encoder == "auto" else settings.encoder
    if arguments.json:
        print(json.dumps(encoder_json(results, chosen), indent=2))
    else:
        asked = f"{settings.video_codec}, {settings.width}x{settings.height} at {settings.fps} fps"
        print(f"ffmpeg {ffmpeg.version} ({ffmpeg.path}), {asked}; * is used\n")
        print(encoder_table(results, chosen), end="")
    return 0 if any(trial.works for trial in results) else 1
