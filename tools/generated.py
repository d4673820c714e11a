"""Pages that a program writes, and parts of pages: what stands between two markers named alike."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path


class NoMarkers(Exception):
    """The page has no such pair of markers, or several."""


def read(page: Path, name: str) -> str:
    """What stands between the markers ``<!-- begin NAME ... -->`` and ``<!-- end NAME -->``.

    Raises:
        NoMarkers: they are not there exactly once.
    """
    return _find(page.read_text("utf-8"), page, name)[2]


def write(page: Path, name: str, body: str) -> None:
    """Put other text there.

    Raises:
        NoMarkers: they are not there exactly once.
    """
    text = page.read_text("utf-8")
    found = _find(text, page, name)
    page.write_text(text[: found.start(2)] + body + text[found.end(2) :], "utf-8")


def written_or_checked(page: Path, text: str) -> int:
    """Write a whole page; with ``--check`` say by the exit status whether it is so already."""
    if "--check" in sys.argv[1:]:
        return int(page.read_text("utf-8") != text)
    page.write_text(text, "utf-8")
    return 0


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(head)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _find(text: str, page: Path, name: str) -> re.Match[str]:
    between = rf"(<!-- begin {name}\b[^>]*-->\n)(.*?)(<!-- end {name} -->\n)"
    found = list(re.finditer(between, text, re.DOTALL))
    if len(found) != 1:
        raise NoMarkers(f"{page.name}: {len(found)} pairs of markers named {name!r}, not one")
    return found[0]
