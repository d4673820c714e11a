"""The folder on disk that takes the older segments of long windows; and the one for recordings.

::

    <disk folder>/lipstream-dvr/<id>/...   the same names as below <media root>/live/<id>
    <disk folder>/.lipstream.lock          held while a service runs
"""

from __future__ import annotations

import os
import shutil
import tempfile
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
        needed_bytes: the sum of the bounds of what will be there.
    """

    def __init__(self, setting: str, needed_bytes: int) -> None:
        self._path = Path(setting).resolve() if setting else None
        self._needed_bytes = needed_bytes
        self._lock: int | None = None

    def __enter__(self) -> DiskFolder:
        if self._path is not None:
            require_writable("disk_folder", self._path)
            self._take_lock(self._path)
            shutil.rmtree(self._path / _DVR, ignore_errors=True)  # of a service that was killed
            self._require_room(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._path is None or self._lock is None:
            return
        shutil.rmtree(self._path / _DVR, ignore_errors=True)
        with suppress(OSError):
            (self._path / _LOCK).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _take_lock(self, path: Path) -> None:
        try:
            self._lock = lock_file(path / _LOCK)
        except OSError as error:
            raise FolderUnusable.of("disk_folder", path, error) from error
        if self._lock is None:
            raise FolderUnusable("disk_folder", path, "another lipstream is using it")

    def _require_room(self, path: Path) -> None:
        room = os.statvfs(path)
        free_bytes = room.f_bavail * room.f_frsize
        if free_bytes < self._needed_bytes:
            self.__exit__()
            reason = f"{free_bytes} bytes are free, {self._needed_bytes} are needed"
            raise FolderUnusable("disk_folder", path, f"{reason}; lower dvr_seconds")


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
