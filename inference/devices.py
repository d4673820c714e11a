"""The devices of a source: whether they give anything, told to who listens to the stream's events.

A camera that is lost, or was never there, is no error of its stream: that goes on with the last
picture. So it has to be told, or nobody would know.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BACKOFF_SECONDS = (0.5, 10.0)
# What gives nothing for so long has stalled, though it says nothing of it.
SILENT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Outside:
    """Who wants to know of a source: events of its stream, and figures."""

    tell: Callable[..., None] = lambda _kind, **_facts: None
    tell_figures: Callable[[dict[str, Any]], None] = lambda _figures: None


class Devices:
    """Those of one source; any thread may tell of one."""

    def __init__(self, outside: Outside, now: Callable[[], float] = time.monotonic) -> None:
        self._outside, self._now = outside, now
        self._lock = threading.Lock()
        self._devices: list[Device] = []

    def add(self, kind: str, name: str) -> Device:
        """One more.

        Args:
            kind: ``camera``, ``microphone``.
            name: as listeners may know it: without passwords.
        """
        device = Device(self, kind, name)
        self._devices.append(device)
        return device

    def now(self) -> float:
        """Seconds, rising."""
        return self._now()

    def changed(self, device: Device, *, is_up: bool, reason: str) -> None:
        """Tell of it, if it is news."""
        with self._lock:
            before = device.is_up
            if before is is_up:
                return
            device.is_up = is_up
            device.losses += not is_up
            facts = {"device": device.kind, "called": device.name}
            if not is_up:
                self._outside.tell("source_stalled", **facts, reason=reason)
            elif before is not None:  # that it is there at the beginning is no event
                self._outside.tell("source_recovered", **facts)
            self._outside.tell_figures(
                {
                    "device_up": {each.kind: int(bool(each.is_up)) for each in self._devices},
                    "device_losses": {each.kind: each.losses for each in self._devices},
                }
            )


class Device:
    """One of them; made by :meth:`Devices.add`."""

    def __init__(self, devices: Devices, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        self.is_up: bool | None = None  # None: nobody knows yet
        self.losses = 0
        self._devices = devices
        self._gave = devices.now()

    def gives(self) -> None:
        """Something has come."""
        self._gave = self._devices.now()
        if not self.is_up:
            self._devices.changed(self, is_up=True, reason="")

    def lacks(self, reason: str) -> None:
        """Nothing will come for now."""
        self._devices.changed(self, is_up=False, reason=reason)

    def look(self) -> None:
        """See whether it has given anything lately; called by who would take it."""
        if self.is_up is not False and self._devices.now() - self._gave > SILENT_SECONDS:
            self.lacks(f"nothing came for {SILENT_SECONDS:g} s")


class Backoff:
    """How long to wait before a lost device is opened again."""

    def __init__(self) -> None:
        self._wait = 0.0

    def after(self, seconds: float) -> float:
        """Seconds to wait, once it was there for so long (0: it gave nothing)."""
        least, most = BACKOFF_SECONDS
        # What comes and goes all the time is waited for as if it had not come.
        self._wait = least if not self._wait or seconds > most else min(2 * self._wait, most)
        return self._wait
