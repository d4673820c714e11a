"""``lipstream build-engines``: TensorRT engines of a checkpoint, for this GPU."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from server.flags import add_settings, read_settings

if TYPE_CHECKING:
    from inference.engines.build import Step
    from inference.engines.tensorrt_library import Library

HELP = "build TensorRT engines for this GPU"
_WITHOUT = (
    "nothing is built: {reason}. Without TensorRT the talking head runs with ONNX Runtime, which "
    "needs no engines: it reads the ONNX files of the checkpoint (`lipstream engines`)"
)


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Build an engine of every network of a checkpoint, once for each GPU and version of "
        "TensorRT; it takes some minutes. What is there already is left, so it can be stopped and "
        "started again. ONNX Runtime needs none of this: it reads the checkpoint as it is."
    )
    add_settings(parser, ("checkpoint", "gpu", "engine_folder", "face_detector"))
    parser.add_argument("--fresh", action="store_true", help="build also what is there")
    parser.add_argument(
        "--ampere-plus",
        action="store_true",
        help="engines for every GPU of compute capability 8.0 and newer, somewhat slower",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be built")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from inference.checkpoint.folder import open_checkpoint
    from inference.engines.choice import import_onnx
    from inference.engines.engine_files import AMPERE_PLUS, default_folder
    from inference.engines.errors import FolderUnusable, RuntimeUnusable
    from inference.engines.tensorrt_library import open_library

    settings = read_settings(arguments)
    insightface = settings.face_detector == "insightface"
    found = open_checkpoint(Path(settings.checkpoint or "checkpoints"), research_only=insightface)
    paths = [found.path(spec.name) for spec in found.specs]
    folder = Path(settings.engine_folder) if settings.engine_folder else default_folder()
    import_onnx("build-engines")  # graphs are prepared with it
    try:
        library = open_library(settings.gpu)
    except RuntimeUnusable as error:
        print(_WITHOUT.format(reason=error), file=sys.stderr)
        return 1
    gpu = AMPERE_PLUS if arguments.ampere_plus else library.gpu
    try:
        return _plan_and_build(library, gpu, paths, folder, arguments)
    except OSError as error:
        raise FolderUnusable(folder, error.strerror or str(error)) from error
    finally:
        library.close()


def _plan_and_build(
    library: Library, gpu: str, paths: list[Path], folder: Path, arguments: argparse.Namespace
) -> int:
    from inference.engines.build import plan

    steps = plan(paths, folder, library.version, gpu, fresh=arguments.fresh)
    print(f"TensorRT {library.version}, {gpu}: {folder}")
    if not arguments.dry_run:
        return _build(library, steps)
    for step in steps:
        state = "is there" if step.built else "to be built"
        print(f"{step.path.name}: {step.recipe.precision}, {state}: {step.target.name}")
    return 0


def _build(library: Library, steps: list[Step]) -> int:
    from inference.engines.build import carry_out
    from inference.engines.tensorrt_build import build
    from inference.progress import Progress

    place = {step.target.name: index for index, step in enumerate(steps)}
    with Progress(len(steps), "engines", "engine") as progress:
        failures = carry_out(
            steps,
            lambda path, recipe, share: build(library, path, recipe, share),
            lambda name, share: progress.reach(place[name] + share, name),
        )
    for failure in failures:
        print(f"lipstream: {failure}", file=sys.stderr)
    there = sum(step.built for step in steps)
    print(f"{len(steps) - there - len(failures)} built, {there} were there, {len(failures)} failed")
    return 1 if failures else 0
