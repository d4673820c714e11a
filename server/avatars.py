"""Whether a stream has a face that the service draws; no other speaks, or puts one on."""

from __future__ import annotations

from pathlib import Path

from flask import Response

from server.listing import list_streams
from server.problems import problem

_OVER = ("ending", "ended", "failed")
_INFERENCE = "inference"


def refusal(media_root: Path, stream: str, *, over: str, foreign: str) -> Response | None:
    """Why nothing can be asked of the face of a stream; None: something can.

    Args:
        media_root: entered already.
        stream: an id, as a client wrote it.
        over: what that means where the stream is ending or has ended.
        foreign: what that means where its pictures come from outside.
    """
    figures = list_streams(media_root).get(stream)
    if figures is None:
        return problem(404, f"there is no stream {stream[:64]!r}; /api/streams lists them")
    if figures["state"] in _OVER:
        return problem(409, f"the stream is {figures['state']}: {over}")
    processes = [process["name"] for process in figures.get("processes", ())]
    if processes and _INFERENCE not in processes:
        return problem(409, f"the stream's source is a program of yours{foreign}")
    return None
