"""Results of earlier trial encodes, in one JSON file that may vanish at any time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from logs import event

log = logging.getLogger(__name__)

FILE_NAME = "encoders.json"
LAYOUT = 1  # of the file; another number is another lipstream's, and is ignored
RETRY_FAILURE_SECONDS = 600.0  # a driver may come up later
MAX_ENTRIES = 200

Entry = dict[str, Any]

_KINDS: dict[str, type] = {"works": bool, "reason": str, "milliseconds": int, "at": float}

# Variables that decide which driver library is found.
_DRIVER_VARIABLES = ("LD_LIBRARY_PATH", "LIBVA_DRIVER_NAME", "CUDA_VISIBLE_DEVICES")


def default_directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """``$XDG_CACHE_HOME/lipstream``, or None where the user has no home."""
    base = environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "lipstream"
    try:
        return Path.home() / ".cache" / "lipstream"
    except RuntimeError:
        return None


def driver_identity(
    nvidia: Path = Path("/proc/driver/nvidia/version"), devices: Path = Path("/dev")
) -> str:
    """Changes when a GPU or its driver comes, goes or is updated."""
    found = [sys.platform, *(f"{name}={os.environ.get(name, '')}" for name in _DRIVER_VARIABLES)]
    with contextlib.suppress(OSError):
        found.append(nvidia.read_text("utf-8", "replace"))
    nodes = [*devices.glob("nvidia*"), *devices.glob("dri/*")]
    return "\n".join(found + sorted(map(str, nodes)))


class TrialCache:
    """Entries by key. Neither reading nor writing ever fails: without a file it forgets."""

    def __init__(self, directory: Path | None, now: Callable[[], float] = time.time) -> None:
        self._file = directory / FILE_NAME if directory else None
        self._now = now

    def get(self, key: str) -> Entry | None:
        """The entry, unless it is a failure that is due for another try."""
        entry = self._load().get(key)
        if entry is None:
            return None
        age = self._now() - entry["at"]
        return entry if entry["works"] or 0 <= age < RETRY_FAILURE_SECONDS else None

    def put(self, new: Mapping[str, Entry]) -> None:
        """Add entries, beside those that another process added meanwhile."""
        if not new or self._file is None:
            return
        entries = self._load() | {key: entry | {"at": self._now()} for key, entry in new.items()}
        newest = sorted(entries, key=lambda key: entries[key]["at"])[-MAX_ENTRIES:]
        document = {"layout": LAYOUT, "trials": {key: entries[key] for key in newest}}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            _replace(self._file, json.dumps(document, indent=1))
        except OSError as error:
            event(
                log,
                "trial_cache_unwritable",
                level=logging.DEBUG,
                file=self._file,
                reason=error,
            )

    def _load(self) -> dict[str, Entry]:
        if self._file is None:
            return {}
        try:
            document = json.loads(self._file.read_bytes())
            if document["layout"] != LAYOUT:
                return {}
            return {key: _checked(entry) for key, entry in document["trials"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            event(
                log,
                "trial_cache_unreadable",
                level=logging.DEBUG,
                file=self._file,
                reason=error,
            )
            return {}


def _checked(entry: Entry) -> Entry:
    """An entry as we write it.

    Raises:
        TypeError, KeyError: it is none.
    """
    for name, kind in _KINDS.items():
        if type(entry[name]) is not kind:
            raise TypeError(f"{name} is {entry[name]!r}")
    return entry


def _replace(file: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(temporary, file)  # noqa: PTH105 - both are plain paths here
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
