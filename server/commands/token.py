"""``lipstream token``: a link for a viewer."""

from __future__ import annotations

import argparse
import time

import config
from config import ConfigError
from server.flags import add_settings

HELP = "make a link for a viewer, valid for some hours"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Print the path at which a viewer finds a stream of a service that has a viewer_key; "
        "it must be the same key here. Whoever has the link can watch until it expires."
    )
    parser.add_argument("stream", metavar="ID", help="of the stream")
    parser.add_argument("--hours", metavar="N", type=float, default=24, help="valid so long [24]")
    add_settings(parser, ["viewer_key"])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
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
