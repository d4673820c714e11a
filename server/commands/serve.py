"""``lipstream serve``: run the service."""

from __future__ import annotations

import argparse
from dataclasses import fields

from config import Settings
from server.flags import add_settings, read_settings

HELP = "run the service with one stream"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = "Run the service: the stream, its encoder, and the web server."
    parser.epilog = (
        "Examples: lipstream serve  |  lipstream serve --image me.jpg --audio hello.wav  |  "
        "lipstream serve --source camera:0 --host 0.0.0.0 --insecure"
    )
    add_settings(parser, [item.name for item in fields(Settings)])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from server.serve import serve  # here: `lipstream encoders` need not load a web server

    serve(read_settings(arguments))
    return 0
