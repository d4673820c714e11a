"""Everything that can go wrong in ``encoder``, as one tree; facts are attributes.

::

    EncoderError
    ├── FfmpegMissing       no ffmpeg where it should be, or the file is not one
    ├── FfmpegTooOld        an ffmpeg without an option that we need
    ├── ImpossibleSize      a picture size that 4:2:0 H.264 cannot have
    ├── ImpossibleLadder    a ladder of renditions that the source cannot have
    ├── ImpossibleFormat    settings that do not go together
    ├── EncoderUnavailable  a forced encoder does not work, or none does
    ├── EncoderExited       the ffmpeg child ended by itself
    ├── EncoderGivenUp      ... so often that it will not get better
    ├── ParametersChanged   a restarted encoder gives another init segment
    ├── OutOfResources      the system has no descriptor or process left for us
    ├── BadBox              bytes that are not the ISO BMFF they should be
    ├── StreamBroken        media that would break a MUST of HLS; it was not published
    ├── MovieUnwritable     a rendered file cannot be written
    ├── FolderUnusable      a folder of the settings, other than the media root, cannot be used
    └── StoreUnwritable     the media root refuses a write
        └── StoreFull       ... because there is no room
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path

_RAISE_LIMIT = "raise the limit (ulimit -n, LimitNOFILE)"


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


class ImpossibleLadder(EncoderError):
    """A rung, or a whole ladder, that cannot be."""

    def __init__(self, ladder: str, problem: str) -> None:
        self.ladder = ladder
        self.problem = problem
        super().__init__(f"ladder {ladder!r}: {problem}")


class ImpossibleFormat(EncoderError):
    """Settings that are right each for itself, but not together."""

    def __init__(self, settings: str, remedy: str) -> None:
        self.settings = settings
        self.remedy = remedy
        super().__init__(f"{settings}: they do not go together; {remedy}")


_CODEC_NAMES = {"h264": "H.264", "hevc": "HEVC", "av1": "AV1"}


class EncoderUnavailable(EncoderError):
    """The encoder ``wanted`` cannot be used; ``reasons`` tells by encoder name why not."""

    def __init__(
        self, wanted: str, reasons: Mapping[str, str], remedy: str, codec: str = "h264"
    ) -> None:
        self.wanted = wanted
        self.reasons = dict(reasons)
        if wanted == "auto":
            what = f"no {_CODEC_NAMES[codec]} encoder works here"
        else:
            what = f"the encoder {wanted!r} cannot be used"
        why = "; ".join(
            reason if name == wanted else f"{name}: {reason}" for name, reason in reasons.items()
        )
        super().__init__(": ".join(filter(None, (what, why))) + f"; {remedy}")


class EncoderExited(EncoderError):
    """The ffmpeg child ended by itself."""

    def __init__(
        self, argv: Sequence[str], returncode: int | None, stderr_tail: Sequence[str]
    ) -> None:
        self.argv = list(argv)
        self.returncode = returncode
        self.stderr_tail = list(stderr_tail)
        last = stderr_tail[-1] if stderr_tail else "it said nothing"
        super().__init__(f"ffmpeg ended with status {returncode}: {last}")


class EncoderGivenUp(EncoderError):
    """An encoder that failed too often; ``reason`` is that of its last failure, in one word."""

    def __init__(self, encoder: str, reason: str, last: EncoderExited) -> None:
        self.encoder = encoder
        self.reason = reason
        self.last = last
        super().__init__(f"{encoder} fails again and again: {last}")


class ParametersChanged(EncoderError):
    """A restarted encoder gives another init segment; the media needs a DISCONTINUITY (16)."""

    def __init__(self, encoder: str, rendition: str) -> None:
        self.encoder = encoder
        self.rendition = rendition
        super().__init__(f"{encoder} began {rendition} again with other parameters")


class OutOfResources(EncoderError):
    """The system has no descriptor, memory or process left for us. It may have one later."""

    def __init__(self, wanted: str, reason: str) -> None:
        self.wanted = wanted
        self.reason = reason
        super().__init__(f"cannot {wanted}: {reason}; {_RAISE_LIMIT}")

    @staticmethod
    def of(wanted: str, error: OSError) -> OutOfResources:
        """Translate an error of the operating system."""
        return OutOfResources(wanted, error.strerror or str(error))

    @staticmethod
    def means(error: OSError) -> bool:
        """Whether an error of the operating system is of this kind."""
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


class BadBox(EncoderError):
    """Bytes that are not the ISO BMFF they should be; ``offset`` counts from the stream's start."""

    def __init__(self, kind: str, offset: int, problem: str) -> None:
        self.kind = kind
        self.offset = offset
        self.problem = problem
        super().__init__(f"box {kind!r} at byte {offset} {problem}")


class StreamBroken(EncoderError):
    """Media that would break a MUST of HLS, the one numbered ``rule``; it was not published."""

    def __init__(self, problem: str, *, rule: int) -> None:
        self.rule = rule
        super().__init__(f"{problem} (rule {rule}): it was not published")


class FolderUnusable(EncoderError):
    """A folder that the setting ``setting`` names cannot be used."""

    def __init__(self, setting: str, path: Path, reason: str) -> None:
        self.setting = setting
        self.path = path
        self.reason = reason
        super().__init__(f"cannot use {path}: {reason}; check the setting {setting}")

    @staticmethod
    def of(setting: str, path: Path, error: OSError) -> FolderUnusable:
        """Translate an error of the operating system."""
        return FolderUnusable(setting, path, error.strerror or str(error))


class StoreUnwritable(EncoderError):
    """The media root refuses a write."""

    def __init__(
        self, path: Path, reason: str, remedy: str = "check the setting media_root"
    ) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot write {path}: {reason}; {remedy}")

    @staticmethod
    def of(path: Path, error: OSError) -> StoreUnwritable:
        """Translate an error of the operating system."""
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull(path, reason)
        if OutOfResources.means(error):
            return StoreUnwritable(path, reason, _RAISE_LIMIT)
        return StoreUnwritable(path, reason)


class StoreFull(StoreUnwritable):
    """There is no room for a file, on the file system or within the stream's own bound."""


class MovieUnwritable(EncoderError):
    """A rendered file cannot be written: ``path`` and ``reason``."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be written: {reason}; give another with -o")
        self.path = path
        self.reason = reason
