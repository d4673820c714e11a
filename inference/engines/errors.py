"""What can go wrong with networks and the runtimes that run them."""

from __future__ import annotations

from pathlib import Path

from inference.errors import InferenceError


class EngineError(InferenceError):
    """Root of all that a runtime or a network can do wrong."""


class FeedRejected(EngineError):
    """A network was given something else than its inputs: ``network``, ``problem``."""

    def __init__(self, network: str, problem: str) -> None:
        super().__init__(f"network {network}: {problem}")
        self.network = network
        self.problem = problem


class NetworkUnusable(EngineError):
    """A file that this runtime cannot load: ``path``, ``reason`` and ``remedy``."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {_one_line(reason)}; {remedy}")
        self.path = path
        self.reason = reason
        self.remedy = remedy


class NetworkFailed(EngineError):
    """A loaded network did not run: ``network`` and ``reason``, such as no memory left."""

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(f"network {network} did not run: {_one_line(reason)}")
        self.network = network
        self.reason = reason


class RuntimeUnusable(EngineError):
    """A runtime that does not work here; ``runtime`` and ``reason``."""

    def __init__(self, runtime: str, reason: str) -> None:
        super().__init__(f"{runtime} cannot be used: {_one_line(reason)}")
        self.runtime = runtime
        self.reason = reason


class GraphUnsupported(EngineError):
    """A graph that cannot be rewritten: ``node`` and ``reason``."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"node {node}: {_one_line(reason)}")
        self.node = node
        self.reason = reason


class FolderBusy(EngineError):
    """Another build is writing into the same ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder}: another build is writing there; wait until it is done")
        self.folder = folder


class FolderUnusable(EngineError):
    """A folder for engines or networks that cannot be written: ``folder`` and ``reason``."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder}: {_one_line(reason)}; give another folder")
        self.folder = folder
        self.reason = reason


def _one_line(text: str) -> str:
    """Runtimes answer with whole pages; what matters stands first."""
    return "".join(c if c.isprintable() else " " for c in text.strip())[:400]
