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


class FilmRejected(FileRejected):
    """Not a file that can be played: nothing in it that ffmpeg can decode."""


class DecoderMissing(InferenceError):
    """There is no ffmpeg to decode with."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"no ffmpeg to decode with: {_one_line(reason)}; leave the setting ffmpeg empty to use "
            "the one that comes with imageio-ffmpeg, or give the path of a program"
        )


class UnknownMicrophone(InferenceError):
    """The setting ``microphone`` names nothing that can be listened to."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"microphone is {_one_line(name)[:80]!r}: give alsa:DEVICE or pulse:DEVICE, such as "
            "alsa:default, or leave it empty for silence"
        )


class MicrophoneUnreadable(InferenceError):
    """The ffmpeg of the settings was built without the input that the microphone needs."""

    def __init__(self, kind: str, program: str) -> None:
        super().__init__(
            f"{program} was built without the input {kind!r}, so it hears no microphone through "
            "that; give one that has it as the setting ffmpeg (Debian's /usr/bin/ffmpeg has both), "
            "or name the microphone by the other of alsa: and pulse:"
        )


class UnknownSource(InferenceError):
    """The setting ``source`` names nothing that we have; ``source`` is its value."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"source is {_one_line(source)!r}: choose avatar, testcard, ingest, file:PATH, or "
            "camera:DEVICE with an index (camera:0), a device path (camera:/dev/video0) or a URL"
        )
        self.source = source


def _one_line(text: str) -> str:
    """Names come from strangers: a line break or an escape must not forge a log line."""
    return "".join(c if c.isprintable() else "?" for c in text)
