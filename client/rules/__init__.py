"""The rules as pure functions over an observation, grouped as the list of rules is."""

from __future__ import annotations

from client.observation import Observation
from client.rules import captions, delivery, fmp4, iframes, multivariant, parts, playlists, time
from client.verdicts import Check

CHECKS: tuple[Check[Observation], ...] = (
    *playlists.CHECKS,
    *time.CHECKS,
    *parts.CHECKS,
    *delivery.CHECKS,
    *multivariant.CHECKS,
    *iframes.CHECKS,
    *fmp4.CHECKS,
    *captions.CHECKS,
)
