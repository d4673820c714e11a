"""The vendored files are the published ones: no browser needed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[2] / "static" / "vendor"
ROW = re.compile(r"^\| (\S+) \| (\S+) \| (\S+) \| `(\S+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def _rows() -> list[tuple[str, str, str, str, str]]:
    return ROW.findall((VENDOR / "VENDORED.md").read_text("utf-8"))


def test_every_file_is_recorded() -> None:
    present = {p.name for p in VENDOR.iterdir() if p.is_file()} - {"VENDORED.md", "__init__.py"}
    assert present == {name for *_, name, _ in _rows()}


def test_files_are_unmodified() -> None:
    for *_, name, digest in _rows():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_hls_js_is_the_recorded_version() -> None:
    package, version, licence, name, _ = _rows()[0]
    assert (package, licence) == ("hls.js", "Apache-2.0")
    assert f'"{version}"' in (VENDOR / name).read_text("utf-8")


def test_licence_text_is_there() -> None:
    text = (VENDOR / "hls.js.LICENSE").read_text("utf-8")
    assert "Apache License, Version 2.0" in text
