"""``lipstream checkpoint``: whether a checkpoint of Ditto is whole, and runs here."""

from __future__ import annotations

import argparse
from pathlib import Path

from server.flags import add_settings, read_settings

HELP = "check a Ditto checkpoint, or write a synthetic one"


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Look whether every file is there, read both configurations, load every network and hold "
        "what it takes and gives against what the talking head needs. With --synthetic, first "
        "write a checkpoint of tiny networks there: it shows that all is wired up, on any CPU, "
        "not what Ditto looks like."
    )
    add_settings(parser, ("checkpoint", "runtime", "gpu", "engine_folder", "face_detector"))
    parser.add_argument("--synthetic", action="store_true", help="write a synthetic one first")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from inference.checkpoint.folder import open_checkpoint
    from inference.engines.choice import choose, open_engine, survey
    from inference.progress import Progress

    settings = read_settings(arguments)
    folder = Path(settings.checkpoint or "checkpoints")
    if arguments.synthetic:
        _write_synthetic(folder)
    insightface = settings.face_detector == "insightface"
    found = open_checkpoint(folder, research_only=insightface)
    for online in (True, False):
        read = found.configuration(online=online)
        ignored = f"; not looked at: {', '.join(read.unknown)}" if read.unknown else ""
        print(f"{read.path.name}: overlap {read.defaults.overlap_v2}{ignored}")
    engines = Path(settings.engine_folder) if settings.engine_folder else None
    networks = tuple(found.path(spec.name) for spec in found.specs)
    runtime = choose(survey(networks, engines, gpu=settings.gpu), settings.runtime)
    engine = open_engine(runtime.name, engines, gpu=settings.gpu)
    try:
        with Progress(len(networks), "networks", "network") as progress:
            loaded = found.load_all(engine, loaded=progress.step)
    finally:
        engine.close()
    print(f"{len(loaded)} networks load with {runtime.name}, and are those of v0.4_hubert")
    return 0


def _write_synthetic(folder: Path) -> None:
    """Never over files that are there: they may have taken hours to fetch.

    Raises:
        FolderUnusable: the folder has something in it, or cannot be written.
    """
    from inference.engines.choice import import_onnx
    from inference.engines.errors import FolderUnusable

    import_onnx("the synthetic checkpoint")
    from inference.synthetic.checkpoint import write

    try:
        if folder.exists() and any(folder.iterdir()):
            raise FolderUnusable(folder, "is not empty, and nothing in it is written over")
        write(folder)
    except OSError as error:
        raise FolderUnusable(folder, error.strerror or str(error)) from error
