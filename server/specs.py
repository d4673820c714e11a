"""What the supervisor is told and tells; light, so that children need not load what it loads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class WebSpec:
    """What the web processes are told beyond the settings."""

    listen_fd: int
    media_root: str


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """A stream that is wished, checked already."""

    id: str
    encoder: str  # name of a candidate that has passed its trial
    settings: dict[str, Any] = field(default_factory=dict)  # what differs from the service's
