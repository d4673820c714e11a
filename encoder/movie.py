"""One finished MP4 file of pictures that are made one by one, and sound that is known."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import ffmpeg

from encoder.errors import MovieUnwritable
from encoder.ffmpeg import Ffmpeg
from rawmedia import Frame, MediaFormat, Samples

_TAIL_BYTES = 2000
# Quality by constant rate factor: visually without loss for a face, about 1 Mbit/s at 720p.
_CRF = 18


def movie_argv(
    binary: str, media: MediaFormat, sound: Path, target: Path, audio_kbit: int
) -> list[str]:
    """argv of a child that reads BGR24 pictures from stdin.

    Args:
        binary: path of ffmpeg.
        media: size, rates and channels.
        sound: file of raw s16le samples.
        target: an MP4 file, which is replaced.
        audio_kbit: rate of the sound.
    """
    pictures = ffmpeg.input(
        "pipe:0",
        format="rawvideo",
        pix_fmt="bgr24",
        s=f"{media.width}x{media.height}",
        framerate=media.fps,
    )
    heard = ffmpeg.input(
        str(sound), format="s16le", ar=media.audio_rate_hz, ac=media.audio_channels
    )
    output = ffmpeg.output(
        pictures.video,
        heard.audio,
        str(target),
        format="mp4",  # the name it is written under ends otherwise
        pix_fmt="yuv420p",  # what every player decodes
        movflags="+faststart",  # the index first: it plays while it is fetched
        **{"c:v": "libx264", "crf": _CRF, "preset": "medium"},
        **{"c:a": "aac", "b:a": f"{audio_kbit}k"},
    )
    command = output.global_args("-hide_banner", "-nostdin", "-loglevel", "error", "-y")
    argv: list[str] = ffmpeg.compile(command, cmd=binary)
    return argv


class Movie:
    """Takes pictures; see :func:`movie`."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, picture: Frame) -> None:
        """One more picture (HxWx3 uint8 BGR).

        Raises:
            BrokenPipeError: ffmpeg has ended; the block's end says why.
        """
        self._pipe.write(picture.data)


@contextmanager
def movie(
    binary: Ffmpeg, media: MediaFormat, samples: Samples, target: Path, audio_kbit: int
) -> Iterator[Movie]:
    """Write a file, which appears whole when the block ends, or not at all.

    Raises:
        MovieUnwritable: ffmpeg could not, or the folder is not there.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".lipstream-", dir=target.parent) as name:
            sound, unfinished = Path(name) / "sound", Path(name) / "movie.mp4"
            sound.write_bytes(samples.tobytes())
            argv = movie_argv(binary.path, media, sound, unfinished, audio_kbit)
            with (Path(name) / "errors").open("w+b") as errors:
                yield from _fed(argv, errors, target)
            unfinished.replace(target)
    except OSError as error:
        raise MovieUnwritable(target, error.strerror or str(error)) from error


def _fed(argv: list[str], errors: IO[bytes], target: Path) -> Iterator[Movie]:
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=errors, process_group=0)
    assert child.stdin is not None
    try:
        try:
            yield Movie(child.stdin)
            child.stdin.close()
        except BrokenPipeError:
            pass  # its status tells
        if child.wait():
            errors.seek(0)
            told = errors.read(_TAIL_BYTES).decode("utf-8", "replace").strip()
            raise MovieUnwritable(target, f"ffmpeg says: {told or child.returncode}")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
