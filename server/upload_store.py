"""Where uploads lie: ``<media root>/run/uploads/``, in memory and for this user alone.

::

    <id>         the picture as PNG or the sound as FLAC, written by us
    <id>.json    what it is
    *.partial    what is being received or written; swept away when it is too old to be that

The date of an upload is that of its last use by a clock that nobody can set, the same in all
processes until the machine starts anew: a wall clock that is set an hour forth must not remove what
was uploaded a minute ago. Of a partial file, which is written to, the name says when it began.

An id is 128 random bits: whoever knows one was told it. Nobody's name for a file is ever a path.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import Settings
from encoder.media_root import RUN
from server.bodies import BODY_SECONDS
from server.errors import UploadRefused
from server.inspection import WALL_SECONDS, Order, inspect
from server.lending import UPLOADS

PREFIX = f"{UPLOADS}/"
_ID = re.compile(r"[0-9a-f]{32}")
_REFERENCE = re.compile(rf"{PREFIX}({_ID.pattern})")
_PARTIAL, _FACTS = ".partial", ".json"
_BEGUN = re.compile(rf"{_ID.pattern}-(\d+){re.escape(_PARTIAL)}")
_KIND_NAMES = {"image": "a picture", "audio": "a sound"}
# The streams' own media lie in the same memory: uploads leave a quarter of it free.
_LEFT_FREE = 4
# No receiving or writing takes so long.
_PARTIAL_SECONDS = 2 * (BODY_SECONDS + WALL_SECONDS)


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: where it lies, what it is, when it goes (Unix time)."""

    id: str
    path: Path
    facts: dict[str, Any]
    expires_at: float

    def told(self) -> dict[str, Any]:
        """As the API tells it."""
        expires_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires_at))
        return {"id": self.id, "path": PREFIX + self.id, **self.facts, "expires_at": expires_at}


class UploadStore:
    """The uploads of one service; any number of processes may hold one.

    Args:
        settings: the limits.
        media_root: entered already.
        clock: monotonic seconds, the same in all processes.
    """

    def __init__(
        self, settings: Settings, media_root: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._folder = media_root / RUN / UPLOADS
        self._clock = clock

    def resolve(self, reference: str, kind: str) -> Path:
        """The file of an upload; its time begins anew.

        Args:
            reference: ``uploads/<id>``, from anyone.
            kind: ``image`` or ``audio``: what it must be.

        Raises:
            UploadRefused: it is no such reference, is not there, or is of the other kind.
        """
        named = _REFERENCE.fullmatch(reference)
        upload = self.find(named[1]) if named else None
        if upload is None or not self._renew(upload.path):
            raise UploadRefused(
                400,
                f"{reference[:80]!r} is no upload that is there: give the path that "
                f"POST /api/uploads answers, {PREFIX}<id>",
            )
        if upload.facts["type"] != kind:
            found, wanted = _KIND_NAMES[upload.facts["type"]], _KIND_NAMES[kind]
            raise UploadRefused(400, f"{reference} is {found}, wanted is {wanted}")
        return upload.path

    def find(self, upload_id: str) -> Upload | None:
        """The upload of that id, if there is one."""
        if not _ID.fullmatch(upload_id):
            return None
        path = self._folder / upload_id
        try:
            left = self._seconds_left(path)
            facts = json.loads(path.with_suffix(_FACTS).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return Upload(upload_id, path, facts, time.time() + left) if left > 0 else None

    def remove(self, upload_id: str) -> bool:
        """Remove it; whether it was there."""
        upload = self.find(upload_id)
        if upload is not None:
            self._unlink(upload.path)
        return upload is not None

    @contextmanager
    def receiving(self) -> Iterator[Sink]:
        """Lend a file to receive an upload in; it is gone at the end of the block.

        Raises:
            UploadRefused: there is no room.
        """
        sink = self._open_sink()
        try:
            with closing(sink):  # which may find the file system full
                yield sink
        finally:
            sink.path.unlink(missing_ok=True)

    def _open_sink(self) -> Sink:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with self._locked(".count"):
                self._check_room(0)
            return Sink(self._partial(), self._settings.max_upload_bytes)
        except OSError as error:
            raise _no_room(error) from error

    def keep(self, sink: Sink, wanted: str) -> Upload:
        """Find out what was received, and keep it as we write it.

        Args:
            sink: closed.
            wanted: ``image`` or ``audio``; empty: either.

        Raises:
            UploadRefused: it is not taken, or there is no room.
        """
        rewritten = self._partial()
        s = self._settings
        order = Order(str(sink.path), str(rewritten), s.max_image_pixels, s.max_audio_seconds)
        try:
            with self._locked(".inspect"):  # one at a time in a service: each may need memory
                facts = inspect(order)
            if wanted and facts["type"] != wanted:
                found = _KIND_NAMES[facts["type"]]
                raise UploadRefused(422, f"the field is called {wanted!r}, and the file is {found}")
            return self._publish(rewritten, facts)
        except OSError as error:
            raise _no_room(error) from error
        finally:
            rewritten.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what has expired."""
        for path in list(self._folder.glob("*")):
            if begun := _BEGUN.fullmatch(path.name):
                if self._clock() - int(begun[1]) > _PARTIAL_SECONDS:
                    path.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError):  # another process was faster
                if _ID.fullmatch(path.name) and self._seconds_left(path) <= 0:
                    self._unlink(path)

    def _seconds_left(self, path: Path) -> float:
        return path.stat().st_mtime + self._settings.upload_seconds - self._clock()

    def _publish(self, rewritten: Path, facts: dict[str, Any]) -> Upload:
        upload_id = secrets.token_hex(16)
        path = self._folder / upload_id
        with self._locked(".count"):
            self._check_room(rewritten.stat().st_size)
            self._renew(rewritten)
            rewritten.rename(path)  # first: without its facts it goes in time, as all do
            path.with_suffix(_FACTS).write_text(json.dumps(facts), "utf-8")
        return Upload(upload_id, path, facts, time.time() + self._settings.upload_seconds)

    def _check_room(self, more_bytes: int) -> None:
        self.sweep()
        s = self._settings
        sizes = self._sizes()
        if len(sizes) >= s.max_uploads:
            raise _full(f"{len(sizes)} uploads are kept, the limit is {s.max_uploads}")
        held = sum(sizes)
        if held + more_bytes > s.max_uploads_bytes:
            raise _full(
                f"uploads hold {held} bytes and this one needs {more_bytes}, the limit is "
                f"{s.max_uploads_bytes}"
            )
        check_free(self._folder)

    def _sizes(self) -> list[int]:
        sizes = []
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # it was just removed
                if _ID.fullmatch(path.name):
                    sizes.append(path.stat().st_size)
        return sizes

    def _renew(self, path: Path) -> bool:
        """Its time begins anew; False if it is just gone."""
        try:
            os.utime(path, (self._clock(), self._clock()))
        except FileNotFoundError:
            return False
        return True

    def _partial(self) -> Path:
        return self._folder / f"{secrets.token_hex(16)}-{int(self._clock())}{_PARTIAL}"

    def _unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(_FACTS).unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One process at a time; the kernel unlocks it if that one dies."""
        fd = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


class Sink:
    """A file that is being received; it never grows beyond its limit."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.written = 0
        self._limit = limit
        self._checked = 0
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b")

    def write(self, data: bytes) -> int:
        """Take one piece.

        Raises:
            UploadRefused: it is too much, or there is no room.
        """
        self.written += len(data)
        if self.written > self._limit:
            raise UploadRefused(
                413, f"the file is larger than the limit of {self._limit} bytes; give a smaller one"
            )
        if self.written - self._checked > 1 << 20:
            self._checked = self.written
            check_free(self.path.parent)
        try:
            return self._file.write(data)
        except OSError as error:
            raise _no_room(error) from error

    def seek(self, offset: int, whence: int = 0) -> int:
        """As the parser of forms wants it."""
        return self._file.seek(offset, whence)

    def close(self) -> None:
        """All that was written is in the file."""
        try:
            self._file.close()
        except OSError as error:
            raise _no_room(error) from error


def check_free(folder: Path) -> None:
    """Leave the streams their room.

    Raises:
        UploadRefused: less than a quarter of the file system is free.
    """
    room = os.statvfs(folder)
    if room.f_bavail * _LEFT_FREE < room.f_blocks:
        raise _full(
            f"{room.f_bavail * room.f_frsize} bytes are free in the memory that streams use too, "
            f"and a quarter of it ({room.f_blocks * room.f_frsize // _LEFT_FREE} bytes) stays free"
        )


def _no_room(error: OSError) -> UploadRefused:
    return _full(f"the file system of uploads says: {error.strerror or error}")


def _full(why: str) -> UploadRefused:
    return UploadRefused(507, f"{why}; DELETE /api/uploads/<id> what is no longer needed")
