"""A recording as a folder of HLS that any static server can serve, whole at every moment.

Segments are the very files that were on the air. A media playlist grows at its end: one small write
puts the new lines over EXT-X-ENDLIST and that behind them, so whoever opens it sees a finished
recording of what is there so far, also after a crash.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from encoder.playlist import VERSION, SegmentEntry, segment_lines
from encoder.playlist_reader import read_position
from encoder.recording_files import make_numbered, write_at

MULTIVARIANT, MEDIA = "index.m3u8", "media.m3u8"
_END = b"#EXT-X-ENDLIST\n"
_PARTIAL = ".partial-"
_COMPLETE = re.compile(r"^#EXTINF:[\d.]+,\n[^#\s]\S*\n", re.MULTILINE)
_MAP = re.compile(r'^#EXT-X-MAP:URI="([^"]+)"$', re.MULTILINE)
# Playlists of key frames are made for scrubbing on the air; they are not part of a recording.
_NOT_RECORDED = "#EXT-X-I-FRAME-STREAM-INF"


@dataclass
class _Playlist:
    handle: int
    end: int  # where the next lines go
    map_uri: str = ""


class HlsWriter:
    """Writes ``<stem>/``. Every method may raise OSError; the folder plays up to there."""

    def __init__(self, folder: Path, stem: str, target_duration: int) -> None:
        self.path = folder / stem
        self._folder, self._stem = folder, stem
        self._target_duration = target_duration
        self._made = False
        self._playlists: dict[str, _Playlist] = {}

    def resume(self) -> dict[str, int]:
        """Go on with the folder of a crashed process; returns the last msn by rendition."""
        self._made = self.path.is_dir()
        found = {}
        for path in self.path.glob(f"*/{MEDIA}"):
            whole = _whole(path.read_text("utf-8"))
            if whole:
                found[path.parent.name] = read_position(whole).last_msn
                self._playlists[path.parent.name] = _reopened(path, whole)
        return found

    def init(self, name: str, uri: str, data: bytes) -> int:
        """An init segment."""
        return self._publish(name, uri, data)

    def segment(self, name: str, entry: SegmentEntry, data: bytes) -> int:
        """A segment and its lines; without data those of a gap."""
        written = self._publish(name, entry.uri, data) if data else 0
        playlist = self._playlists.get(name) or self._begin(name, entry.msn)
        lines = segment_lines([entry], playlist.map_uri)
        text = "".join(f"{line}\n" for line in lines).encode()
        try:
            write_at(playlist.handle, text + _END, playlist.end)
        except OSError:  # some of it may stand where EXT-X-ENDLIST was
            _close_list(playlist)
            raise
        playlist.end += len(text)
        playlist.map_uri = entry.map_uri
        return written + len(text)

    def multivariant(self, text: str) -> int:
        """The multivariant playlist; its URIs are right here too."""
        kept = [line for line in text.splitlines(True) if not line.startswith(_NOT_RECORDED)]
        return self._publish("", MULTIVARIANT, "".join(kept).encode())

    def end(self) -> int:
        """Close the files; they are whole already."""
        playlists, self._playlists = self._playlists, {}
        for playlist in playlists.values():
            os.close(playlist.handle)
        return 0

    def _begin(self, name: str, msn: int) -> _Playlist:
        head = (
            f"#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{self._target_duration}\n"
            f"#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE:{msn}\n"
        ).encode()
        self._publish(name, MEDIA, head + _END)
        handle = os.open(self.path / name / MEDIA, os.O_WRONLY | os.O_CLOEXEC)
        self._playlists[name] = _Playlist(handle, len(head))
        return self._playlists[name]

    def _publish(self, name: str, uri: str, data: bytes) -> int:
        if not self._made:
            self.path, self._made = make_numbered(self._folder, self._stem), True
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        partial = folder / f"{_PARTIAL}{uri}"
        try:
            partial.write_bytes(data)
            partial.rename(folder / uri)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        return len(data)


def _whole(text: str) -> str:
    """A playlist up to its last whole segment; a line that was cut off is none."""
    *_, end = (0, *(match.end() for match in _COMPLETE.finditer(text)))
    return text[:end]


def _reopened(path: Path, whole: str) -> _Playlist:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    end = len(whole.encode())
    *_, map_uri = ("", *_MAP.findall(whole))
    playlist = _Playlist(handle, end, map_uri)
    _close_list(playlist)
    return playlist


def _close_list(playlist: _Playlist) -> None:
    """The list ends behind its last whole segment."""
    write_at(playlist.handle, _END, playlist.end)
    os.ftruncate(playlist.handle, playlist.end + len(_END))
