"""The raw-media socket: how any program hands frames and their sound to an encoder process.

One *unit* is one picture and exactly the samples heard while it is shown. Picture and sound are
queued, dropped and repeated together, so they cannot drift apart.

The encoder listens on a UNIX socket. A producer connects, sends its :class:`MediaFormat` as one
line of JSON, and gets back one line of JSON and a file descriptor: memory cut into slots. From
then on both sides send single bytes: the producer "slot k holds a unit", the encoder "slot k is
free". A frame is drawn straight into the memory that is later handed to ffmpeg's pipe.

A slot is laid out as ``frame (H*W*3 uint8 BGR) | samples (N*C int16) | mark (uint64)``, padded to
a page. A mark that is not 0 comes back as an event with the place of its unit in the stream.

The byte ``RECALL`` instead of a slot takes back what the encoder has not begun to use. It answers
``RECALL``, how many slots it gives back, and these; one unit is kept, which is due at any moment.

This module imports nothing of ours: it is all that ``encoder`` and ``inference`` share.
"""

from __future__ import annotations

import array
import contextlib
import json
import mmap
import os
import socket
import struct
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PROTOCOL = 2  # 1 had no marks and no RECALL
RECALL = 0xFF  # no slot has that number
# Beside a stream's socket, where a source that can be spoken through hears what to say, and the
# folder of what waits. The first is no longer than ".sock": a socket's path has a limit. In the
# folder each utterance that was a text has its captions beside its sound.
SPEECH_SOCKET, SPEECH_FOLDER, CUES_SUFFIX = ".say", ".speech", ".cues"
# The picture of the face that an avatar has been given last, where it was given another.
WORN_FACE = ".worn"
# And the figures of a source that has any.
SOURCE_FIGURES = ".face"
MAX_HELLO_BYTES = 4096
CONNECT_TIMEOUT_SECONDS = 5.0

# What JSON of another form, or none, can raise: a list has a pop() too, and "[[[[" is deep.
_NOT_OUR_JSON = (ValueError, AttributeError, KeyError, TypeError, RecursionError)

Frame = NDArray[np.uint8]
Samples = NDArray[np.int16]


class RawMediaError(Exception):
    """Root of all that can go wrong between a producer and its encoder."""


class FormatError(RawMediaError):
    """A picture or sound format that no stream here can have."""


class Refused(RawMediaError):
    """The encoder said no; the message is its reason."""


class Disconnected(RawMediaError):
    """The other side went away."""


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """What one unit looks like. ``fps`` must divide ``audio_rate_hz``: a unit has whole samples."""

    width: int
    height: int
    fps: int
    audio_rate_hz: int = 48_000
    audio_channels: int = 1

    def __post_init__(self) -> None:
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise FormatError(f"{name} is {value!r}: give a whole number from {low} to {high}")
        for name in ("width", "height"):
            value = getattr(self, name)
            if value % 2:  # 4:2:0 chroma covers two pixels each way
                raise FormatError(f"{name} is {value}: give an even number, such as {value - 1}")
        if self.audio_rate_hz % self.fps:
            raise FormatError(
                f"fps {self.fps} does not divide audio_rate_hz {self.audio_rate_hz}: "
                "a frame must carry a whole number of samples (24, 25, 30, 50, 60 do at 48000)"
            )

    @property
    def samples_per_unit(self) -> int:
        """Samples per channel that belong to one frame."""
        return self.audio_rate_hz // self.fps

    @property
    def frame_bytes(self) -> int:
        """Size of one BGR24 frame."""
        return self.width * self.height * 3

    @property
    def samples_bytes(self) -> int:
        """Size of one unit's interleaved s16 samples."""
        return self.samples_per_unit * self.audio_channels * 2

    @property
    def slot_bytes(self) -> int:
        """Size of one slot: frame, samples and mark, rounded up to a page."""
        page = mmap.PAGESIZE
        return -(-(self.frame_bytes + self.samples_bytes + _MARK.size) // page) * page


_MARK = struct.Struct("<Q")
_BOUNDS = (
    ("width", 16, 4096),
    ("height", 16, 4096),
    ("fps", 1, 60),
    ("audio_rate_hz", 8_000, 48_000),
    ("audio_channels", 1, 2),
)


class SlotMemory:
    """``slots`` units of shared memory, viewed as arrays. Both sides hold one."""

    def __init__(self, fd: int, media: MediaFormat, slots: int) -> None:
        self.media = media
        self.slots = slots
        self._map = mmap.mmap(fd, media.slot_bytes * slots)
        self.fd = os.dup(fd)  # of the file behind it; it lives as long as this object
        weakref.finalize(self, os.close, self.fd)
        # Made once: for each unit anew it was a tenth of the encoder process's time.
        self._frames = [self._view_frame(slot) for slot in range(slots)]
        self._samples = [self._view_samples(slot) for slot in range(slots)]

    @classmethod
    def create(cls, media: MediaFormat, slots: int) -> tuple[SlotMemory, int]:
        """Make the memory; returns it and the descriptor to hand to the producer."""
        fd = _anonymous_file("lipstream-units")
        try:
            os.ftruncate(fd, media.slot_bytes * slots)
            _seal_size(fd)
            return cls(fd, media, slots), fd
        except OSError:  # no memory, or no descriptor left: then one more must not be lost
            os.close(fd)
            raise

    def frame_at(self, slot: int) -> int:
        """Where the picture of a slot begins in the file, in bytes."""
        return slot * self.media.slot_bytes

    def frame(self, slot: int) -> Frame:
        """The HxWx3 uint8 BGR picture of a slot, in place."""
        return self._frames[slot]

    def _view_frame(self, slot: int) -> Frame:
        media, start = self.media, self.frame_at(slot)
        flat = np.frombuffer(self._map, np.uint8, media.frame_bytes, start)
        return flat.reshape(media.height, media.width, 3)

    def samples(self, slot: int) -> Samples:
        """The NxC int16 samples of a slot, in place."""
        return self._samples[slot]

    def _view_samples(self, slot: int) -> Samples:
        media, start = self.media, self.frame_at(slot) + self.media.frame_bytes
        count = media.samples_per_unit * media.audio_channels
        return np.frombuffer(self._map, np.int16, count, start).reshape(-1, media.audio_channels)

    def mark(self, slot: int) -> int:
        """The mark of a slot's unit; 0: it has none."""
        mark: int = _MARK.unpack_from(self._map, self._mark_at(slot))[0]
        return mark

    def set_mark(self, slot: int, mark: int) -> None:
        """Give a slot's unit a mark."""
        _MARK.pack_into(self._map, self._mark_at(slot), mark)

    def _mark_at(self, slot: int) -> int:
        media = self.media
        return slot * media.slot_bytes + media.frame_bytes + media.samples_bytes


def _anonymous_file(name: str) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile(prefix=name) as file:  # other systems: an unlinked file
        return os.dup(file.fileno())


def _seal_size(fd: int) -> None:
    """A producer that shrank the memory would kill the encoder with SIGBUS: make it impossible."""
    try:
        import fcntl

        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except (ImportError, AttributeError):
        return  # no memfd, no seals: the file has no name, only our own producer can reach it


class Producer:
    """The sending end. Use :func:`connect`; write from one thread."""

    def __init__(self, connection: socket.socket, memory: SlotMemory) -> None:
        self.media = memory.media
        self._connection = connection
        self._memory = memory
        self._free = list(range(memory.slots))
        self._mark = 0

    def wait(self) -> None:
        """Block while the encoder holds every slot: this is what paces a source to real time.

        Raises:
            Disconnected: the encoder went away.
        """
        while not self._free:
            self._free.extend(self._receive(self._memory.slots))

    @property
    def room(self) -> int:
        """The most that :meth:`waiting` can be: one slot is shown, one is being drawn into."""
        return self._memory.slots - 2

    def waiting(self) -> int:
        """Units that the encoder has and has not begun to use; it also keeps the one it shows.

        Raises:
            Disconnected: the encoder went away.
        """
        with contextlib.suppress(BlockingIOError):
            self._free.extend(self._receive(self._memory.slots, socket.MSG_DONTWAIT))
        return max(0, self._memory.slots - len(self._free) - 1)

    @contextmanager
    def unit(self) -> Iterator[tuple[Frame, Samples]]:
        """Lend the next free slot to draw into; it is sent when the block ends without an error.

        Blocks as :meth:`wait` does.

        Raises:
            Disconnected: the encoder went away.
        """
        self.wait()
        slot, self._mark = self._free.pop(0), 0
        try:
            yield self._memory.frame(slot), self._memory.samples(slot)
        except BaseException:
            self._free.append(slot)
            raise
        self._memory.set_mark(slot, self._mark)
        self._send(bytes((slot,)))

    def mark(self, mark: int) -> None:
        """Give the unit that is being drawn a mark, below 2**64; see :mod:`journal`."""
        self._mark = mark

    def recall(self) -> int:
        """Take back the newest units, as far as the encoder has not begun to use them.

        Returns:
            How many: whoever drew them may draw as many anew in their place.

        Raises:
            Disconnected: the encoder went away.
        """
        self._send(bytes((RECALL,)))
        while (byte := self._receive(1)[0]) != RECALL:
            self._free.append(byte)  # on its way before the encoder heard us
        count = self._receive(1)[0]
        for _ in range(count):
            self._free.append(self._receive(1)[0])
        return count

    def write(self, frame: Frame, samples: Samples, mark: int = 0) -> None:
        """Send a copy of one frame (HxWx3 uint8 BGR) and its samples (NxC int16).

        Raises:
            FormatError: wrong size or type; both are named, nothing was sent.
            Disconnected: the encoder went away.
        """
        _require_array("frame", frame, (self.media.height, self.media.width, 3), np.uint8)
        wanted = (self.media.samples_per_unit, self.media.audio_channels)
        _require_array("samples", samples, wanted, np.int16)
        with self.unit() as (into_frame, into_samples):
            into_frame[:] = frame
            into_samples[:] = samples
            self.mark(mark)

    def close(self) -> None:
        """Hang up. The stream goes on with the last frame and silence."""
        self._connection.close()

    def hang_up(self) -> None:
        """From any thread: who waits for a slot, or will, is told that the encoder went away."""
        with contextlib.suppress(OSError):  # it did
            self._connection.shutdown(socket.SHUT_RDWR)

    def _receive(self, most: int, flags: int = 0) -> bytes:
        try:
            data = self._connection.recv(most, flags)
        except BlockingIOError:
            raise
        except OSError as error:
            raise Disconnected(f"the encoder hung up: {error}") from error
        if not data:
            raise Disconnected("the encoder hung up")
        return data

    def _send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise Disconnected(f"the encoder hung up: {error}") from error


@contextmanager
def connect(path: Path, media: MediaFormat) -> Iterator[Producer]:
    """Open the socket at ``path`` and agree on a format; hang up at the end of the block.

    Raises:
        Refused: the stream has another format or another source; the message says which.
        Disconnected: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_TIMEOUT_SECONDS)
        memory = _shake_hands(connection, path, media)
        connection.settimeout(None)
        yield Producer(connection, memory)
    finally:
        connection.close()


def _shake_hands(connection: socket.socket, path: Path, media: MediaFormat) -> SlotMemory:
    try:
        connection.connect(str(path))
        connection.sendall(encode_line({"lipstream": PROTOCOL} | asdict(media)))
        line, fds = _receive_line_and_fds(connection)
    except OSError as error:
        raise Disconnected(f"no encoder answers at {path}: {error}") from error
    try:
        reply = json.loads(line)
        if not reply.get("ok"):
            raise Refused(reply.get("error", "refused without a reason"))
        return SlotMemory(fds[0], media, reply["slots"])
    except (*_NOT_OUR_JSON, IndexError, OSError) as error:
        raise Disconnected(f"what answers at {path} is no encoder of this version") from error
    finally:
        for fd in fds:
            os.close(fd)


def _receive_line_and_fds(connection: socket.socket) -> tuple[bytes, list[int]]:
    line, fds = b"", array.array("i")
    while not line.endswith(b"\n"):
        data, ancillary, _flags, _address = connection.recvmsg(
            MAX_HELLO_BYTES, socket.CMSG_SPACE(fds.itemsize)
        )
        if not data or len(line) > MAX_HELLO_BYTES:
            raise ConnectionError("it closed the connection during the greeting")
        for _level, _kind, payload in ancillary:
            fds.frombytes(payload)
        line += data
    return line, list(fds)


def encode_line(message: dict[str, object]) -> bytes:
    """One JSON object as one line: the greeting's wire form."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def parse_hello(line: bytes) -> MediaFormat:
    """Read a producer's greeting.

    Raises:
        FormatError: not a greeting, another protocol version, or an impossible format.
    """
    try:
        message = json.loads(line)
        version = message.pop("lipstream")
    except _NOT_OUR_JSON as error:
        raise FormatError("the greeting is not one line of JSON with a 'lipstream' key") from error
    if version != PROTOCOL:
        raise FormatError(f"protocol {version!r}: this side speaks {PROTOCOL}")
    try:
        return MediaFormat(**message)
    except TypeError as error:
        raise FormatError(f"the greeting has wrong fields: {error}") from error


def _require_array(
    name: str, value: object, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype != dtype:
        found = (
            f"{value.shape} {value.dtype}"
            if isinstance(value, np.ndarray)
            else type(value).__name__
        )
        raise FormatError(f"{name} is {found}; this stream takes {shape} {np.dtype(dtype)}")
