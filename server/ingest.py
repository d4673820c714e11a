"""``lipstream ingest``: raw pictures from a pipe, and raw sound, into a stream.

Nothing is stored on the way: a picture is read straight into the memory that the encoder reads, and
while the encoder has enough nothing is read, so whoever writes to the pipe waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from encoder.media_root import RUN
from logs import event
from pacing import Paced
from rawmedia import Disconnected, Frame, MediaFormat, Producer, Samples, connect
from server.errors import IngestFailed

STDIN = 0
# Linux gives this to every user: ten seconds of sound, so that a program that writes picture and
# sound in turn, and not in step, does not wait for itself.
PIPE_BYTES = 1 << 20
# An encoder process that died has a successor within that; a stream that has ended has none.
RETURN_SECONDS, LOOK_SECONDS = 10.0, 0.05
API_SECONDS = 30.0
# Of a terminal, of a service manager, of a terminal that is closed.
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_FPS = 240

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Writer:
    """What comes through the pipes."""

    width: int
    height: int
    fps: Fraction
    audio_rate_hz: int
    audio_channels: int
    sound_fd: int | None  # None: silence

    def media(self, stream_fps: int | None) -> MediaFormat:
        """Format of the units; ``stream_fps``: of the stream, where that is known.

        Raises:
            FormatError, IngestFailed: no stream can have it.
        """
        if stream_fps is None and self.fps.denominator != 1:
            raise IngestFailed(f"--fps {float(self.fps):g} is no rate that a stream can have")
        fps = stream_fps or int(self.fps)
        return MediaFormat(self.width, self.height, fps, self.audio_rate_hz, self.audio_channels)


def parse_size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` as two numbers.

    Raises:
        IngestFailed: it is something else.
    """
    width, _, height = text.partition("x")
    try:
        return int(width), int(height)
    except ValueError as error:
        raise IngestFailed(f"--size is {text!r}: give WIDTHxHEIGHT, such as 1280x720") from error


def parse_fps(text: str) -> Fraction:
    """Pictures a second: ``25``, ``12.5`` or ``30000/1001``.

    Raises:
        IngestFailed: it is something else, or beyond 240.
    """
    with contextlib.suppress(ValueError, ZeroDivisionError):
        fps = Fraction(text)
        if 0 < fps <= _MOST_FPS:
            return fps
    raise IngestFailed(f"--fps is {text!r}: give a number up to {_MOST_FPS}, such as 25 or 12.5")


def open_sound(fd: int | None, file: str | None) -> int | None:
    """The descriptor to read s16le from; None: there is none, the stream is silent.

    Raises:
        IngestFailed: it cannot be read.
    """
    try:
        if file is not None:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        elif fd is not None:
            os.fstat(fd)
    except OSError as error:
        named = f"--audio {file}" if file is not None else f"--audio-fd {fd}"
        raise IngestFailed(f"{named} cannot be read: {error.strerror}") from error
    return fd


def feed(writer: Writer, stream: str, media_root: Path) -> int:
    """Feed a stream until stdin ends.

    Returns:
        The number of pictures that were read.

    Raises:
        IngestFailed: there is no such stream, it has ended, or stdin ended within a picture.
        Refused: the stream takes another size or rate, or has a source already.
        FormatError: no stream can have that format.
    """
    for fd in (STDIN, writer.sound_fd):
        _widen(fd)
    run = media_root / RUN
    socket = run / f"{stream}.sock"
    if not socket.exists():
        raise IngestFailed(
            f"no stream {stream!r} takes raw media below {media_root}: start `lipstream serve "
            "--source ingest`, give the --media-root or --port of the one that runs, or --create"
        )
    pipes = _Pipes(writer)
    lost_at = math.inf
    while True:
        media = writer.media(_stream_fps(run / f"{stream}.json"))
        try:
            with connect(socket, media) as producer:
                lost_at = math.inf
                event(log, "ingest_connected", stream=stream)
                pipes.pour(producer)
                return pipes.pictures
        except Disconnected as error:
            lost_at = min(lost_at, time.monotonic())
            if time.monotonic() - lost_at > RETURN_SECONDS:
                raise IngestFailed(f"the stream {stream!r} has ended ({error})") from error
            time.sleep(LOOK_SECONDS)


class _Ended(Exception):
    """No further picture: the unit that was begun is nobody's."""


class _Pipes:
    """Reads pictures with their sound; goes on with another encoder where it was."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.pictures = 0
        self._samples = 0

    def pour(self, producer: Producer) -> None:
        """Until stdin ends."""
        with contextlib.suppress(_Ended):
            if self._writer.fps == producer.media.fps:
                self._pour_units(producer)
            else:
                self._pour_paced(producer)

    def _pour_units(self, producer: Producer) -> None:
        while True:
            with producer.unit() as (frame, samples):
                self._read(frame, samples)
            self._count(len(samples))

    def _pour_paced(self, producer: Producer) -> None:
        """At another rate than the stream's: each picture has the sound of its own time."""
        media, paced = producer.media, Paced(producer)
        frame = np.empty((media.height, media.width, 3), np.uint8)
        while True:
            end = round((self.pictures + 1) * media.audio_rate_hz / self._writer.fps)
            samples = np.empty((end - self._samples, media.audio_channels), np.int16)
            self._read(frame, samples)
            self._count(len(samples))
            paced.write(frame, samples)

    def _count(self, samples: int) -> None:
        self.pictures += 1
        self._samples += samples

    def _read(self, frame: Frame, samples: Samples) -> None:
        came = _fill(STDIN, frame.reshape(-1).data)
        if came == 0:
            raise _Ended
        if came < frame.nbytes:
            size = f"{self._writer.width}x{self._writer.height}"
            raise IngestFailed(
                f"stdin ended {came} bytes into picture {self.pictures}, which has {frame.nbytes} "
                f"as {size} BGR24; is --size what the program writes?"
            )
        into = samples.reshape(-1).view(np.uint8)
        heard = 0 if self._writer.sound_fd is None else _fill(self._writer.sound_fd, into.data)
        into[heard:] = 0


def _fill(fd: int, buffer: memoryview) -> int:
    """Read until a buffer of bytes is full; the value is how many came before the end."""
    filled = 0
    while filled < len(buffer):
        count = os.readv(fd, [buffer[filled:]])
        if not count:
            break
        filled += count
    return filled


def _widen(fd: int | None) -> None:
    if fd is not None:
        with contextlib.suppress(AttributeError, OSError):  # no pipe, or not on Linux
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _stream_fps(figures: Path) -> int | None:
    """What the encoder tells of its rate; None where it has not told yet."""
    try:
        return int(json.loads(figures.read_text("utf-8"))["fps"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --- a stream of one's own -----------------------------------------------------------------------


@contextlib.contextmanager
def created(api: str, token: str, stream: str, writer: Writer, media_root: Path) -> Iterator[None]:
    """Have the service start a stream for this writer, and end it with the block.

    Signals that end a program (:data:`ENDS`) leave the block as SystemExit, so they end it too.

    Args:
        api: the service's address, such as ``http://127.0.0.1:8000``.
        token: of its control API; empty: it needs none.

    Raises:
        IngestFailed: the service does not answer, or says no; the message says why.
    """
    body: dict[str, Any] = {"id": stream, "source": {"type": "ingest"}} | _wished(writer)
    with _Ends() as ends:
        _ask(api, token, "POST", "/api/streams", body)
        try:
            with ends.heeded():
                _await(media_root / RUN / f"{stream}.sock", media_root)
                yield
        finally:
            try:
                _ask(api, token, "DELETE", f"/api/streams/{stream}")
            except IngestFailed as error:  # what went wrong before matters more
                event(log, "ingest_left", level=logging.WARNING, stream=stream, reason=error)


class _Ends:
    """Signals that end the command: SystemExit where they are heeded, kept for later elsewhere.

    While a stream is being made nobody knows whether there is one to end, and while it is being
    ended there is nothing to add.
    """

    def __init__(self) -> None:
        self._came = 0
        self._is_heeded = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Ends:
        for number in ENDS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # such as SIGHUP under nohup
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextlib.contextmanager
    def heeded(self) -> Iterator[None]:
        """Within the block they end it; also one that came before.

        Raises:
            SystemExit: one came; the status is a shell's for it.
        """
        self._is_heeded = True
        try:
            self._end()
            yield
        finally:
            self._is_heeded = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came = self._came or number
        if self._is_heeded:
            self._end()

    def _end(self) -> None:
        if self._came:
            raise SystemExit(128 + self._came)


def _wished(writer: Writer) -> dict[str, int]:
    """Settings of the stream; a rate that it cannot have is left to the service, and paced."""
    wished = asdict(writer)
    fps = wished.pop("fps")
    del wished["sound_fd"]
    fits = fps.denominator == 1 and fps <= 60 and writer.audio_rate_hz % fps == 0
    return wished | ({"fps": int(fps)} if fits else {})


def _await(socket: Path, media_root: Path) -> None:
    deadline = time.monotonic() + RETURN_SECONDS
    while not socket.exists():
        if time.monotonic() > deadline:
            raise IngestFailed(
                f"the stream was started, but not below {media_root}: give the service's "
                "--media-root"
            )
        time.sleep(LOOK_SECONDS)


def _ask(api: str, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> None:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(api + path, data, headers, method=method)  # noqa: S310 - http
    try:
        with urllib.request.urlopen(request, timeout=API_SECONDS):  # noqa: S310 - of the operator
            return
    except urllib.error.HTTPError as error:
        raise IngestFailed(f"{api} says {error.code}: {_detail(error)}") from error
    except (OSError, ValueError) as error:
        raise IngestFailed(f"no service answers at {api} ({error}); see --url") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(4096))["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return error.reason
