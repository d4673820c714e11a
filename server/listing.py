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


def list_streams(media_root: Path) -> dict[str, dict[str, Any]]:
    """All streams by id: the encoder's figures, and the supervisor's word on its processes.

    ``state``: ``starting``, ``live``, ``ending``, ``ended``, ``failed`` (see ``reason``), or what
    else the encoder says of itself.
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
    return told


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


def live_edge_age(media_root: Path, stream: str) -> float | None:
    """Seconds since the newest media of a stream was published; None before the first."""
    try:
        changed = (media_root / LIVE / stream / BEST_RUNG / PLAYLIST_NAME).stat().st_mtime
    except OSError:
        return None
    return round(max(0.0, time.time() - changed), 3)


def oldest_ready_seconds(figures: dict[str, Any]) -> float | None:
    """How old the newest media of a stream may be; None where it need not be young.

    Args:
        figures: of one stream, from :func:`list_streams`.
    """
    if figures["state"] in ("ending", "ended", "failed"):
        return None
    unit: float = figures.get("part_target_seconds") or figures.get("segment_seconds") or 0.0
    return FRESH_PARTS * unit
