"""Writing the synthetic checkpoint."""

from __future__ import annotations

from pathlib import Path

from inference.checkpoint.folder import CONFIG_FOLDER, NETWORKS_FOLDER
from inference.synthetic import config, faces, motion, picture


def write(folder: Path) -> None:
    """Write a whole checkpoint, of the published layout, into ``folder``: about 2 MB.

    The same bytes every time. The faces that come out move with what they are given, but none of
    this was learned from anything: it shows that all is wired up, not what Ditto looks like.

    Raises:
        OSError: the folder cannot be written.
    """
    networks, configurations = folder / NETWORKS_FOLDER, folder / CONFIG_FOLDER
    for part in (networks, configurations):
        part.mkdir(parents=True, exist_ok=True)
    for module in (faces, motion, picture):
        module.save(networks)
    config.save(configurations)
