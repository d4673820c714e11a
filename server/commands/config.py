"""``lipstream config``: what the settings are, and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import config
from config import Given, Settings
from server.flags import add_settings, given_flags, read_settings

HELP = "show each setting and where its value comes from"
_MASK = "********"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Print every setting, its value, and which place gave it: default, file, environment or "
        "flag. Secrets are masked. Give it the flags that you would give to `lipstream serve`."
    )
    parser.add_argument("what", choices=["show"], help="what to do: show")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_settings(parser, [item.name for item in fields(Settings)])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    read_settings(arguments)  # what `serve` would refuse is refused here
    found = masked(config.gather(arguments.config, None, given_flags(arguments)))
    if arguments.json:
        told = {
            name: {"value": given.value, "place": given.place, "where": given.where}
            for name, given in found.items()
        }
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(table(found)))
    return 0


def masked(found: Mapping[str, Given]) -> dict[str, Given]:
    """With nothing that must stay secret: only whether it is there."""
    secret = {item.name for item in fields(Settings) if item.metadata["secret"]}
    return {
        name: Given(_MASK, given.place, given.where) if name in secret and given.value else given
        for name, given in found.items()
    }


def table(found: Mapping[str, Given]) -> Iterator[str]:
    """One line for each setting."""
    rows = [("setting", "value", "from")]
    rows += [
        (name, _text(given.value), f"{given.place} {given.where}".rstrip())
        for name, given in found.items()
    ]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, origin in rows:
        yield f"{name:<{first}}  {value:<{second}}  {origin}"


def _text(value: Any) -> str:
    return json.dumps(value) if value == "" or isinstance(value, bool) else str(value)
