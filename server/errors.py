"""What can go wrong in ``server``. HTTP status codes live in ``server`` and nowhere else.

::

    ServerError
    ├── PortTaken       the address to listen on is not free
    ├── Unprotected     a public address without a token
    ├── SupervisorAway  a web process cannot reach the supervisor
    ├── WorkerAway      a web process cannot reach the face of a stream
    ├── UploadRefused   a file that is not taken
    ├── IngestFailed    `lipstream ingest` cannot go on
    ├── SpeechRefused   a request that brings nothing that can be said
    ├── DemoFailed      a service for a demo does not come up
    └── ProcessGaveUp   a child that does not come up
"""

from __future__ import annotations


class ServerError(Exception):
    """Root of this folder's errors."""


class PortTaken(ServerError):
    """The address to listen on is not free, or not ours."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"cannot listen on {host}:{port}: {reason}; stop what uses it, or choose another with "
            f"--port {port + 1 if port else 8000} (with make: LIPSTREAM_PORT={port + 1} make run)"
        )


class Unprotected(ServerError):
    """A bind address beyond loopback needs a token, or a word that none is wanted."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"host is {host}: beyond loopback anyone could steer the service; set "
            "LIPSTREAM_API_TOKEN, or say --insecure if the network is yours"
        )


class SupervisorAway(ServerError):
    """A web process cannot reach the supervisor."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(f"the supervisor does not answer ({reason}); it may be restarting")


class WorkerAway(ServerError):
    """A web process cannot reach the inference worker of a stream."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(f"the stream's face does not answer ({reason}); it may be starting")


class SpeechRefused(ServerError):
    """A request that brings nothing that can be said; ``status`` is HTTP's."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class UploadRefused(ServerError):
    """A file that is not taken, or an upload that is not there: ``status`` is the answer's."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class IngestFailed(ServerError):
    """`lipstream ingest` cannot begin or go on; the message says why."""


class DemoFailed(ServerError):
    """The service that a demo needs is not live; ``told`` is what it said last."""

    def __init__(self, told: str) -> None:
        self.told = told
        super().__init__(f"the service did not start: {told}")


class ProcessGaveUp(ServerError):
    """A child process ended and starting it again would not help."""

    def __init__(self, name: str, status: int, exit_status: int) -> None:
        self.name = name
        self.status = status
        self.exit_status = exit_status
        super().__init__(f"the {name} process ended with status {status}; its reason stands above")
