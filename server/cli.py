"""The command line: ``lipstream``, or ``python -m server``."""

from __future__ import annotations

import argparse
import difflib
import re
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
    "demo",
    "web",
    "render",
    "encoders",
    "ingest",
    "watch",
    "check",
    "config",
    "token",
    "checkpoint",
    "engines",
    "build-engines",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors are one line on stderr."""
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    try:
        if unknown:
            raise ConfigError(not_understood(unknown[0], arguments.parser))
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
        # Abbreviated, a flag means another one as soon as a longer one is added.
        command = commands.add_parser(name, help=module.HELP, allow_abbrev=False)
        module.add(command)
        command.set_defaults(parser=command)
    return parser


def not_understood(word: str, command: argparse.ArgumentParser) -> str:
    """What to say of a word that a command does not know."""
    if not word.startswith("-"):
        return f"{word!r} is one word more than {command.prog} takes"
    flag = word.partition("=")[0]
    known = re.findall(r"--[a-z][a-z0-9-]*", command.format_help())
    near = difflib.get_close_matches(flag, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"`{command.prog} --help` lists all"
    return f"there is no flag {flag}; {hint}"
