"""The streams of a service with their processes, and the file that tells web processes of them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from encoder.process import write_json
from server.child import Child

log = logging.getLogger(__name__)


class StreamState(Enum):
    """What the supervisor wants of a stream; how the media fares is the encoder's to tell."""

    RUNNING = "running"
    ENDING = "ending"  # by wish: ENDLIST, and it can be watched for a while
    FAILED = "failed"  # given up; its reason can be read until the stream is deleted


@dataclass(slots=True)
class Stream:
    """One stream and the processes that make it."""

    id: str
    children: Sequence[Child]
    playlist: Path  # its multivariant playlist: there when it can be played
    bound_bytes: int  # the most it may hold in the media root
    archive_bound_bytes: int = 0  # and in the disk folder
    lent: Sequence[Path] = ()  # its own names for uploads
    state: StreamState = StreamState.RUNNING
    was_live: bool = False
    essential: bool = False  # where it never comes up the service has failed
    culprit: str = ""  # the process for which it failed
    began: float = field(default_factory=time.monotonic)  # when it was ordered

    @property
    def running(self) -> bool:
        """Whether any of its processes lives, or will."""
        return not all(child.over for child in self.children)

    @property
    def has_failed(self) -> bool:
        """Whether nothing but its reason is left of it."""
        return self.state is StreamState.FAILED and not self.running


def write_roster(
    path: Path,
    streams: Iterable[Stream],
    web: Iterable[Child],
    reserve: Iterable[int] = (),
    shared: Iterable[Child] = (),
) -> None:
    """Tell how things stand: once per change, by rename.

    Args:
        path: of the file.
        streams: all there are.
        web: the processes that serve them.
        reserve: process ids of those that wait for the next stream.
        shared: the process in which talking heads are sessions, once one is needed.
    """
    told = {
        "at": time.time(),
        "streams": {stream.id: _stream(stream) for stream in streams},
        "web": [_child(child) for child in web],
        "shared": [_child(child) for child in shared],
        "reserve": list(reserve),
    }
    write_json(path, told)


def read_roster(path: Path) -> dict[str, Any]:
    """What :func:`write_roster` last wrote; nothing known where it did not yet."""
    try:
        roster: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {"streams": {}, "web": [], "shared": [], "reserve": []}
    return roster


def _stream(stream: Stream) -> dict[str, Any]:
    told = {
        "state": stream.state.value,
        "began": stream.began,  # monotonic seconds, the same in all processes
        "processes": [_child(child) for child in stream.children],
    }
    if stream.culprit:
        told["reason"] = f"the {stream.culprit} process was given up; see its last_exit"
    return told


def _child(child: Child) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": child.name,
        "pid": child.pid,
        "restarts": dict(child.restarts),  # by reason
    }
    if child.last_exit is not None:
        last = child.last_exit
        told["last_exit"] = {
            "reason": last.reason,
            "at": last.at,
            "argv": list(last.argv),
            "stderr": list(last.stderr),
        }
    return told
