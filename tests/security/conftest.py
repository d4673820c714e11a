"""Running web processes, one for each kind of worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config import Settings
from tests.security.web import WORKERS, Web
from tests.service import temporary_media_root


@pytest.fixture(scope="module", params=WORKERS)
def web(request: pytest.FixtureRequest) -> Iterator[Web]:
    """One web process without tokens; requests are not limited."""
    with _running(request.param) as running:
        yield running


@pytest.fixture(params=WORKERS)
def own_web(request: pytest.FixtureRequest) -> Iterator[Web]:
    """The same for one test alone, for what a request of another test would change."""
    with _running(request.param) as running:
        yield running


@contextmanager
def _running(worker: str) -> Iterator[Web]:
    settings = Settings(
        web_worker=worker,
        web_processes=1,
        api_requests_per_minute=1_000_000,
        uploads_per_minute=10_000,
        max_upload_bytes=20_000_000,
    )
    with temporary_media_root() as folder, Web(Path(folder) / "media", settings) as running:
        yield running
