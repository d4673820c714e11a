"""What the documentation says is what the code does."""

from __future__ import annotations

import re

import config
from encoder.plan import StreamPlan, plan_stream
from tools import configuration


def test_the_configuration_page_is_what_the_fields_say() -> None:
    assert configuration.PAGE.read_text("utf-8") == configuration.page(), (
        "run python -m tools.configuration"
    )


def test_the_bounds_in_the_media_page_are_what_the_arithmetic_gives() -> None:
    page = (configuration.PAGE.parent / "media.md").read_text("utf-8")
    _, memory, disk = re.split(r"^\| settings \|", page, flags=re.MULTILINE)
    rows = [
        re.findall(r"^\| (.+?) \| ([\d.]+) MB \|$", each, re.MULTILINE) for each in (memory, disk)
    ]
    assert [len(each) for each in rows] == [7, 2]
    for settings, megabytes in rows[0]:
        assert f"{planned(settings).bound_bytes / 1e6:.1f}" == megabytes, settings
    for settings, megabytes in rows[1]:
        assert f"{planned(settings).archive_bound_bytes / 1e6:.1f}" == megabytes, settings


def planned(settings: str) -> StreamPlan:
    """The plan for settings that are given as ``name = value`` in backquotes."""
    given = re.findall(r"`(\w+) = ([\w/]+)`", settings)
    environ = {f"{config.ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in given}
    return plan_stream(config.load(environ=environ))
