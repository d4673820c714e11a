"""Keep what was fetched as MP4, not encoded again: ffmpeg copies picture and sound into one file.

Each rendition has a pipe and a thread of its own, so that a recording never holds up the player.
The file is fragmented while it grows, so it plays whatever ends the program.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from client.errors import CannotKeep
from client.watching.follow import Block

_FINISH_SECONDS = 10.0
# Media that wait for ffmpeg, a minute at 4 Mbit/s; a disk that is slower than that is too slow.
_WAITING_BYTES = 32 * 1024 * 1024
# From 7.1 on ffmpeg turns the fragments into an ordinary MP4 at the end, with a whole index.
_HYBRID_VERSION = (7, 1)
_FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
_FORMATS = (".mp4", ".m4v", ".mov")


class Recorder:
    """Records some renditions of one stream.

    Where the time line breaks the file ends, and another begins: ``out.mp4``, ``out-2.mp4``.

    Args:
        ffmpeg: path of the binary.
        version: its major and minor number.
        path: of the first file.
        tracks: how many renditions there are, the picture first.
    """

    def __init__(self, ffmpeg: str, version: tuple[int, int], path: Path, tracks: int) -> None:
        self.files: list[Path] = []
        self.problem = ""
        self._ffmpeg = ffmpeg
        self._version = version
        self._path = path
        self._takes: list[_Take] = []
        self._at = [-1] * tracks  # the take in which each rendition is
        self._lock = threading.Lock()

    def take(self, track: int, block: Block) -> None:
        """Keep a block of one rendition."""
        with self._lock:
            if self.problem:
                return
            is_first = self._at[track] < 0
            if is_first or block.apart:
                if not is_first:
                    self._takes[self._at[track]].end(track)
                self._at[track] += 1
                if self._at[track] == len(self._takes):
                    self._begin()
                self._takes[self._at[track]].put(track, block.init)
            current = self._takes[self._at[track]]
            current.put(track, block.data)
            self.problem = current.problem

    def finish(self) -> None:
        """Write all of it and close the files."""
        with self._lock:
            for take in self._takes:
                for track in range(len(self._at)):
                    take.end(track)
            for take in self._takes:
                self.problem = take.finish() or self.problem
            self.files = [take.path for take in self._takes]

    def _begin(self) -> None:
        flags = f"{_FRAGMENTED}+hybrid_fragmented" if self._is_hybrid else _FRAGMENTED
        path = self._path if not self._takes else numbered(self._path)
        self._takes.append(_Take(self._ffmpeg, path, len(self._at), flags))

    @property
    def _is_hybrid(self) -> bool:
        return self._version >= _HYBRID_VERSION


class _Take:
    """One file and its ffmpeg."""

    def __init__(self, ffmpeg: str, path: Path, tracks: int, flags: str) -> None:
        self.path = path
        self.problem = ""
        pipes = [os.pipe() for _ in range(tracks)]
        readers = [reader for reader, _writer in pipes]
        self._child = subprocess.Popen(
            argv(ffmpeg, readers, path, flags),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=readers,
            start_new_session=True,  # Ctrl-C ends us, and we end the file
        )
        for reader in readers:
            os.close(reader)
        self._queues: list[queue.SimpleQueue[bytes | None]] = [
            queue.SimpleQueue() for _ in range(tracks)
        ]
        self._waiting = [0] * tracks
        self._writers = [writer for _reader, writer in pipes]
        self._said = b""
        self._threads = [threading.Thread(target=self._drain, daemon=True)]
        self._threads += [
            threading.Thread(target=self._write, args=(track,), daemon=True)
            for track in range(tracks)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, track: int, data: bytes) -> None:
        if self._waiting[track] > _WAITING_BYTES:
            self.problem = f"{self.path}: the disk is too slow; the recording ends here"
            return
        self._waiting[track] += len(data)
        self._queues[track].put(data)

    def end(self, track: int) -> None:
        self._queues[track].put(None)

    def finish(self) -> str:
        """Wait for the file; returns what was wrong with it."""
        try:
            self._child.wait(_FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for thread in self._threads:
            thread.join(_FINISH_SECONDS)
        if self._child.returncode:
            said = self._said.decode("utf-8", "replace").strip().splitlines()
            last = said[-1] if said else f"ffmpeg ended with {self._child.returncode}"
            return f"{self.path}: {last}"
        return self.problem

    def _write(self, track: int) -> None:
        with suppress(OSError), os.fdopen(self._writers[track], "wb", buffering=0) as pipe:
            while (data := self._queues[track].get()) is not None:
                view = memoryview(data)
                while view:
                    view = view[pipe.write(view) :]
                self._waiting[track] -= len(data)

    def _drain(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._said = line


def argv(ffmpeg: str, readers: list[int], path: Path, flags: str) -> list[str]:
    """The command line that copies what comes from some descriptors into a file."""
    inputs: list[str] = []
    maps: list[str] = []
    for index, reader in enumerate(readers):
        # As in the decoder: nothing but pipes is opened for what comes from a network.
        inputs += ["-protocol_whitelist", "pipe", "-i", f"pipe:{reader}"]
        maps += ["-map", str(index)]
    head = [ffmpeg, "-hide_banner", "-nostats", "-loglevel", "error", "-n"]
    # One shift for all tracks: each by its own first time would undo the lip sync.
    copying = ["-c", "copy", "-avoid_negative_ts", "make_zero", "-movflags", flags]
    return [*head, "-copyts", *inputs, *maps, *copying, f"file:{path}"]


def check_file(path: Path) -> None:
    """See that a recording can be made there.

    Raises:
        CannotKeep: it cannot.
    """
    if path.suffix not in _FORMATS:
        raise CannotKeep(path, f"the name must end in {', '.join(_FORMATS)}")
    if path.exists():
        raise CannotKeep(path, "it is there already; give another name")
    if not os.access(path.parent, os.W_OK):
        raise CannotKeep(path, "its folder is not there, or may not be written to")


def numbered(path: Path) -> Path:
    """The next free name for a further file of a recording."""
    number = 2
    while (found := path.with_stem(f"{path.stem}-{number}")).exists():
        number += 1
    return found
