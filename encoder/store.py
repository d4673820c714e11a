"""Files of one stream on tmpfs: written whole or not at all, counted, bounded, removed.

Every file appears by rename (rule 12): a reader, a static file server or a watcher for
``IN_MOVED_TO`` sees all of it or nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from encoder.errors import StoreFull, StoreUnwritable

# Never served: a name that starts so is being written.
PARTIAL_PREFIX = ".partial-"
_TRIAL_NAME = PARTIAL_PREFIX + "trial"


class StreamStore:
    """The folder of one stream. One writer; any number of readers.

    Args:
        folder: ``<media root>/live/<id>``.
        limit_bytes: more than this is refused: the bound of :func:`disk_bound_bytes`.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        # All paths are strings: every part has some, and pathlib takes longer than the system call.
        self._prefix = f"{folder}{os.sep}"
        self._sizes: dict[str, int] = {}
        self._sizes_bytes = 0  # their sum
        self._leftovers: dict[str, int] = {}

    @property
    def used_bytes(self) -> int:
        """Bytes of all published files, those of a crashed process included."""
        return self._sizes_bytes + sum(self._leftovers.values())

    def open(self, renditions: Sequence[str]) -> None:
        """Make the folders. What a crashed process published stays fetchable for now.

        Raises:
            StoreUnwritable: the media root cannot be written.
        """
        try:
            for name in renditions:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._leftovers = dict(self._find_files())
        except OSError as error:
            raise StoreUnwritable.of(self.folder, error) from error

    def _find_files(self) -> Iterator[tuple[str, int]]:
        for path in self.folder.rglob("*"):
            if path.name.startswith(PARTIAL_PREFIX):
                path.unlink()
            elif path.is_file():
                yield str(path.relative_to(self.folder)), path.stat().st_size

    def publish(self, name: str, data: bytes) -> None:
        """Write ``<folder>/<name>`` atomically; an existing file is replaced.

        Raises:
            StoreFull: the stream's bound or the file system has no room; nothing changed.
            StoreUnwritable: any other reason; nothing changed.
        """
        self.publish_together({name: data})

    def publish_together(self, files: Mapping[str, bytes]) -> None:
        """Write some files; all are on the file system before the first appears.

        Raises:
            StoreFull: as :meth:`publish`.
            StoreUnwritable: as :meth:`publish`.
        """
        for name in files:
            self._leftovers.pop(name, None)
        growth = self._require_within_bound(files)
        partials = [self._partial(name) for name in files]
        try:
            for partial, data in zip(partials, files.values(), strict=True):
                _write(partial, data)
            for partial, name in zip(partials, files, strict=True):
                os.rename(partial, self._prefix + name)  # noqa: PTH104
        except OSError as error:
            for partial in partials:
                with suppress(OSError):  # a read-only file system refuses this too
                    os.unlink(partial)  # noqa: PTH108
            raise StoreUnwritable.of(self.folder / next(iter(files)), error) from error
        self._sizes.update((name, len(data)) for name, data in files.items())
        self._sizes_bytes += growth

    def _partial(self, name: str) -> str:
        folder, slash, last = name.rpartition("/")
        return f"{self._prefix}{folder}{slash}{PARTIAL_PREFIX}{last}"

    def _require_within_bound(self, files: Mapping[str, bytes]) -> int:
        """Returns by how many bytes they are more than what they replace."""
        growth = sum(len(data) - self._sizes.get(name, 0) for name, data in files.items())
        if self.used_bytes + growth > self.limit_bytes and self._leftovers:
            self.remove_leftovers()
        used = self.used_bytes + growth
        if used > self.limit_bytes:
            raise StoreFull(self.folder, f"{used} bytes, the bound is {self.limit_bytes}")
        return growth

    def require_room(self, free_bytes: int) -> None:
        """Write and remove a file, and look for some room beyond it.

        Raises:
            StoreFull: there is less room.
            StoreUnwritable: the file system refuses.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnwritable.of(self.folder, error) from error
        self.publish(_TRIAL_NAME, b"?")
        self.remove(_TRIAL_NAME)
        room = os.statvfs(self.folder)
        free = room.f_bavail * room.f_frsize
        if room.f_blocks and free < free_bytes:  # a tmpfs without a limit has no blocks
            reason = f"{free} bytes are free, {free_bytes} are needed to go on"
            raise StoreFull(self.folder, reason)

    def look(self, name: str, count: int) -> tuple[bytes, int]:
        """The first bytes of a published file, and its size.

        Raises:
            StoreUnwritable: it is not there.
        """
        path = self.folder / name
        try:
            with path.open("rb") as file:
                return file.read(count), path.stat().st_size
        except OSError as error:
            raise StoreUnwritable.of(path, error) from error

    def remove(self, name: str) -> None:
        """Delete a published file; one that is gone already is no error.

        Raises:
            StoreUnwritable: the file system refuses.
        """
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._prefix + name)  # noqa: PTH108
        except OSError as error:
            raise StoreUnwritable.of(self.folder / name, error) from error
        self._sizes_bytes -= self._sizes.pop(name, 0)

    def adopt(self, name: str) -> None:
        """A file of a crashed process is in use again: it counts as published by us."""
        if name in self._leftovers:
            self._sizes[name] = size = self._leftovers.pop(name)
            self._sizes_bytes += size

    def remove_leftovers(self) -> None:
        """Delete what a crashed process published and nobody replaced."""
        leftovers, self._leftovers = self._leftovers, {}
        for name in leftovers:
            self.remove(name)

    def delete(self) -> None:
        """Delete the folder too."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._sizes.clear()
        self._sizes_bytes = 0
        self._leftovers.clear()


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        view = memoryview(data)
        while view:  # a file system that fills up takes a part first
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
