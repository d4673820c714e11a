"""The README and docs/ as blocks of commands, and what is said there about running them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("sh", "console")
_FENCE = re.compile(r"^(?P<indent>\s*)```(?P<language>\w*)\s*$")
_FENCED = re.compile(r"^ *```\w*$.*?^ *```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"^\s*<!-- not run: (?P<reason>.+) -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block. ``reason``: why no test runs it; empty: one does."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """All fenced blocks of all pages."""
    for page in pages():
        yield from blocks_of(str(page.relative_to(ROOT)), page.read_text("utf-8"))


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of one page."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
            mark = _MARK.match(lines[at - 1]) if at else None
            inside = "\n".join(line.removeprefix(fence["indent"]) for line in lines[at + 1 : end])
            reason = mark["reason"] if mark else ""
            yield Block(page, at + 1, fence["language"], inside, reason)
            at = end
        at += 1


def runnable(language: str = "sh") -> list[Block]:
    """Blocks of one language that a test is to run, each text once."""
    found: dict[str, Block] = {}
    for block in blocks():
        if block.language == language and not block.reason:
            found.setdefault(block.text, block)
    return list(found.values())


def calls_in_sentences(page: str, text: str) -> Iterator[tuple[str, list[str]]]:
    """Calls of lipstream that stand in the sentences and tables of a page: where, and their words.

    What such a call is about may be left out, or a name may stand for it: ``lipstream watch URL``.
    """
    prose = _FENCED.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(prose.splitlines(), 1):
        for code in re.findall(r"`([^`]+)`", line):
            for words in lipstream_calls(Block(page, number, "sh", code, "")):
                yield f"{page}:{number}", words


def lipstream_calls(block: Block) -> Iterator[list[str]]:
    """The words of each call of lipstream in a block, ``make run ARGS=`` among them."""
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        text = "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        for index, word in enumerate(words):
            if word in ("lipstream", ".venv/bin/lipstream") and not _is_argument(words, index):
                yield _until_operator(words[index + 1 :])
            elif word.startswith("ARGS=") and words[:2] == ["make", "run"]:
                yield ["serve", *shlex.split(word.removeprefix("ARGS="))]


def _is_argument(words: list[str], index: int) -> bool:
    before = words[index - 1] if index else "|"
    return not (before in ("|", "&&", "||", ";") or "=" in before)


def _until_operator(words: list[str]) -> list[str]:
    """Up to what the shell takes for itself."""
    found = []
    for word in words:
        if word in ("|", "&&", "||", ";", "&", ">"):
            break
        found.append(word)
    return found
