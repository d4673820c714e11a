"""The units are valid and as closed as they say, in systemd's own judgement."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.need import require

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
SERVICES = ("lipstream.service", "lipstream-web.service")
INSTALLED = "/opt/lipstream/.venv/bin/lipstream"
MOST_EXPOSURE = 3.0


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [require("systemd-analyze"), "--no-pager", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a command that is there."""
    command = shutil.which("lipstream", path=str(Path(sys.executable).parent))
    assert command
    for unit in UNITS.iterdir():
        text = unit.read_text("utf-8")
        (tmp_path / unit.name).write_text(text.replace(INSTALLED, command))
    return tmp_path


def exposure(unit: Path) -> float:
    told = analyze("security", "--offline=true", str(unit))
    found = re.search(r"exposure level for \S+: ([\d.]+)", told.stdout)
    assert found, told.stdout + told.stderr
    return float(found[1])


def test_the_units_are_valid(units: Path) -> None:
    told = analyze("verify", *(str(unit) for unit in sorted(units.iterdir())))
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_a_mistake_in_a_unit_is_found(units: Path) -> None:
    unit = units / "lipstream.service"
    unit.write_text(unit.read_text() + "\n[Service]\nProtectEverything=yes\n")
    told = analyze("verify", str(unit))
    assert "ProtectEverything" in told.stdout + told.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_little_is_exposed(units: Path, service: str) -> None:
    assert exposure(units / service) < MOST_EXPOSURE


def _without(*words: str) -> Callable[[str], str]:
    pattern = re.compile(rf"^({'|'.join(words)})=.*\n", re.MULTILINE)
    return lambda text: pattern.sub("", text)


@pytest.mark.parametrize("service", SERVICES)
def test_an_open_unit_would_be_seen(units: Path, service: str) -> None:
    unit = units / service
    strip = _without(
        "DynamicUser", "User", "Capability.*", "Protect.*", "Restrict.*", "SystemCall.*"
    )
    unit.write_text(strip(unit.read_text()))
    assert exposure(unit) > MOST_EXPOSURE


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "NotifyAccess=main",
        "DynamicUser=yes",
        "User=lipstream",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "DevicePolicy=closed",
        "PrivateNetwork=no",
        "KillMode=mixed",
        "RestartPreventExitStatus=2",
        "ExecReload=kill -HUP $MAINPID",
    ],
)
def test_what_the_code_relies_on_stands_there(service: str, line: str) -> None:
    assert line in (UNITS / service).read_text("utf-8").splitlines()


@pytest.mark.parametrize("service", SERVICES)
def test_the_watchdog_and_memory_are_bounded(service: str) -> None:
    text = (UNITS / service).read_text("utf-8")
    assert re.search(r"^WatchdogSec=\d+$", text, re.MULTILINE)
    assert re.search(r"^MemoryMax=\d+%$", text, re.MULTILINE)
    devices = re.findall(r"^DeviceAllow=(\S+)", text, re.MULTILINE)
    assert devices == ["char-drm", "char-nvidia*"], "GPUs only"


def test_media_is_on_a_tmpfs_and_both_agree_where() -> None:
    streams, web = ((UNITS / name).read_text("utf-8") for name in SERVICES)
    assert "RuntimeDirectory=lipstream\n" in streams
    assert "RuntimeDirectory" not in web, "it would be removed with the web processes"
    for text in (streams, web):
        assert "--media-root /run/lipstream/media\n" in text


def test_the_exposure_in_the_page_is_what_is_measured(units: Path) -> None:
    page = (UNITS.parents[1] / "docs" / "systemd.md").read_text("utf-8")
    told = re.search(r"rates it \(([\d.]+),", page)
    assert told
    assert float(told[1]) == exposure(units / "lipstream.service")
