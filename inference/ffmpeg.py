"""ffmpeg as a decoder: finding it, asking what a file holds, reading pictures or sound of it.

Each child decodes one thing and writes it to a pipe; what is not read yet it does not decode.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from inference.errors import DecoderMissing, FilmRejected
from inference.files import regular_file
from rawmedia import MediaFormat

PROBE_SECONDS = 10.0
# Of the beginning of a file, so much is decoded before it is taken.
PROBED_MEDIA_SECONDS = 1
# Linux gives this to every user; the usual 64 KiB are a fortieth of a 720p picture.
PIPE_BYTES = 1 << 20
# Black as cameras and other sources have it around their pictures.
BORDER = "0x101010"

# A file may name others (HLS, concat): none but files, so nothing is fetched for it.
_ONLY_FILES = ("-protocol_whitelist", "file")
_QUIET = ("-nostdin", "-hide_banner")  # stdin is the job's line of the worker
_STREAM = re.compile(r"^  Stream #0:\d+.*?: (Video|Audio): ", re.MULTILINE)
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds."""

    video: bool
    audio: bool
    seconds: float | None  # None: the file does not say


def find_decoder(configured: str) -> str:
    """Path of the ffmpeg of the settings.

    Args:
        configured: a path, a name on PATH, or empty for the binary of the imageio-ffmpeg wheel.

    Raises:
        DecoderMissing: there is none.
    """
    if configured:
        found = shutil.which(str(Path(configured).expanduser()))
        if found is None:
            raise DecoderMissing(f"there is no program {configured!r}")
        return found
    try:
        import imageio_ffmpeg  # here, not above: it is not needed where ffmpeg is configured

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise DecoderMissing(str(error).splitlines()[0]) from error


def look_into(ffmpeg: str, path: Path) -> Contents:
    """Decode the beginning of a file and tell what it holds.

    Raises:
        FilmRejected: it holds neither picture nor sound that this ffmpeg can decode, or finding
            that out takes more than 10 s.
    """
    with regular_file(path, FilmRejected):
        pass  # a pipe or a device would hold ffmpeg for ever
    inputs = (*_ONLY_FILES, "-i", _url(path), "-map", "0:v:0?", "-map", "0:a:0?")
    argv = [ffmpeg, *_QUIET, *inputs, "-t", str(PROBED_MEDIA_SECONDS), "-f", "null", "-"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        problem = f"reading its first second takes more than {PROBE_SECONDS:g} s"
        raise FilmRejected(path, problem, "convert it to MP4 with H.264 and AAC") from error
    told = done.stderr.decode("utf-8", "replace")
    contents = parse_contents(told)
    if done.returncode or not (contents.video or contents.audio):
        raise FilmRejected(path, _reason(told), "give a video or sound file that ffmpeg can decode")
    return contents


def parse_contents(told: str) -> Contents:
    """Read what ffmpeg tells of its first input; its outputs come after and are left out."""
    told = told.partition("\nOutput #0")[0]
    kinds = {match[1] for match in _STREAM.finditer(told)}
    length = _DURATION.search(told)
    seconds = int(length[1]) * 3600 + int(length[2]) * 60 + float(length[3]) if length else None
    return Contents("Video" in kinds, "Audio" in kinds, seconds)


def _reason(told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return f"ffmpeg says: {lines[-1][:200]}" if lines else "ffmpeg could not read it"


def pictures_argv(ffmpeg: str, path: Path, media: MediaFormat) -> list[str]:
    """argv of a child that writes a file's pictures as BGR24, in the stream's size and rate."""
    fit = (
        # its first picture is shown from the start on, where sound begins earlier
        f"fps={media.fps}:start_time=0",
        "scale=iw*sar:ih,setsar=1",  # pixels that are not square
        f"scale={media.width}:{media.height}:force_original_aspect_ratio=decrease",
        f"pad={media.width}:{media.height}:-1:-1:color={BORDER}",
    )
    # one thread more than one: a large HEVC needs it, the encoder needs the others
    inputs = (*_QUIET, "-v", "error", *_ONLY_FILES, "-threads", "2", "-i", _url(path))
    filters = ("-map", "0:v:0", "-vf", ",".join(fit))
    return [ffmpeg, *inputs, *filters, "-pix_fmt", "bgr24", "-f", "rawvideo", "-"]


def sound_argv(ffmpeg: str, path: Path, media: MediaFormat) -> list[str]:
    """argv of a child that writes a file's sound as s16le, in the stream's rate and channels."""
    inputs = (*_QUIET, "-v", "error", *_ONLY_FILES, "-i", _url(path), "-map", "0:a:0")
    # Silence where the sound has gaps or begins after the picture: it stays in step.
    return [ffmpeg, *inputs, "-af", "aresample=async=1:first_pts=0", *sound_format(media), "-"]


def input_devices(ffmpeg: str) -> set[str]:
    """Names of the input devices that a binary was built with, such as ``alsa``.

    Raises:
        DecoderMissing: it does not answer.
    """
    argv = [ffmpeg, "-hide_banner", "-devices"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DecoderMissing(f"{ffmpeg} does not answer -devices") from error
    rows = re.findall(r"^ D\S? +(\S+)", done.stdout.decode("utf-8", "replace"), re.MULTILINE)
    return {name for row in rows for name in row.split(",")}


def sound_format(media: MediaFormat) -> tuple[str, ...]:
    """Output options for the stream's sound."""
    rate, channels = str(media.audio_rate_hz), str(media.audio_channels)
    return "-ar", rate, "-ac", channels, "-f", "s16le"


def _url(path: Path) -> str:
    """A name that ffmpeg takes for nothing else, whatever colons and dashes are in it."""
    return f"file:{path.absolute()}"


class Decoder:
    """A child whose output is read; start with the constructor's argv, end with :meth:`close`."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a damaged file says something about each picture
            bufsize=0,
            process_group=0,  # Ctrl-C is for the supervisor
        )
        assert self._child.stdout is not None
        self._pipe = self._child.stdout
        with contextlib.suppress(AttributeError, OSError):  # elsewhere, or the user has too many
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer of bytes; the value is how many came before the end."""
        filled = 0
        while filled < len(buffer):
            # unbuffered, so it is the raw file; typeshed cannot know
            count = cast("int", self._pipe.readinto(buffer[filled:]))  # type: ignore[attr-defined]
            if not count:
                break
            filled += count
        return filled

    def read_some(self, most: int) -> bytes:
        """What has come, at least a byte; empty at the end."""
        return self._pipe.read(most)

    def kill(self) -> None:
        """End the child; who reads it gets the end. From any thread."""
        self._child.kill()  # our SIGTERM is blocked, and children inherit that

    def close(self) -> int:
        """Reap the child; the value is its exit status, negative where it had to be killed."""
        if self._child.poll() is None:
            self.kill()
        status = self._child.wait()
        self._pipe.close()
        return status
