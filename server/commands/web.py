"""``lipstream web``: web processes apart from the streams."""

from __future__ import annotations

import argparse
from dataclasses import fields

from config import Settings
from server.flags import add_settings, read_settings

HELP = "serve the streams of a `lipstream serve` that runs with --web-processes 0"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Run web processes apart from the streams, so that either can be restarted "
        "alone. Settings, media_root above all, must be those of `lipstream serve`."
    )
    add_settings(parser, [item.name for item in fields(Settings)])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from server.web_unit import serve_web

    serve_web(read_settings(arguments))
    return 0
