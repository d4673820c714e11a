"""docs/ditto.md names what there is."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from config import PRESETS
from inference.ditto.hearing import Chunks
from inference.ditto.layout import SAMPLE_HZ, SAMPLES_PER_FRAME
from inference.ditto.mind import Mind
from inference.ditto.windows import Overlap
from tests.unit.ditto.test_mind import Stage, ramp

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


@pytest.mark.parametrize(
    ("overlap", "steps", "frames"), [(70, 10, 10), (70, 5, 13), (40, 10, 62), (40, 5, 67)]
)
def test_how_far_motion_is_ahead(overlap: int, steps: int, frames: int, mind: Mind) -> None:
    """Of the frame that is asked for, at most; always less than two blocks."""
    recipe = replace(mind.recipe, overlap=overlap, steps=steps)
    stage = Stage(replace(mind, recipe=recipe), ramp(400))
    ahead = []
    for index in range(4 * recipe.joining(mind.character.start).overlap.valid):
        stage.mind.at(index)
        ahead.append(max(stage.mind._motion) - index)
    assert max(ahead) == frames < stage.mind.ahead_frames
    (told,) = re.findall(r"^- \*\*Queues\*\*: (.*)", PAGE, re.MULTILINE)
    table = re.findall(r"(\d+) frames at overlap (\d+) with (\d+) steps", told)
    assert (str(frames), str(overlap), str(steps)) in table
    assert len(table) == 4


def test_published_figures_say_where_they_can_be_read() -> None:
    """A repository, with its owner, for each row."""
    section = PAGE.partition("## Which GPU")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 5
    assert [row[2] for row in rows if not re.search(r"\b[\w-]+/[\w-]+", row[2])] == []
