"""The page for operators names what there is, no more and no less."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.metrics import PREFIX
from tests.unit.test_metrics import client

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operating.md").read_text("utf-8")
SOURCES = [
    ROOT / "logs.py",
    ROOT / "rawmedia.py",
    *(p for d in ("encoder", "inference", "server") for p in (ROOT / d).rglob("*.py")),
]


def events(tree: ast.Module) -> Iterator[str]:
    """First words of all calls of ``event``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name == "event":
                said = node.args[1]
                assert isinstance(said, ast.Constant), ast.unparse(node)
                yield str(said.value)


def test_the_table_of_events_is_what_the_code_says() -> None:
    said = {name for path in SOURCES for name in events(ast.parse(path.read_text("utf-8")))}
    told = re.findall(r"^\| `(?!lipstream_)([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert len(told) == len(set(told))
    assert said - set(told) == set(), "say in docs/operating.md what it means and what to do"
    assert set(told) - said == set(), "nothing says this any more"


def test_an_event_is_found_however_it_is_called() -> None:
    tree = ast.parse('event(log, "one")\nlogs.event(log, "two", x=1)\nother("three")')
    assert set(events(tree)) == {"one", "two"}


def test_the_table_of_metrics_is_what_a_scrape_gives(tmp_path: Path) -> None:
    given = {}
    text = client(tmp_path).get("/metrics").get_data(as_text=True)
    for family in text_string_to_metric_families(text):
        labels = {label for s in family.samples for label in s.labels if label != "le"}
        suffix = "_total" if family.type == "counter" else ""
        given[family.name + suffix] = labels
    told = {
        name: {label for label in labels.split(", ") if label}
        for name, labels in re.findall(
            rf"^\| `({PREFIX}\w+)` \| ?([\w, ]*?) ?\|", PAGE, re.MULTILINE
        )
    }
    assert given.keys() == told.keys()
    for name, labels in given.items():
        assert labels <= told[name], name  # a family without samples shows none
        assert not labels or labels == told[name], name


@pytest.mark.parametrize("secret", ["token=", "viewer_key=", "api_token="])
def test_no_event_is_given_a_secret(secret: str) -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "event":
                assert secret not in ast.unparse(node), f"{path}:{node.lineno}"
