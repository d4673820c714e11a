"""The page's parts name each other by id: scripts, labels and the tool that takes its pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = (ROOT / "static" / "index.html").read_text("utf-8")
IDS = re.findall(r'\bid="([^"]+)"', HTML)
POINTERS = re.compile(r'\b(?:for|aria-controls|aria-labelledby|aria-describedby)="([^"]+)"')
IN_SCRIPTS = re.compile(r'\belement\("([^"]+)"\)')
# Also those of a loop's words: element(id) is not seen, the words are looked for by browser tests.
IN_PICTURES = re.compile(r'\b(?:find|scrolled|panel)\((?:\w+, )?"([\w-]+)"\)')


def test_an_id_stands_once() -> None:
    assert sorted(IDS) == sorted(set(IDS))


def test_what_points_finds() -> None:
    assert {name for value in POINTERS.findall(HTML) for name in value.split()} <= set(IDS)


@pytest.mark.parametrize(
    "script", sorted((ROOT / "static").glob("*.js")), ids=lambda path: path.name
)
def test_scripts_find_their_elements(script: Path) -> None:
    assert set(IN_SCRIPTS.findall(script.read_text("utf-8"))) <= set(IDS)


def test_the_tool_of_the_pictures_finds_its_elements() -> None:
    named = set(IN_PICTURES.findall((ROOT / "tools" / "screenshots.py").read_text("utf-8")))
    assert len(named) > 10
    assert named <= set(IDS)
