"""Where the media lives: a tmpfs, locked by one service at a time, emptied at both ends.

::

    <media root>/live/<id>/...   published files; a static file server may serve `live`
    <media root>/run/<id>.sock   sources connect here (mode 0700)
    <media root>/run/<id>.json   figures of the stream
    <media root>/run/<id>.events  what happened in it
    <media root>/run/<id>.say    web processes tell its source here what to say
    <media root>/run/<id>.face   what a source tells: a talking head's effort, lost devices
    <media root>/run/<id>.worn   the face that it was given last
    <media root>/run/<id>.speech/  sound files that wait to be said
    <media root>/run/_control.sock  the supervisor hears wishes here
    <media root>/run/_roster.json   what it tells of its processes
    <media root>/.lock           held while a service runs
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from encoder.errors import StoreFull, StoreUnwritable
from journal import SUFFIX, Journal
from logs import event
from rawmedia import SOURCE_FIGURES, SPEECH_FOLDER, SPEECH_SOCKET, WORN_FACE

LIVE, RUN, LOCK = "live", "run", ".lock"
# No stream has such a name.
CONTROL, ROSTER = "_control.sock", "_roster.json"
MOUNT_POINT = Path(__file__).resolve().parent.parent / "tmpfs"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a tmpfs on every Linux
MOUNTS = Path("/proc/mounts")
# sun_path of struct sockaddr_un on Linux, its final NUL included.
LONGEST_SOCKET_PATH = 107
# Children end by themselves within this when their supervisor is gone.
ORPHANS_END_SECONDS = 5.0

log = logging.getLogger(__name__)


class MediaRoot:
    """A chosen and locked media root. Use as a context: leaving it removes all media."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._made_by_us = False

    @property
    def lock_fd(self) -> int:
        """The locked file, for processes that write here: they hold the lock while they live."""
        assert self._lock is not None
        return self._lock

    @property
    def live(self) -> Path:
        """Folder of the published files."""
        return self.path / LIVE

    @property
    def run(self) -> Path:
        """Folder of sockets and figures, for this user alone."""
        return self.path / RUN

    def socket(self, stream: str) -> Path:
        """Where the source of a stream connects.

        Raises:
            StoreUnwritable: the path is longer than a socket's address may be.
        """
        path = self.run / f"{stream}.sock"
        length = len(os.fsencode(path))
        if length > LONGEST_SOCKET_PATH:
            reason = f"a socket's path has {length} bytes, {LONGEST_SOCKET_PATH} are the limit"
            raise StoreUnwritable(path, reason)
        return path

    @property
    def control(self) -> Path:
        """Where the supervisor hears wishes."""
        return self.run / CONTROL

    @property
    def roster(self) -> Path:
        """What the supervisor tells of streams and processes."""
        return self.run / ROSTER

    def figures(self, stream: str) -> Path:
        """File of what the encoder process tells about a stream."""
        return self.run / f"{stream}.json"

    def journal(self, stream: str) -> Journal:
        """The events of a stream."""
        return Journal(self.run / f"{stream}{SUFFIX}")

    def forget(self, stream: str) -> None:
        """Remove what its source and its listeners had beside the media."""
        self.journal(stream).remove()
        for suffix in (SPEECH_SOCKET, SOURCE_FIGURES, WORN_FACE):
            (self.run / f"{stream}{suffix}").unlink(missing_ok=True)
        shutil.rmtree(self.run / f"{stream}{SPEECH_FOLDER}", ignore_errors=True)

    def check_room(self, bounds_bytes: Sequence[int]) -> None:
        """See that streams fit, each grown to its bound.

        Args:
            bounds_bytes: of all streams that run, and of one that shall.

        Raises:
            StoreFull: they do not.
            StoreUnwritable: the file system does not answer.
        """
        try:
            room = os.statvfs(self.path)
            used = sum(_bytes_on_disk(path) for path in self.live.rglob("*.*"))
        except OSError as error:
            raise StoreUnwritable.of(self.path, error) from error
        free_bytes = room.f_bavail * room.f_frsize
        if free_bytes + used < sum(bounds_bytes):
            *others, new = bounds_bytes
            owed = max(0, sum(others) - used)
            promised = f", {owed} of them promised to running streams" if owed else ""
            raise StoreFull(
                self.path, f"{free_bytes} bytes are free{promised}, a stream needs {new}"
            )

    def __enter__(self) -> MediaRoot:
        try:
            self._made_by_us = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_owner()
            self._take_lock()
            self._empty()
            self.live.mkdir()
            self.run.mkdir(mode=0o700)
        except OSError as error:
            self.__exit__()
            raise StoreUnwritable.of(self.path, error) from error
        except StoreUnwritable:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        self._empty()
        with suppress(OSError):
            (self.path / LOCK).unlink(missing_ok=True)
            if self._made_by_us:
                self.path.rmdir()
        os.close(self._lock)
        self._lock = None

    def _check_owner(self) -> None:
        """Where anybody may make folders, somebody else's could have been waiting for us."""
        owner = self.path.lstat().st_uid
        if self.path.parent.stat().st_mode & stat.S_IWOTH and owner not in (0, os.geteuid()):
            raise StoreUnwritable(
                self.path,
                f"it belongs to user {owner}, who could change what lies in it; remove it or give "
                "another folder",
            )

    def _take_lock(self) -> None:
        """One service at a time: a second one would remove the media of the first."""
        deadline = time.monotonic() + ORPHANS_END_SECONDS
        # Where a supervisor was killed, its children are still ending: wait for them.
        while (lock := lock_file(self.path / LOCK)) is None:
            if _runs((self.path / LOCK).read_text()) or time.monotonic() > deadline:
                reason = "another lipstream is using it; stop that one or give another folder"
                raise StoreUnwritable(self.path, reason)
            time.sleep(0.05)
        self._lock = lock
        (self.path / LOCK).write_text(str(os.getpid()))

    def _empty(self) -> None:
        for name in (LIVE, RUN):
            shutil.rmtree(self.path / name, ignore_errors=True)


def _runs(pid: str) -> bool:
    """Whether another process has that number; anything unclear counts as no."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()


def was_killed(folder: Path) -> bool:
    """Whether the last service there was killed: what it had started may still be ending."""
    try:
        return not _runs((folder / LOCK).read_text())
    except OSError:
        return False


def remove_abandoned(base: Path) -> None:
    """Remove media roots below a folder that no service uses: it was killed, or its machine was.

    Only this user's, only those named by :func:`choose`, and only where the lock is free.
    """
    for path in base.glob(f"lipstream-{os.getuid()}-*"):
        with suppress(OSError):
            lock = lock_file(path / LOCK) if (path / LOCK).exists() else None
            if lock is not None:
                shutil.rmtree(path)
                event(log, "media_removed", folder=path, why="its service is gone")
                os.close(lock)


def _bytes_on_disk(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:  # it left the window just now
        return 0


def lock_file(path: Path) -> int | None:
    """Hold a lock until the descriptor is closed; None where another process holds it.

    Raises:
        OSError: the file cannot be made.
    """
    # For reading: a file that is open for writing would keep root from remounting read-only.
    lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return None
    return lock


def choose(wished: str, port: int) -> Path:
    """The folder to use: the wished one, tmpfs/ if mounted, /dev/shm, else the plain folder.

    Args:
        wished: the setting; empty to choose.
        port: keeps two services of one user apart.
    """
    if wished:
        return Path(wished).resolve()
    name = f"lipstream-{os.getuid()}-{port}"
    for base in (MOUNT_POINT, SHARED_MEMORY):
        if is_tmpfs(base) and os.access(base, os.W_OK):
            return base / name
    event(
        log,
        "media_on_disk",
        level=logging.WARNING,
        folder=MOUNT_POINT,
        remedy="mount a tmpfs there: it saves the disk some megabytes a minute",
    )
    return MOUNT_POINT / name


def is_tmpfs(folder: Path) -> bool:
    """Whether a tmpfs is mounted exactly there (Linux; elsewhere never)."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return False
    mounted = [line.split()[1:3] for line in lines]
    name = str(folder).replace("\\", "\\134").replace(" ", "\\040")  # as the kernel writes it
    return [name, "tmpfs"] in mounted
