"""Which ffmpeg binary we use, and whether it is new enough."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from encoder.errors import FfmpegMissing, FfmpegTooOld

MINIMUM_VERSION = (5, 1)  # -fps_mode came with 5.1
VERSION_TIMEOUT_SECONDS = 10.0

# libavcodec's major number moves with ffmpeg's: 58 is ffmpeg 4, 59 is 5, ...
_AVCODEC_MAJOR_OFFSET = 54


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """One ffmpeg binary. ``major`` is 0 for a git snapshot that tells nothing of its age."""

    path: str
    version: str
    major: int
    minor: int
    identity: str


def find_ffmpeg(configured: str) -> Ffmpeg:
    """Find ffmpeg and check its version.

    Args:
        configured: a path, a name on PATH, or empty for the binary of the imageio-ffmpeg wheel.

    Raises:
        FfmpegMissing: nothing there, or it does not answer ``-version`` like an ffmpeg.
        FfmpegTooOld: older than 5.1.
    """
    path = _on_disk(configured) if configured else _bundled()
    identity = _identity(path)
    banner = _ask_version(path, configured, identity)
    version, major, minor = parse_version(banner)
    if not version:
        raise FfmpegMissing(configured, f"{path} does not call itself ffmpeg")
    if (major, minor) < MINIMUM_VERSION and major:
        raise FfmpegTooOld(path, version, MINIMUM_VERSION)
    return Ffmpeg(path, version, major, minor, identity)


def parse_version(banner: str) -> tuple[str, int, int]:
    """Read the first line of ``ffmpeg -version``: the version as written, major, minor.

    Releases are ``5.1.9-0+deb12u1`` or ``n9.0.2-17-g2a571b6``. A git snapshot (``N-1234-gabc``,
    ``2026-01-31-git-abc``) has no release number; the major one of its libavcodec stands in, and
    ``(0, 0)`` where even that is missing. The version is empty if this is no ffmpeg at all.
    """
    first = re.match(r"ffmpeg version (\S+)", banner)
    if not first:
        return "", 0, 0
    version = first[1]
    if release := re.match(r"n?(\d+)\.(\d+)", version):
        return version, int(release[1]), int(release[2])
    if avcodec := re.search(r"^libavcodec\s+(\d+)\.", banner, re.MULTILINE):
        major = int(avcodec[1]) - _AVCODEC_MAJOR_OFFSET
        # A snapshot is newer than the first release of its number: take 5.x for 5.1.
        return version, major, MINIMUM_VERSION[1] if major == MINIMUM_VERSION[0] else 0
    return version, 0, 0


def _bundled() -> str:
    try:
        import imageio_ffmpeg  # here, not above: it is not needed where ffmpeg is configured

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise FfmpegMissing("", str(error).splitlines()[0]) from error


def _on_disk(configured: str) -> str:
    found = shutil.which(str(Path(configured).expanduser()))
    if found:
        return found
    exists = Path(configured).expanduser().exists()
    raise FfmpegMissing(configured, "it is not executable" if exists else "there is no such file")


@lru_cache(maxsize=8)  # a tenth of a second, of which somebody waits for each
def _ask_version(path: str, configured: str, _identity: str) -> str:
    try:
        done = subprocess.run(
            [path, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=VERSION_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"{path} did not answer -version in {VERSION_TIMEOUT_SECONDS:g} s"
        raise FfmpegMissing(configured, reason) from error
    except OSError as error:
        raise FfmpegMissing(configured, f"{path} cannot run: {error.strerror}") from error
    return done.stdout.decode("utf-8", "replace")


def _identity(path: str) -> str:
    """Changes whenever the binary does, without reading it."""
    real = Path(path).resolve()
    status = real.stat()
    return f"{real}:{status.st_size}:{status.st_mtime_ns}"
