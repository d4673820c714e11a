"""The documentation builds as one site, and a warning is an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(target: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        [*argv, "--config-file", str(config), "--site-dir", str(target)],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = build(tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    home = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "fonts.googleapis" not in home, "who reads it would ask others"
    for page in ("start", "phone", "docker", "api", "troubleshooting", "glossary"):
        assert (tmp_path / "site" / page / "index.html").is_file()


def test_a_broken_link_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# x\n\n[y](none.md) [z](#nowhere)\n")
    config = (ROOT / "mkdocs.yml").read_text("utf-8").partition("nav:")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert "none.md" in done.stderr
    assert "#nowhere" in done.stderr


def test_every_package_is_packaged() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = ("client", "encoder", "inference", "server", "static")
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for folder in folders
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(told["packages"]) == found
    assert set(told["py-modules"]) == {path.stem for path in ROOT.glob("*.py")}


def test_every_page_is_in_the_navigation_once() -> None:
    named = re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    found = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert found - set(named) == set(), "name them under nav in mkdocs.yml"
    assert [page for page in sorted(set(named)) if named.count(page) > 1] == [], "once is enough"
