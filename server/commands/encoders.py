"""``lipstream encoders``: which encoders work here."""

from __future__ import annotations

import argparse
import json

from server.flags import add_settings, read_settings

_FLAGS = ("ffmpeg", "video_codec", "encoder", "width", "height", "fps")

HELP = "show which encoders work here"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Encode a few pictures with each encoder of this ffmpeg, at the stream's "
        "size, and show which results can be played."
    )
    add_settings(parser, _FLAGS)
    parser.add_argument("--fresh", action="store_true", help="forget cached results")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from encoder.ffmpeg import find_ffmpeg
    from encoder.probe import trials
    from encoder.report import encoder_json, encoder_table, first_working

    settings = read_settings(arguments)
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
