"""What holds for all tests: the skip policy, and a clean environment."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.need import skips_forbidden
from tests.service import Service, temporary_media_root


def pytest_addoption(parser: pytest.Parser) -> None:
    """Here, and not in tests/faults: so it is known whatever folders a run is given."""
    parser.addoption("--fault-rows", metavar="FILE", help="append what each row measured, as JSON")


def pytest_configure() -> None:
    """Commands are tried with these signals; they inherit that a shell's background ignores the
    one, and nohup the other.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# Of a module, not of the session: it takes most of a core, which tests that come after do not have
# to spare.
@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Base URL of a running service; SERVICE_URL names one that runs already."""
    if given := os.environ.get("SERVICE_URL"):
        yield given.rstrip("/")
        return
    with temporary_media_root() as folder, Service(Path(folder) / "media") as running:
        yield running.url


@pytest.fixture
def media_root() -> Iterator[Path]:
    """A path in memory, short enough for a socket below it, where nothing is yet."""
    with temporary_media_root() as folder:
        yield Path(folder) / "media"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own LIPSTREAM_ variables must not decide what a test sees."""
    for name in list(os.environ):
        if name.startswith("LIPSTREAM_"):
            monkeypatch.delenv(name)


@pytest.fixture
def loggers_as_before() -> Iterator[None]:
    """Whatever a test configures; later ones have what the first one had."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):  # type: ignore[no-untyped-def] # pytest's own
    """Where skips are forbidden a skipped test has failed: nobody looked at what it checks."""
    report = yield
    if report.skipped and skips_forbidden():
        report.outcome = "failed"
        report.longrepr = f"skipped where skips are forbidden: {report.longrepr}"
    return report
