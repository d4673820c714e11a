"""What the documentation says is what the code does."""

from __future__ import annotations

import importlib
import re

import pytest

import config
from encoder.plan import StreamPlan, plan_stream
from server.cli import build_parser
from server.flags import read_settings
from server.specs import WebSpec
from server.web import gunicorn_options
from tests import documents
from tools import api_reference, configuration


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


def test_the_page_of_the_api_is_what_the_service_says() -> None:
    assert api_reference.PAGE.read_text("utf-8") == api_reference.page(), (
        "run python -m tools.api_reference"
    )


# --- commands: tests/ffmpeg/test_documentation.py runs them ------------------------------------


def test_every_block_says_what_it_is() -> None:
    assert [block.where for block in documents.blocks() if not block.language] == []


def test_only_commands_can_be_marked_as_not_run() -> None:
    marked = [block for block in documents.blocks() if block.reason]
    assert {block.language for block in marked} == {"sh", "python"}
    for page in documents.pages():
        text = page.read_text("utf-8")
        count = sum(block.page == str(page.relative_to(documents.ROOT)) for block in marked)
        found = len(re.findall(r"^\s*<!-- not run", text, re.MULTILINE))
        assert found == count, f"{page}: a mark stands above no block"


def test_a_reason_that_names_a_test_names_one_that_is_there() -> None:
    for block in documents.blocks():
        for name in re.findall(r"tests/[\w/]+(?:\.py)?", block.reason):
            assert (documents.ROOT / name).exists(), f"{block.where}: {name}"


def calls() -> list[tuple[str, list[str]]]:
    return [
        (block.where, words)
        for block in documents.blocks()
        if block.language in documents.COMMANDS
        for words in documents.lipstream_calls(block)
    ]


@pytest.mark.parametrize(("where", "words"), calls(), ids=[where for where, _ in calls()])
def test_the_parser_takes_what_the_pages_call(where: str, words: list[str]) -> None:
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(words)
    assert unknown == [], where
    if hasattr(arguments, "config"):
        read_settings(arguments)


def calls_in_sentences() -> list[tuple[str, list[str]]]:
    return [
        call
        for page in documents.pages()
        for call in documents.calls_in_sentences(
            str(page.relative_to(documents.ROOT)), page.read_text("utf-8")
        )
        if call[1]
    ]


@pytest.mark.parametrize(
    ("where", "words"), calls_in_sentences(), ids=[where for where, _ in calls_in_sentences()]
)
def test_commands_and_flags_in_sentences_are_there(
    where: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([words[0], "--help"])
    assert ended.value.code == 0, where
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert flags <= known, where


def test_a_decision_is_called_by_the_number_of_its_page() -> None:
    called = [
        (page.name, told, number)
        for page in documents.pages()
        for told, number in re.findall(
            r"\[(?:decision )?0*(\d+)\]\((?:decisions/)?0*(\d+)-", page.read_text("utf-8")
        )
    ]
    assert len(called) > 10
    assert [each for each in called if each[1] != each[2]] == []


def test_a_module_that_a_page_names_is_there() -> None:
    named = {
        (page.name, name)
        for page in documents.pages()
        for name in re.findall(
            r"python -m ((?:benchmarks|tools|tests)(?:\.\w+)*)", page.read_text("utf-8")
        )
    }
    assert len(named) > 20
    for page, name in named:
        module = documents.ROOT / name.replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), (page, name)


def test_calls_are_found_wherever_they_stand() -> None:
    text = """make run ARGS="--fps 30 --stream ''"   # a comment
A=b lipstream serve --port 1 && lipstream token x > file
x | .venv/bin/lipstream ingest demo \\
  --fps 2
echo lipstream serve
"""
    block = documents.Block("page", 1, "sh", text, "")
    assert list(documents.lipstream_calls(block)) == [
        ["serve", "--fps", "30", "--stream", ""],
        ["serve", "--port", "1"],
        ["token", "x"],
        ["ingest", "demo", "--fps", "2"],
    ]


def test_calls_in_sentences_are_found_outside_of_blocks() -> None:
    text = 'As `lipstream a URL --b` or `make run ARGS="--c"`, not `lipstream`.\n'
    text += "```sh\nlipstream d  # `lipstream e`\n```\n| `lipstream f` | `lipstream_g` |\n"
    assert list(documents.calls_in_sentences("p", text)) == [
        ("p:1", ["a", "URL", "--b"]),
        ("p:1", ["serve", "--c"]),
        ("p:1", []),
        ("p:5", ["f"]),
    ]


def test_marks_are_read() -> None:
    text = "<!-- not run: why -->\n  ```sh\n  a\n  ```\n```sh\nb\n```\n"
    assert [(b.text, b.reason) for b in documents.blocks_of("p", text)] == [("a", "why"), ("b", "")]


def test_what_is_shown_with_its_output_is_run_somewhere() -> None:
    run = {line for block in documents.runnable() for line in block.text.splitlines()}
    shown = {
        line.removeprefix("$ ")
        for block in documents.blocks()
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ ")
    }
    assert shown <= run
