"""compose.yaml and the Dockerfile hang together. tools/image_in_chroot.py sees that they run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import ENVIRONMENT_PREFIX, Settings
from server.cli import build_parser
from tests.browser.need import missing
from tests.fronts import VARNISH_PARAMETERS
from tools.image_in_chroot import expanded, ignored, instructions

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text("utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
OURS = ("cpu", "gpu", "origin")


def last(word: str) -> str:
    return [rest for name, rest in instructions(DOCKERFILE) if name == word][-1]


@pytest.mark.parametrize("name", OURS)
def test_the_service_is_told_settings_and_a_token(name: str) -> None:
    fields = {f"{ENVIRONMENT_PREFIX}{field.upper()}" for field in Settings.__dataclass_fields__}
    told = SERVICES[name]["environment"]
    assert told.keys() <= fields
    assert told["LIPSTREAM_API_TOKEN"].startswith("${LIPSTREAM_API_TOKEN:?")
    assert not re.search(r"(TOKEN|KEY):-[^}]", TEXT), "a secret has a default"


@pytest.mark.parametrize("name", OURS)
def test_media_are_in_memory_and_nobody_is_root(name: str) -> None:
    service = SERVICES[name]
    memory = [mount.partition(":")[0] for mount in service["tmpfs"]]
    assert service["environment"]["LIPSTREAM_MEDIA_ROOT"].startswith(f"{memory[0]}/")
    assert service["cap_drop"] == ["ALL"]
    default = re.findall(r":-(\d+)\}", service["user"])
    assert last("USER") == ":".join(default)
    assert f"--uid {default[0]}" in DOCKERFILE
    folders = {volume.split(":")[1] for volume in service["volumes"]}
    for setting in ("RECORD_FOLDER", "FILM_FOLDER"):
        assert service["environment"][ENVIRONMENT_PREFIX + setting] in folders


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_reachable_from_elsewhere_by_default(name: str) -> None:
    assert [port.split("}")[0] for port in SERVICES[name]["ports"]] == ["${PUBLISH:-127.0.0.1:8000"]


def test_the_commands_exist() -> None:
    for words in (json.loads(last("CMD")), SERVICES["origin"]["command"]):
        build_parser().parse_args(words)
    assert json.loads(last("ENTRYPOINT")) == ["lipstream"]


def test_each_profile_is_one_image_that_the_dockerfile_has() -> None:
    variants = {name: SERVICES[name]["build"]["args"]["VARIANT"] for name in OURS}
    assert variants == {"cpu": "cpu", "gpu": "cuda", "origin": "cpu"}
    for variant in set(variants.values()):
        assert f" AS base-{variant}\n" in DOCKERFILE
    assert {tuple(service["profiles"]) for service in SERVICES.values()} == {
        ("cpu",),
        ("gpu",),
        ("varnish",),
    }


def test_varnish_shares_the_origins_network_and_has_its_file() -> None:
    varnish = SERVICES["varnish"]
    assert varnish["network_mode"] == "service:origin"
    given = [word for flag, word in pairwise(varnish["command"]) if flag == "-p"]
    assert tuple(given) == VARNISH_PARAMETERS
    assert (ROOT / varnish["volumes"][0].partition(":")[0]).is_file()
    assert SERVICES["origin"]["ports"][0].endswith(":6081")
    assert ":6081" in varnish["command"]


# --- what linters say ---------------------------------------------------------------------------


def test_the_dockerfiles_are_clean() -> None:
    program = shutil.which("hadolint", path=Path(sys.executable).parent)
    if program is None:
        missing("hadolint has no wheel for this machine")
    files = ("Dockerfile", "deploy/Dockerfile")
    done = subprocess.run([program, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_shell_scripts_are_clean() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.sh", ".ci/run"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    scripts = listed.stdout.split()
    assert {"setup.sh", ".ci/run"} <= set(scripts)
    program = str(Path(sys.executable).parent / "shellcheck")
    argv = [program, "--severity=warning", *scripts]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


# --- the tool that runs the Dockerfile ----------------------------------------------------------


def test_instructions_are_joined_and_comments_left_out() -> None:
    text = "# a\nRUN one \\\n  && two\n\n# b\nUSER 1:1\n"
    assert list(instructions(text)) == [("RUN", "one && two"), ("USER", "1:1")]


def test_variables_are_filled_in() -> None:
    assert expanded("base-${A}:$B.$C", {"A": "x", "B": "y"}) == "base-x:y."


@pytest.mark.parametrize(
    ("path", "is_out"),
    [
        ("config.py", False),
        ("server/app.py", False),
        ("docs/tls.md", True),
        (".git/config", True),
        ("server/__pycache__/app.pyc", True),
        (".env", True),
        ("data/recordings/x.mp4", True),
    ],
)
def test_what_the_image_is_made_of(path: str, is_out: bool) -> None:
    assert ignored(path, (ROOT / ".dockerignore").read_text("utf-8").split()) is is_out
