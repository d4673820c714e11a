"""docs/ditto.md names what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from config import PRESETS
from inference.ditto.hearing import Chunks
from inference.ditto.layout import SAMPLE_HZ, SAMPLES_PER_FRAME
from inference.ditto.windows import Overlap

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "ditto.md").read_text("utf-8")


def test_its_table_of_facts_is_that_of_the_tests() -> None:
    """`pytest -m facts` runs what the table names, all of it and nothing else."""
    told = set(re.findall(r"`(test_\w+)`", PAGE))
    trees = [ast.parse(path.read_text("utf-8")) for path in Path(__file__).parent.glob("test_*.py")]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    marked = {
        f.name for f in functions if "pytest.mark.facts" in map(ast.unparse, f.decorator_list)
    }
    assert len(told) > 10
    assert told == marked


def test_the_presets_are_those_of_the_settings() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| (\d+) \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert {name: (float(scale), int(n), c) for name, scale, n, c in rows} == PRESETS


@pytest.mark.parametrize(("overlap", "told"), [(70, 885), (75, 485)])
def test_the_latency_arithmetic(overlap: int, told: int) -> None:
    """A block, what it is mixed with, and the hearing's reach behind its last frame."""
    windows = Overlap(overlap, live=True)
    samples = (windows.valid + windows.fuse) * SAMPLES_PER_FRAME + Chunks().reach
    assert 1000 * samples / SAMPLE_HZ == told
    assert re.search(rf"overlap {overlap}: .*= {told} ms", PAGE)
