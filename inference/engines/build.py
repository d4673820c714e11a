"""Building all engines of a checkpoint: what is to be done, and doing it, to be resumed at will."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from inference.engines.engine_files import (
    Checksums,
    Recipe,
    alone,
    recipe,
    sweep,
    write_whole,
)
from inference.engines.errors import NetworkUnusable

Build = Callable[[Path, Recipe, Callable[[float], None]], bytes]
Watch = Callable[[str, float], None]  # a file's name, and how far it is, 0 to 1


@dataclass(frozen=True, slots=True)
class Step:
    """One engine: the network's file, what to build of it, where it goes, whether it is there."""

    path: Path
    recipe: Recipe
    target: Path
    built: bool


def plan(
    paths: Iterable[Path], folder: Path, tensorrt: str, gpu: str, *, fresh: bool
) -> list[Step]:
    """What a build would do.

    Args:
        paths: ONNX files.
        folder: of the engines.
        tensorrt: version.
        gpu: name and compute capability, or AMPERE_PLUS.
        fresh: build also what is there.

    Raises:
        OSError: a file cannot be read.
    """
    checksums = Checksums(folder)
    steps = []
    for path in paths:
        wanted = recipe(path, checksums.of(path), tensorrt, gpu)
        target = folder / wanted.file_name
        steps.append(Step(path, wanted, target, built=target.is_file() and not fresh))
    return steps


def carry_out(steps: list[Step], build: Build, watch: Watch) -> tuple[NetworkUnusable, ...]:
    """Build what is not there, one by one; each is there for good as soon as it is written.

    Answers what could not be built; the others are built nevertheless.

    Raises:
        FolderBusy: another build is at work there.
        OSError: an engine cannot be written.
    """
    failures = []
    with ExitStack() as locks:
        for folder in sorted({step.target.parent for step in steps}):
            locks.enter_context(alone(folder))
            sweep(folder)
        for step in steps:
            if not step.built:
                try:
                    write_whole(step.target, build(step.path, step.recipe, _named(watch, step)))
                except NetworkUnusable as error:
                    failures.append(error)
            watch(step.target.name, 1.0)
    return tuple(failures)


def _named(watch: Watch, step: Step) -> Callable[[float], None]:
    return lambda share: watch(step.target.name, share)
