"""Settings as flags of a command: one flag for each field of :class:`config.Settings`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import config
from config import Settings


def add_settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Give a command the flags of the settings of these ``names``, and ``--config``."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="read settings from TOML")
    known = {item.name: item for item in fields(Settings)}
    for name in names:
        _add_flag(parser, known[name])


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The settings that a command was given, by flags, environment and file.

    Raises:
        ConfigError: one cannot be used.
    """
    return config.load(file=arguments.config, flags=given_flags(arguments))


def given_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags.

    Raises:
        ConfigError: one has a value of another type.
    """
    flags = {}
    for item in fields(Settings):
        text = getattr(arguments, item.name, None)
        if isinstance(text, str):
            flags[item.name] = config.parse_text(item, text, "--" + item.name.replace("_", "-"))
        elif text is not None:
            flags[item.name] = text
    return flags


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
