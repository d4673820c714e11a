"""What is known of the streams of a service, from the files its processes write."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from encoder.ladder import BEST_RUNG
from encoder.media_root import CONTROL, LIVE, ROSTER, RUN
from encoder.packager import PLAYLIST_NAME
from rawmedia import SOURCE_FIGURES
from server.control import send
from server.errors import SupervisorAway
from server.roster import StreamState, read_roster

# A live stream's newest part is younger than so many part targets.
FRESH_PARTS = 3
# Encoders write them twice a second; monotonic time is the same in all processes.
OLD_FIGURES_SECONDS = 1.5
# A stream may take so long from its order to its first media before it counts as one that is not
# well: its source may have networks to load, and a slate is shown before that in any case.
START_SECONDS = 90.0
# What a stream is while its encoder process has ended and is started again.
RESTARTING = "restarting"
OVER = ("ending", "ended", "failed")


def list_streams(media_root: Path) -> dict[str, dict[str, Any]]:
    """All streams by id: the encoder's figures, and the supervisor's word on its processes.

    ``state``: ``starting``, ``live``, ``restarting``, ``ending``, ``ended``, ``failed`` (see
    ``reason``), or what else the encoder says of itself.
    """
    roster = read_roster(media_root / RUN / ROSTER)["streams"]
    figures = _figures(media_root)
    if any(_is_old(told) for told in figures.values()):
        figures |= _asked(media_root)
    return {
        name: _merged(name, figures.get(name), roster.get(name)) | _of_source(media_root, name)
        for name in {**roster, **figures}
    }


def _of_source(media_root: Path, name: str) -> dict[str, Any]:
    """What its source tells, where that has figures of its own: a face, devices."""
    path = media_root / RUN / f"{name}{SOURCE_FIGURES}"
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return told


def _merged(
    name: str, figures: dict[str, Any] | None, ordered: dict[str, Any] | None
) -> dict[str, Any]:
    """The supervisor knows of failure first; how the media fares is the encoder's to tell."""
    told = {"id": name, "state": "starting", **(figures or {}), **_without_state(ordered)}
    wished = (ordered or {}).get("state")
    if wished == StreamState.FAILED.value or (wished == StreamState.ENDING.value and not figures):
        told["state"] = wished
    elif figures and figures["state"] not in OVER and _is_away(ordered):
        told["state"] = RESTARTING
    return told


def _is_away(ordered: dict[str, Any] | None) -> bool:
    """Whether the process that told the figures has ended."""
    processes = (ordered or {}).get("processes", ())
    return any(child["name"] == "encoder" and child["pid"] is None for child in processes)


def _without_state(ordered: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (ordered or {}).items() if key != "state"}


def _figures(media_root: Path) -> dict[str, dict[str, Any]]:
    """What the encoder processes last said of themselves."""
    found = {}
    for path in sorted((media_root / RUN).glob("[!_]*.json")):
        try:
            figures = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # it ended just now
        found[figures["id"]] = figures
    return found


def _is_old(figures: dict[str, Any]) -> bool:
    return time.monotonic() - float(figures.get("beat", 0.0)) > OLD_FIGURES_SECONDS


def _asked(media_root: Path) -> dict[str, dict[str, Any]]:
    """Of the supervisor: an encoder that cannot write files beats all the same."""
    try:
        figures: dict[str, dict[str, Any]] = send(media_root / RUN / CONTROL, {"figures": True})[
            "figures"
        ]
    except (SupervisorAway, KeyError):
        return {}
    return figures


def live_edge_age(media_root: Path, figures: dict[str, Any]) -> float | None:
    """Seconds since the newest media of a stream was published; None before the first.

    Args:
        media_root: with the folder ``live``.
        figures: of one stream, from :func:`list_streams`.
    """
    name: str = figures["id"]
    playlist = media_root / LIVE / name / BEST_RUNG / PLAYLIST_NAME
    try:
        by_wall = time.time() - playlist.stat().st_mtime
    except OSError:
        return None
    if "edge" not in figures or "beat" not in figures:
        return round(max(0.0, by_wall), 3)
    now, edge, beat = time.monotonic(), float(figures["edge"]), float(figures["beat"])
    return round(edge_age(by_wall, now - edge, now - beat), 3)


def edge_age(by_wall: float, at_most: float, since_beat: float) -> float:
    """The age of the newest media, whatever somebody does to the wall clock. All in seconds.

    The encoder process told of the newest media that there was at its last beat, by a clock that
    cannot be set. Media that came since then is known by its file's date alone; so a date counts
    only where it lies after that beat.

    Args:
        by_wall: the wall clock less the date of the playlist; anything where that clock was set.
        at_most: since the newest media that was told of.
        since_beat: since it was told.
    """
    return by_wall if 0 <= by_wall < since_beat else max(0.0, at_most)


def oldest_ready_seconds(figures: dict[str, Any]) -> float | None:
    """How old the newest media of a stream may be; None where it need not be young.

    Args:
        figures: of one stream, from :func:`list_streams`.
    """
    if figures["state"] in OVER:
        return None
    unit: float = figures.get("part_target_seconds") or figures.get("segment_seconds") or 0.0
    return FRESH_PARTS * unit


def is_starting(figures: dict[str, Any], age: float | None) -> bool:
    """Whether a stream was never live yet, and may still take its time.

    Args:
        figures: of one stream, from :func:`list_streams`.
        age: of its newest media.
    """
    began: float = figures.get("began", 0.0)
    return (
        age is None and figures["state"] == "starting" and time.monotonic() - began < START_SECONDS
    )
