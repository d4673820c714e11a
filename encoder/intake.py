"""The encoder's end of the raw-media socket: one producer at a time, a few units in flight."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoder.pipes import Extent
from logs import event
from rawmedia import (
    MAX_HELLO_BYTES,
    RECALL,
    FormatError,
    Frame,
    MediaFormat,
    Samples,
    SlotMemory,
    encode_line,
    parse_hello,
)

# Units that may wait: each is a frame of delay for a live source, and slack for a bursty one.
QUEUE_UNITS = 3
# Besides those that wait: one being drawn, one held as the last picture.
_MORE_SLOTS = 2
SLOTS = QUEUE_UNITS + _MORE_SLOTS
# A source that draws ahead fills the queue for good: where delay matters most, slack is given up.
# Seen with the test card at 25 fps: 155 ms from drawing to ffmpeg with 3, 117 with 2, 77 with 1.
_QUEUE_OF_PROFILE = {"ultra": 1, "low": 2}
# Where the process has no descriptor left for a source, it tries again.
ACCEPT_AGAIN_SECONDS = 0.5

log = logging.getLogger(__name__)


def queue_units(latency: str) -> int:
    """Units that may wait in a stream of that latency profile."""
    return _QUEUE_OF_PROFILE.get(latency, QUEUE_UNITS)


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture and its samples, still in the producer's memory."""

    frame: Frame
    samples: Samples
    slot: int
    owner: _Connection  # keeps the memory
    mark: int = 0
    extent: Extent | None = None  # of the frame, in the file that this memory is


class _Connection:
    """One producer."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.greeting = b""
        self.memory: SlotMemory | None = None

    def free(self, slot: int) -> None:
        with contextlib.suppress(OSError):  # it hung up; its memory dies with the last view
            self.link.send(bytes((slot,)))


class Intake:
    """Listens for a producer and queues its units.

    Args:
        path: where to put the socket.
        media: the only format accepted.
        queue_units: units that may wait.
    """

    def __init__(self, path: Path, media: MediaFormat, queue_units: int = QUEUE_UNITS) -> None:
        self.dropped = 0
        self.on_unit: Callable[[], None] = lambda: None  # called when a unit has arrived
        # Where a unit of the timeline stands in the stream, and who is told of it with its mark.
        self.place: Callable[[int], dict[str, Any]] = lambda unit: {"unit": unit}
        self.on_mark: Callable[[int, dict[str, Any]], None] = lambda _mark, _place: None
        # Told of each unit of a source with its mark, and of where it is fed or would have been.
        self.on_fed: Callable[[int, int], None] = lambda _mark, _unit: None
        self._path = path
        self._slot_count = queue_units + _MORE_SLOTS
        self.media = media
        self._units: deque[Unit] = deque()
        self._lost_marks: list[int] = []
        self._active: _Connection | None = None
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin to listen; an old socket file is replaced."""
        self._loop = asyncio.get_running_loop()
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._listener.listen(4)
        self._listener.setblocking(False)
        self._listen()

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Hang up and stop listening."""
        if self._active is not None:
            self._drop_connection(self._active)
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self._path.unlink(missing_ok=True)

    @property
    def connected(self) -> bool:
        """Whether a producer has been greeted."""
        return self._active is not None and self._active.memory is not None

    @property
    def waiting(self) -> int:
        """Units that wait to be fed."""
        return len(self._units)

    def peek(self) -> Unit | None:
        """The oldest waiting unit, left where it is."""
        return self._units[0] if self._units else None

    def take(self) -> Unit | None:
        """The oldest waiting unit. Give it back with :meth:`release`."""
        return self._units.popleft() if self._units else None

    def release(self, unit: Unit) -> None:
        """The unit's memory may be drawn into again."""
        unit.owner.free(unit.slot)

    def drop_oldest(self) -> None:
        """The encoder cannot keep up: one whole unit, picture and sound, is given up."""
        unit = self.take()
        if unit is not None:
            self.dropped += 1
            self._lost_marks.append(unit.mark)
            self.release(unit)

    def fed(self, unit: Unit, number: int) -> None:
        """Tell of the marks up to this unit, which has that number in the timeline."""
        marks, self._lost_marks = [*self._lost_marks, unit.mark], []
        for mark in marks:
            self.on_fed(mark, number)
            if mark:
                self.on_mark(mark, self.place(number))

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            link, _address = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:  # no descriptor left: it waits, and would wake us for ever
            self._loop.remove_reader(self._listener)
            self._loop.call_later(ACCEPT_AGAIN_SECONDS, self._listen)
            event(log, "source_waits", level=logging.WARNING, reason=error.strerror)
            return
        link.setblocking(False)
        connection = _Connection(link)
        self._loop.add_reader(link, self._readable, connection)

    def _readable(self, connection: _Connection) -> None:
        try:
            data = connection.link.recv(MAX_HELLO_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_connection(connection)
        elif connection.memory is None:
            self._greet(connection, data)
        else:
            self._queue(connection, connection.memory, data)

    def _greet(self, connection: _Connection, data: bytes) -> None:
        connection.greeting += data
        if not connection.greeting.endswith(b"\n"):
            if len(connection.greeting) > MAX_HELLO_BYTES:
                self._refuse(connection, f"the greeting exceeds {MAX_HELLO_BYTES} bytes")
            return
        try:
            media = parse_hello(connection.greeting)
        except FormatError as error:
            self._refuse(connection, str(error))
            return
        if media != self.media:
            self._refuse(connection, f"this stream takes {self.media}, the source has {media}")
        elif self._active is not None:
            self._refuse(connection, "this stream has a source already")
        else:
            self._welcome(connection)

    def _welcome(self, connection: _Connection) -> None:
        try:
            connection.memory, fd = SlotMemory.create(self.media, self._slot_count)
        except OSError as error:
            self._refuse(connection, f"no memory for its units: {error.strerror}; try again")
            return
        reply = encode_line({"ok": True, "slots": self._slot_count})
        try:
            socket.send_fds(connection.link, [reply], [fd])
        except OSError:
            self._drop_connection(connection)
            return
        finally:
            os.close(fd)
        self._active = connection
        event(log, "source_connected", media=self.media)

    def _refuse(self, connection: _Connection, reason: str) -> None:
        event(log, "source_refused", level=logging.WARNING, reason=reason)
        with contextlib.suppress(OSError):
            connection.link.send(encode_line({"ok": False, "error": reason}))
        self._drop_connection(connection)

    def _queue(self, connection: _Connection, memory: SlotMemory, slots: bytes) -> None:
        for slot in slots:
            if slot == RECALL:
                self._give_back(connection)
                continue
            if slot >= self._slot_count or any(
                u.slot == slot and u.owner is connection for u in self._units
            ):
                event(log, "source_broken", level=logging.WARNING, slot=slot)
                self._drop_connection(connection)
                return
            frame, samples, mark = memory.frame(slot), memory.samples(slot), memory.mark(slot)
            extent = Extent(memory.fd, memory.frame_at(slot))
            self._units.append(Unit(frame, samples, slot, connection, mark, extent))
        self.on_unit()

    def _give_back(self, connection: _Connection) -> None:
        """The producer thinks better of what waits; the first of it may be due before it can draw
        another, so that one stays.
        """
        recalled = [unit for unit in list(self._units)[1:] if unit.owner is connection]
        slots = bytes(unit.slot for unit in recalled)
        others = (u for u in self._units if not any(u is unit for unit in recalled))
        self._units = deque(others)
        with contextlib.suppress(OSError):  # it hung up; that is heard in its own time
            connection.link.send(bytes((RECALL, len(slots))) + slots)

    def _drop_connection(self, connection: _Connection) -> None:
        """Hang up. Units it sent before are whole and will still be shown."""
        self._loop.remove_reader(connection.link)
        connection.link.close()
        if self._active is connection:
            self._active = None
            event(log, "source_disconnected", level=logging.WARNING)
