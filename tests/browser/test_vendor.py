"""The vendored files are the published ones: no browser needed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tools.vendor import PACKAGES, TEST_VENDOR, VENDOR, Package

ROW = re.compile(r"^\| (\S+) \| (\S+) \| (\S+) \| `(\S+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)
# Words of each licence's text, and the file they stand in.
LICENCES = {
    "Apache-2.0": ("hls.js.LICENSE", "Apache License, Version 2.0"),
    "MIT": ("qrcode.mjs", "Licensed under the MIT license"),
    "MPL-2.0": ("axe-core.LICENSE", "Mozilla Public License, version 2.0"),
}


def _rows(folder: Path) -> list[tuple[str, str, str, str, str]]:
    return ROW.findall((folder / "VENDORED.md").read_text("utf-8"))


@pytest.mark.parametrize("folder", [VENDOR, TEST_VENDOR], ids=["page", "tests"])
def test_every_file_is_recorded_and_unmodified(folder: Path) -> None:
    present = {p.name for p in folder.iterdir() if p.is_file()} - {"VENDORED.md", "__init__.py"}
    recorded = {name: digest for *_, name, digest in _rows(folder)}
    assert present == set(recorded)
    for name, digest in recorded.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_the_record_is_what_the_tool_fetches(package: Package) -> None:
    rows = {row[3]: row for row in _rows(package.folder)}
    for name, (_member, digest) in package.files.items():
        assert rows[name] == (package.name, package.version, package.licence, name, digest)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_licence_text_is_there(package: Package) -> None:
    name, words = LICENCES[package.licence]
    assert words in (package.folder / name).read_text("utf-8")


def test_hls_js_is_the_recorded_version() -> None:
    assert f'"{PACKAGES[0].version}"' in (VENDOR / "hls.min.mjs").read_text("utf-8")
