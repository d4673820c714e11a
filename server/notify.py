"""What a service manager is told, and the listening socket that it may hand over.

As in sd_notify(3) and sd_listen_fds(3): a few environment variables. They are taken out of the
environment: no child may speak in our name, and gunicorn would.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

from logs import event

# The first descriptor that is handed over.
LISTEN_FDS_START = 3

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Notifier:
    """Tells the service manager how things are; does nothing where there is none.

    Args:
        address: of its datagram socket, ``@`` first for an abstract one; empty: there is none.
        watchdog_seconds: it wants to hear :meth:`alive` within so long, again and again; 0: no.
    """

    address: str = ""
    watchdog_seconds: float = 0.0

    @classmethod
    def take_from(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Read and remove what the service manager has put into the environment."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        wanted_of = environ.pop("WATCHDOG_PID", "")
        is_ours = wanted_of in ("", str(os.getpid()))
        seconds = int(microseconds) / 1e6 if is_ours and microseconds.isdigit() else 0.0
        return cls(address, seconds if address else 0.0)

    @property
    def is_there(self) -> bool:
        """Whether a service manager listens."""
        return bool(self.address)

    def ready(self, status: str) -> None:
        """The service does what it is for; also after :meth:`reloading`."""
        self._tell("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for people: it stands in `systemctl status`."""
        self._tell(f"STATUS={status}")

    def alive(self) -> None:
        """Progress was seen. Without this the service is restarted."""
        self._tell("WATCHDOG=1")

    def reloading(self) -> None:
        """Processes are being replaced; :meth:`ready` follows."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The service ends."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self.address:
            return
        name = self.address
        target = "\0" + name[1:] if name.startswith("@") else name
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
                link.setblocking(False)  # a manager that does not read must not stop a stream
                link.sendto("\n".join(lines).encode(), target)
        except OSError as error:
            event(log, "manager_unreachable", level=logging.WARNING, reason=error)


def take_listener(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd listens on for us (a .socket unit); None: there is none.

    The variables are removed, else gunicorn would take the socket too.
    """
    wanted_of, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if wanted_of != str(os.getpid()) or not count.isdigit() or int(count) < 1:
        return None
    return socket.socket(fileno=LISTEN_FDS_START)
