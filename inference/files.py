"""Opening files that strangers chose."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.errors import FileRejected


@contextmanager
def regular_file(path: Path, rejected: type[FileRejected]) -> Iterator[int]:
    """Lend a descriptor of a regular file, for reading.

    Raises:
        FileRejected: the given kind of it; missing, unreadable, or a folder, pipe or device.
    """
    try:
        # O_NONBLOCK: opening a named pipe would otherwise wait for a writer for ever
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise rejected(path, f"cannot be read: {reason}", "check the path") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise rejected(path, "is no regular file", "give the path of a file")
        yield fd
    finally:
        os.close(fd)
