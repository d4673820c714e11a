"""Video files that ``POST /api/streams`` may name: those that the operator put into one folder."""

from __future__ import annotations

from pathlib import Path

from config import ConfigError


def find_film(folder: str, name: str) -> Path:
    """The path of a file in the folder of the setting ``film_folder``.

    Args:
        folder: the setting; empty: no file may be named.
        name: from anyone.

    Raises:
        ConfigError: there is no such file right there; links count only to what is in the folder.
    """
    if not folder:
        raise ConfigError(
            "no file can be played here: uploads of video are not taken, and the service has no "
            "film_folder; start it with --film-folder and put the file there"
        )
    root = Path(folder).expanduser().resolve()
    path = _inside(root, name)
    if path is None:
        raise ConfigError(
            f"source.name is {name[:80]!r}: give the name of a file in the service's film_folder"
        )
    return path


def _inside(root: Path, name: str) -> Path | None:
    if not name or "/" in name or not name.isprintable():
        return None
    try:
        path = (root / name).resolve()
        return path if path.parent == root and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, or links in a circle
        return None
