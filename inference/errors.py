"""All errors of this folder. Each message is one line: the value, the limit, the remedy."""

from __future__ import annotations

from pathlib import Path


class InferenceError(Exception):
    """Root of all that can go wrong between a source's files or devices and its frames."""


class FileRejected(InferenceError):
    """A file that cannot be used: ``path``, ``problem`` (value and limit) and ``remedy``."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{_one_line(str(path))}: {_one_line(problem)}; {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


class ImageRejected(FileRejected):
    """Not a picture we take: unreadable, unknown kind, too large."""


class AudioRejected(FileRejected):
    """Not a sound we take: unreadable, empty, too long, samples that are no numbers."""


class NoFaceFound(ImageRejected):
    """A readable picture in which no face was found; ``tried`` names the detectors."""

    def __init__(self, path: Path, size: tuple[int, int], tried: tuple[str, ...]) -> None:
        problem = f"no face found in {size[0]}x{size[1]} pixels, tried {', '.join(tried)}"
        remedy = (
            "choose an upright frontal portrait, or give the places of eyes and mouth in "
            f"{path.name}.landmarks.json"
        )
        super().__init__(path, problem, remedy)
        self.size = size
        self.tried = tried


class LandmarksRejected(FileRejected):
    """A landmarks file that does not describe a face in its picture."""


class UnknownSource(InferenceError):
    """The setting ``source`` names nothing that we have; ``source`` is its value."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"source is {_one_line(source)!r}: choose avatar, ingest, or camera:DEVICE with "
            "an index (camera:0), a device path (camera:/dev/video0), a file or a URL"
        )
        self.source = source


def _one_line(text: str) -> str:
    """Names come from strangers: a line break or an escape must not forge a log line."""
    return "".join(c if c.isprintable() else "?" for c in text)
