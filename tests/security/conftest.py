"""Running web processes, one for each kind of worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Settings
from tests.security.web import WORKERS, Web
from tests.service import temporary_media_root


@pytest.fixture(scope="module", params=WORKERS)
def web(request: pytest.FixtureRequest) -> Iterator[Web]:
    """One web process without tokens; requests are not limited."""
    settings = Settings(
        web_worker=request.param,
        web_processes=1,
        api_requests_per_minute=1_000_000,
        uploads_per_minute=10_000,
        max_upload_bytes=20_000_000,
    )
    with temporary_media_root() as folder, Web(Path(folder) / "media", settings) as running:
        yield running
