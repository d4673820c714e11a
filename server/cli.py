"""The command line: ``lipstream``, or ``python -m server``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from client.errors import ClientError
from config import ConfigError
from encoder.errors import EncoderError
from inference.errors import InferenceError
from rawmedia import RawMediaError
from server.errors import ProcessGaveUp, ServerError

BAD_INPUT = 2
_EXPECTED = (
    ClientError,
    ConfigError,
    EncoderError,
    InferenceError,
    RawMediaError,
    ServerError,
)
# In the order in which --help shows them; each is a module of server/commands.
COMMANDS = (
    "serve",
    "web",
    "encoders",
    "ingest",
    "check",
    "token",
    "checkpoint",
    "engines",
    "build-engines",
)


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
    except _EXPECTED as error:
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
    for name in COMMANDS:
        module = import_module("server.commands." + name.replace("-", "_"))
        module.add(commands.add_parser(name, help=module.HELP))
    return parser
