"""What the documentation says is what the code does."""

from __future__ import annotations

import re

import config
from encoder.plan import plan_stream
from tools import configuration


def test_the_configuration_page_is_what_the_fields_say() -> None:
    assert configuration.PAGE.read_text("utf-8") == configuration.page(), (
        "run python -m tools.configuration"
    )


_VALUES = {"450": 450, "true": True}


def test_the_bounds_in_the_media_page_are_what_the_arithmetic_gives() -> None:
    page = (configuration.PAGE.parent / "media.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) MB \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for settings, megabytes in rows:
        given = re.search(r"`(\w+) = (\w+)`", settings)
        flags = {} if given is None else {given[1]: _VALUES.get(given[2], given[2])}
        bound = plan_stream(config.load(environ={}, flags=flags)).bound_bytes
        assert f"{bound / 1e6:.1f}" == megabytes, settings
