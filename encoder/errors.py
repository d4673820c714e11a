"""Everything that can go wrong in ``encoder``, as one tree; facts are attributes.

::

    EncoderError
    ├── FfmpegMissing       no ffmpeg where it should be, or the file is not one
    ├── FfmpegTooOld        an ffmpeg without an option that we need
    ├── ImpossibleSize      a picture size that 4:2:0 H.264 cannot have
    └── EncoderUnavailable  a forced encoder does not work, or none does
"""

from __future__ import annotations

from collections.abc import Mapping


class EncoderError(Exception):
    """Root of this folder's errors. The message is one line: what, the limit, the remedy."""


class FfmpegMissing(EncoderError):
    """There is no usable ffmpeg at ``wanted`` (empty: the one in the imageio-ffmpeg wheel)."""

    def __init__(self, wanted: str, reason: str) -> None:
        self.wanted = wanted
        self.reason = reason
        where = f"ffmpeg is {wanted!r}" if wanted else "the imageio-ffmpeg wheel has no ffmpeg"
        remedy = "give the path of an ffmpeg binary, or leave it empty for the bundled one"
        if not wanted:
            remedy = "reinstall imageio-ffmpeg, or set ffmpeg to the path of a binary"
        super().__init__(f"{where}: {reason}; {remedy}")


class FfmpegTooOld(EncoderError):
    """The ffmpeg at ``path`` is older than ``minimum``."""

    def __init__(self, path: str, version: str, minimum: tuple[int, int]) -> None:
        self.path = path
        self.version = version
        self.minimum = minimum
        super().__init__(
            f"{path} is ffmpeg {version}: it must be {minimum[0]}.{minimum[1]} or newer; "
            "install a newer one, or leave ffmpeg empty for the bundled one"
        )


class ImpossibleSize(EncoderError):
    """A width, height or frame rate that no stream can have."""

    def __init__(self, name: str, value: int, limit: str, remedy: str) -> None:
        self.name = name
        self.value = value
        self.limit = limit
        super().__init__(f"{name} is {value}: it must be {limit}; {remedy}")


class EncoderUnavailable(EncoderError):
    """The encoder ``wanted`` cannot be used; ``reasons`` tells by encoder name why not."""

    def __init__(self, wanted: str, reasons: Mapping[str, str], remedy: str) -> None:
        self.wanted = wanted
        self.reasons = dict(reasons)
        if wanted == "auto":
            what = "no H.264 encoder works here"
        else:
            what = f"the encoder {wanted!r} cannot be used"
        why = "; ".join(
            reason if name == wanted else f"{name}: {reason}" for name, reason in reasons.items()
        )
        super().__init__(": ".join(filter(None, (what, why))) + f"; {remedy}")
