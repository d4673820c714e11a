"""One browser for all rows of the fault table, and a place for what they measure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser import drivers
from tests.browser.need import require


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> Path | None:
    """The file of ``--fault-rows``."""
    given = request.config.getoption("--fault-rows")
    return Path(given) if given else None


@pytest.fixture(scope="session")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser that several rows share, one after the other."""
    program, driver = require("chromium"), require("chromedriver")
    profile = tmp_path_factory.mktemp("viewer") / "profile"
    with drivers.chromium(program, driver, profile) as browser:
        yield browser
