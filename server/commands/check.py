"""``lipstream check``: hold a live stream against the rules of HLS."""

from __future__ import annotations

import argparse

HELP = "hold a live stream against the rules of HLS"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Follow a live stream as players do, try requests one by one, and report rule by rule. "
        "Exit status: 0 every MUST that was seen is kept, 1 one is broken, 2 no check."
    )
    parser.add_argument("url", metavar="URL", help="of the multivariant playlist")
    parser.add_argument("--seconds", metavar="N", type=float, default=20, help="how long [20]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--insecure-tls", action="store_true", help="accept any certificate")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from client.check import run as check

    return check(
        arguments.url,
        arguments.seconds,
        as_json_text=arguments.json,
        verify_tls=not arguments.insecure_tls,
    )
