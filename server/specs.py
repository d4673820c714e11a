"""What the supervisor tells its children; light, so that it need not load what they load."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebSpec:
    """What the web processes are told beyond the settings."""

    listen_fd: int
    media_root: str
