"""``lipstream demo``: the service with its built-in face, and a viewer of it if one is wished."""

from __future__ import annotations

import argparse
from dataclasses import fields

from config import ConfigError, Settings
from server.commands import watch
from server.flags import add_settings, read_settings

HELP = "run the service with the built-in face; --watch: watch it and print the figures"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Without --watch the same as `lipstream serve`. With it: start a service on a free port, "
        "watch its stream like `lipstream watch`, end the service, print the figures. Exit status: "
        "that of `lipstream watch`."
    )
    parser.add_argument("--watch", action="store_true", help="watch it, then end")
    watch.add_watching(parser)
    add_settings(parser, [item.name for item in fields(Settings)])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    settings = read_settings(arguments)
    if not arguments.watch:
        from server.serve import serve

        serve(settings)
        return 0
    if not settings.stream:
        raise ConfigError("stream is empty: --watch needs a stream to watch")
    from server.demo import DemoService

    with DemoService(settings) as service:
        return watch.watch(arguments, service.playlist)
