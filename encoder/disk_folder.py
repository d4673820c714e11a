"""The folder on disk that takes the older segments of long windows; and the one for recordings.

::

    <disk folder>/lipstream-dvr/<id>/...   the same names as below <media root>/live/<id>
    <disk folder>/.lipstream.lock          held while a service runs
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from encoder.errors import FolderUnusable
from encoder.media_root import lock_file

_DVR, _LOCK = "lipstream-dvr", ".lipstream.lock"


def archive_root(disk_folder: str) -> Path:
    """Where the streams' folders are; the disk folder is the setting."""
    return Path(disk_folder).resolve() / _DVR


def archive_folder(disk_folder: str, stream: str) -> Path:
    """The folder of one stream."""
    return archive_root(disk_folder) / stream


class DiskFolder:
    """A checked and locked disk folder. Use as a context: leaving it removes the media.

    Args:
        setting: ``disk_folder``; empty: nothing is done.
    """

    def __init__(self, setting: str) -> None:
        self._path = Path(setting).resolve() if setting else None
        self._lock: int | None = None

    def __enter__(self) -> DiskFolder:
        if self._path is not None:
            require_writable("disk_folder", self._path)
            self._take_lock(self._path)
            self._empty(self._path)  # of a service that was killed
        return self

    def __exit__(self, *_: object) -> None:
        if self._path is None or self._lock is None:
            return
        self._empty(self._path)
        with suppress(OSError):
            (self._path / _LOCK).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def check_room(self, bounds_bytes: Sequence[int]) -> None:
        """See that streams fit, each grown to its bound.

        Args:
            bounds_bytes: of all streams that run, and of one that shall.

        Raises:
            FolderUnusable: they do not, or the disk does not answer.
        """
        if self._path is None or not any(bounds_bytes):
            return
        try:
            room = os.statvfs(self._path)
            used = sum(_bytes_on_disk(path) for path in (self._path / _DVR).rglob("*.*"))
        except OSError as error:
            raise FolderUnusable.of("disk_folder", self._path, error) from error
        free_bytes, needed = room.f_bavail * room.f_frsize, sum(bounds_bytes)
        if free_bytes + used < needed:
            reason = f"{free_bytes + used} bytes are free or used already, {needed} are needed"
            raise FolderUnusable("disk_folder", self._path, f"{reason}; lower dvr_seconds")

    def remove(self, stream: str) -> None:
        """Remove the media of a stream whose process was killed."""
        if self._path is not None:
            shutil.rmtree(self._path / _DVR / stream, ignore_errors=True)

    def _take_lock(self, path: Path) -> None:
        try:
            self._lock = lock_file(path / _LOCK)
        except OSError as error:
            raise FolderUnusable.of("disk_folder", path, error) from error
        if self._lock is None:
            raise FolderUnusable("disk_folder", path, "another lipstream is using it")

    def _empty(self, path: Path) -> None:
        shutil.rmtree(path / _DVR, ignore_errors=True)


def _bytes_on_disk(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:  # it left the window just now
        return 0


def require_writable(setting: str, path: Path) -> None:
    """Make a folder where there is none, and see whether it takes a file.

    Raises:
        FolderUnusable: it does not.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise FolderUnusable.of(setting, path, error) from error
