"""Questions that a player would not ask, one small function each."""

from __future__ import annotations

from client.probes import delivery, directives
from client.probes.site import Site
from client.verdicts import Check

CHECKS: tuple[Check[Site], ...] = (*directives.CHECKS, *delivery.CHECKS)
