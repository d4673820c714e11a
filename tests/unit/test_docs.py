"""What the documentation says is what the code does."""

from __future__ import annotations

import importlib
import re

import config
from encoder.plan import plan_stream
from server.specs import WebSpec
from server.web import gunicorn_options
from tools import configuration


def test_the_configuration_page_is_what_the_fields_say() -> None:
    assert configuration.PAGE.read_text("utf-8") == configuration.page(), (
        "run python -m tools.configuration"
    )


def test_the_bounds_in_the_media_page_are_what_the_arithmetic_gives() -> None:
    page = (configuration.PAGE.parent / "media.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) MB \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for settings, megabytes in rows:
        given = re.search(r"`(\w+) = (\w+)`", settings)
        flags = (
            {} if given is None else {given[1]: int(given[2]) if given[2].isdigit() else given[2]}
        )
        bound = plan_stream(config.load(environ={}, flags=flags)).bound_bytes
        assert f"{bound / 1e6:.1f}" == megabytes, settings


def test_the_limits_in_the_security_page_are_those_of_the_code() -> None:
    page = (configuration.PAGE.parent / "security.md").read_text("utf-8")
    rows = re.findall(r"^\| .+? \| (\d+) \| `([\w. ]+)` \|$", page, re.MULTILINE)
    assert len(rows) >= 15
    for told, where in rows:
        assert int(told) == _limit(where), where


def _limit(where: str) -> object:
    if where.startswith("gunicorn "):
        options = gunicorn_options(config.Settings(), WebSpec(0, ""))
        return options[where.removeprefix("gunicorn ")]
    module, _, name = where.rpartition(".")
    if not module:
        return getattr(config.Settings(), name)
    return getattr(importlib.import_module(module), name)
