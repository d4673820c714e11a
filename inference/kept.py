"""Arrays that take long to make, on disk by what they were made from."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from logs import event

log = logging.getLogger(__name__)

Array = NDArray[Any]
T = TypeVar("T")
Kind = TypeVar("Kind", bound=np.generic)

# What a file with any bytes in it can make of numpy's reader, zipfile's and ours.
_UNUSABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,  # one array alone, which is no record
    EOFError,
    MemoryError,  # a size that nobody has
    RuntimeError,  # encrypted, or compressed in a way of the future
    zipfile.BadZipFile,
    zlib.error,
)


class Shelf:
    """Records of arrays by key. It never fails: it only forgets.

    Args:
        folder: None: nothing is kept.
        most: records, the newest.
        most_bytes: of all of them together.
    """

    def __init__(self, folder: Path | None, most: int, most_bytes: int) -> None:
        self._folder = folder
        self._most = most
        self._most_bytes = most_bytes

    def get(self, key: str, restored: Callable[[dict[str, Array]], T]) -> T | None:
        """What ``restored`` makes of a record; None: there is none that can be used.

        Args:
            key: of the record.
            restored: may raise ValueError or KeyError: these are not the arrays that it knows.
        """
        if self._folder is None:
            return None
        try:
            # without pickle: what somebody else puts there can be wrong, never run
            with np.load(self._folder / f"{key}.npz", allow_pickle=False) as stored:
                return restored(dict(stored))
        except FileNotFoundError:
            return None
        except _UNUSABLE as error:
            kind = self._folder.name
            event(log, "kept_unreadable", level=logging.WARNING, kind=kind, key=key, reason=error)
            return None

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Keep a record, and forget the oldest where there are too many."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._folder / f"{key}.npz", arrays)
            self._forget_old(self._folder)
        except OSError as error:
            kind = self._folder.name
            event(log, "kept_unwritten", level=logging.WARNING, kind=kind, key=key, reason=error)

    def kept_or_made(
        self,
        key: str,
        restored: Callable[[dict[str, Array]], T],
        make: Callable[[], T],
        arrays: Callable[[T], Mapping[str, Array]],
    ) -> T:
        """As it was kept, else as it is made now, and kept from now on.

        Args:
            key: of the record; empty: nobody knows what it would be made from, so it is not kept.
            restored: as for :meth:`get`.
            make: what takes long.
            arrays: what ``restored`` needs of it.
        """
        found = self.get(key, restored) if key else None
        if found is None:
            found = make()
            if key:
                self.put(key, arrays(found))
        return found

    def _forget_old(self, folder: Path) -> None:
        kept = [(path, path.stat()) for path in folder.glob("*.npz")]
        kept.sort(key=lambda each: each[1].st_mtime_ns, reverse=True)
        total = 0
        for number, (path, about) in enumerate(kept):
            total += about.st_size
            if number >= self._most or total > self._most_bytes:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()


def _write(path: Path, arrays: Mapping[str, Array]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type] # numpy annotates its flag
        Path(name).replace(path)  # whole, or not at all
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def key_of(*parts: bytes | str) -> str:
    """A name for what was made from ``parts``."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def key_of_files(files: Sequence[Path], *parts: bytes | str) -> str:
    """A name for what was made from files and ``parts``; empty: one of the files is not there."""
    try:
        return key_of(*(file.read_bytes() for file in files), *parts)
    except OSError:
        return ""


def code(*modules: str) -> list[Path]:
    """Files of modules of this folder: what other code makes is kept under another name."""
    return [Path(__file__).with_name(f"{module}.py") for module in modules]


def checked(array: Array, kind: type[Kind], shape: tuple[int, ...]) -> NDArray[Kind]:
    """An array as it was put there.

    Raises:
        ValueError: it is of another kind or shape.
    """
    if array.dtype != kind or array.shape != shape:
        wanted = f"{np.dtype(kind)} {shape}"
        raise ValueError(f"{array.dtype} {array.shape} in the place of {wanted}")
    return np.ascontiguousarray(array)


def cache_folder(kind: str) -> Path | None:
    """``$XDG_CACHE_HOME/lipstream/<kind>``, or the user's own; None: nothing can be kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "lipstream" / kind
    try:
        return Path.home() / ".cache" / "lipstream" / kind
    except RuntimeError:
        return None
