"""What the documentation says is what the code does."""

from __future__ import annotations

from tools import configuration


def test_the_configuration_page_is_what_the_fields_say() -> None:
    assert configuration.PAGE.read_text("utf-8") == configuration.page(), (
        "run python -m tools.configuration"
    )
