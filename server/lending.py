"""Streams hold on to the uploads they were started with, for as long as they live.

A stream's source may be started again days later, when the upload itself has long gone: so a
stream gets names of its own for the files. They are links: nothing is copied.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import Settings

UPLOADS = "uploads"
_LENT = ("image", "audio")


def lend(settings: Settings, run: Path) -> tuple[Settings, tuple[Path, ...]]:
    """Settings of a stream that name its own links, and the links.

    Args:
        settings: of the stream; files that are no uploads stay as they are.
        run: the folder in which ``uploads`` lies.

    Raises:
        OSError: an upload is no longer there.
    """
    changes: dict[str, Any] = {}
    for name in _LENT:
        file = Path(getattr(settings, name))
        if file.parent == run / UPLOADS:
            link = run / f"{settings.stream}.{name}"
            changes[name] = str(link)
            _link(file, link)
    return replace(settings, **changes), tuple(Path(link) for link in changes.values())


def give_back(links: Iterable[Path]) -> None:
    """The stream is gone."""
    for link in links:
        link.unlink(missing_ok=True)


def _link(file: Path, link: Path) -> None:
    link.unlink(missing_ok=True)
    try:
        os.link(file, link)
    except FileNotFoundError as error:
        raise OSError("an upload has just expired; upload it again") from error
