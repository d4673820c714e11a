"""What can be wrong with a checkpoint."""

from __future__ import annotations

from pathlib import Path

from inference.errors import FileRejected, InferenceError

REPOSITORY = "digital-avatar/ditto-talkinghead"


class CheckpointError(InferenceError):
    """Root of all that can be wrong with a checkpoint."""


class CheckpointIncomplete(CheckpointError):
    """Files are missing: ``folder`` and ``missing``, their names within it, all of them."""

    def __init__(self, folder: Path, missing: tuple[str, ...], also: str = "") -> None:
        names = ", ".join(missing)
        super().__init__(
            f"{folder}: {len(missing)} file{'s' * (len(missing) > 1)} missing: {names}{also}; "
            f"fetch with: {fetch_command(folder)}"
        )
        self.folder = folder
        self.missing = missing


class NetworksMismatch(CheckpointError):
    """Networks that are not those of this version: ``folder`` and ``problems``, all of them."""

    def __init__(self, folder: Path, problems: tuple[str, ...]) -> None:
        super().__init__(
            f"{folder}: {'; '.join(problems)}; this is a checkpoint of another version, "
            f"fetch the one for v0.4_hubert with: {fetch_command(folder)}"
        )
        self.folder = folder
        self.problems = problems


class ConfigurationRejected(FileRejected, CheckpointError):
    """A configuration that is damaged, of another version, or not what it seems."""


class ForbiddenName(ConfigurationRejected):
    """A pickle that asks for more than numbers and names; ``name`` is what it asked for."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(
            path,
            f"asks for {name}, which a configuration of numbers and names does not need",
            "do not use this file; fetch the published one",
        )
        self.name = name


def fetch_command(folder: Path) -> str:
    """What brings the files that are needed, and no others."""
    return (
        # one pattern: older and newer tools disagree on how several are given
        f"hf download {REPOSITORY} --include 'ditto_[oc]*' --local-dir {folder}"
    )
