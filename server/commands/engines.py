"""``lipstream engines``: what can run the talking head here."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from server.flags import add_settings, read_settings

HELP = "show what can run the talking head here"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Try TensorRT and ONNX Runtime, and show which one is used and why the others are not. "
        "With --checkpoint also whether TensorRT has engines for it."
    )
    add_settings(parser, ("checkpoint", "runtime", "gpu", "engine_folder", "face_detector"))
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from inference.checkpoint.folder import open_checkpoint
    from inference.engines.choice import AUTO, choose, survey, table
    from inference.engines.errors import RuntimeUnusable

    settings = read_settings(arguments)
    networks: tuple[Path, ...] = ()
    if settings.checkpoint:
        insightface = settings.face_detector == "insightface"
        found = open_checkpoint(Path(settings.checkpoint), research_only=insightface)
        networks = tuple(found.path(spec.name) for spec in found.specs)
    folder = Path(settings.engine_folder) if settings.engine_folder else None
    runtimes = survey(networks, folder, gpu=settings.gpu)
    try:
        chosen = choose(runtimes, settings.runtime)
    except RuntimeUnusable:
        chosen = None
    if arguments.json:
        rows = [asdict(r) | {"works": r.works, "chosen": r is chosen} for r in runtimes]
        print(json.dumps(rows, indent=2))
    else:
        asked = "" if settings.runtime == AUTO else f", {settings.runtime} was asked for"
        print(f"runtimes of networks{asked}; * is used\n")
        print(table(runtimes, lambda runtime: runtime is chosen), end="")
    return 0 if chosen else 1
