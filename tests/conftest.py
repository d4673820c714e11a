"""What holds for all tests: the skip policy, and a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.need import skips_forbidden
from tests.service import Service, temporary_media_root


@pytest.fixture(scope="session")
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A viewer with half a second in the buffer is interrupted whenever the machine stands still.

    That is no fault of ours on a shared machine, so what a browser judges in real time is looked at
    once more if it fails; the report counts it as a rerun. What fails twice has failed.
    """
    for item in items:
        if {"chromium", "webkit"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):  # type: ignore[no-untyped-def] # pytest's own
    """Where skips are forbidden a skipped test has failed: nobody looked at what it checks."""
    report = yield
    if report.skipped and skips_forbidden():
        report.outcome = "failed"
        report.longrepr = f"skipped where skips are forbidden: {report.longrepr}"
    return report
