"""What can go wrong in ``client``.

::

    ClientError
    ├── CannotCheck     the address gives nothing that could be judged
    ├── CannotWatch     the address gives no picture
    └── CannotKeep      what is watched cannot be kept on disk

A stream that breaks rules is no error: that is a finding.
"""

from __future__ import annotations

from pathlib import Path


class ClientError(Exception):
    """Root of this folder's errors."""


class CannotCheck(ClientError):
    """There is no stream at the address, or it cannot be reached.

    ``is_lasting``: asking again would not help.
    """

    def __init__(self, url: str, reason: str, *, is_lasting: bool = True) -> None:
        self.url = url
        self.reason = reason
        self.is_lasting = is_lasting
        super().__init__(f"cannot check {url}: {reason}")


class CannotWatch(ClientError):
    """There is no stream at the address, or none of its pictures could be decoded."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"cannot watch {url}: {reason}")


class CannotKeep(ClientError):
    """A recording or pictures cannot be written at ``path``."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot write {path}: {reason}")
