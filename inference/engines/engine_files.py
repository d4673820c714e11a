"""Where built engines lie, what they are called by, and how they get there whole."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from inference.engines.errors import FolderBusy
from inference.engines.precision import Profile, precision, profile

# What is done to a graph before it is built; another number: build again.
PREPARATION = 1
# The GPU of engines that run on all of compute capability 8.0 and newer, somewhat slower.
AMPERE_PLUS = "Ampere and newer"
_DIGITS = 16  # of a SHA-256 in names of files


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that an engine depends on. Two equal recipes give engines that are interchangeable."""

    network: str
    onnx_sha256: str
    tensorrt: str
    gpu: str  # name and compute capability, or AMPERE_PLUS
    precision: str
    profile: Profile = field(default_factory=dict)
    preparation: int = PREPARATION

    @property
    def file_name(self) -> str:
        """Of the engine: readable in front, unmistakable behind."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
        return f"{self.network}_{self.precision}-{digest}.engine"


def recipe(path: Path, checksum: str, tensorrt: str, gpu: str) -> Recipe:
    """That of a network's file for a version of TensorRT on a GPU, or :data:`AMPERE_PLUS`."""
    stem = path.stem
    return Recipe(stem, checksum, tensorrt, gpu, precision(stem), profile(stem))


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME/lipstream/engines``, else the same in the user's ``.cache``."""
    base = environ.get("XDG_CACHE_HOME", "")
    parent = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return parent / "lipstream" / "engines"


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is there wholly or not at all, whatever happens meanwhile.

    Raises:
        OSError: no space, no right.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else the name may be on disk before what it names
        Path(aside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(aside).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only one that builds into that folder.

    Raises:
        FolderBusy: another one is.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderBusy(folder) from error
        yield


def sweep(folder: Path) -> int:
    """Remove what earlier builds that were killed left aside; answers how many files."""
    left = list(folder.glob(".*.engine.*"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


class Checksums:
    """SHA-256 of large files, kept beside the engines until a file's size or time changes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "checksums.json"
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError):
            read = json.loads(self._file.read_text("utf-8"))
            self._known = read if isinstance(read, dict) else {}

    def of(self, path: Path) -> str:
        """That of the file as it is now.

        Raises:
            OSError: it cannot be read.
        """
        stat = path.stat()
        key = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        if key not in self._known:
            with path.open("rb") as file:
                self._known[key] = hashlib.file_digest(file, "sha256").hexdigest()
            with suppress(OSError):  # then it is counted anew next time
                write_whole(self._file, json.dumps(self._known, indent=1).encode())
        return self._known[key]
