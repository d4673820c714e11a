"""setup.sh with stand-ins for docker that write down what they were told. No engine is needed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "sed", "od", "tr", "id", "mkdir", "chown", "dirname")
# A stand-in: notes its words and succeeds, but for those that it is to know nothing of. Compose
# fills in the whole of compose.yaml for each command, and ends where a variable of `:?` is empty.
STAND_IN = """#!/bin/sh
echo "${{0##*/}} $*" >>"{log}"
case "$1" in {unknown}) exit 1 ;; esac
case "${{0##*/}} $*" in
  *" version") ;;
  "docker compose "* | docker-compose*)
    [ ! -e .env ] || . ./.env
    : "${{LIPSTREAM_API_TOKEN:?run ./setup.sh, or choose one in .env}}"
    ;;
esac
"""


class Machine:
    """A folder with setup.sh, and a PATH with the docker commands that a machine has."""

    def __init__(self, folder: Path, commands: dict[str, str]) -> None:
        self.folder = folder
        self._log = folder / "log"
        self._programs = folder / "bin"
        self._programs.mkdir()
        for tool in TOOLS:
            (self._programs / tool).symlink_to(str(shutil.which(tool)))
        for name, unknown in commands.items():
            path = self._programs / name
            path.write_text(STAND_IN.format(log=self._log, unknown=unknown or "-"))
            path.chmod(0o755)
        shutil.copy(ROOT / "setup.sh", folder)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": str(self._programs), **environment}
        argv = ["sh", "setup.sh", *words]
        return subprocess.run(
            argv, cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )

    @property
    def told(self) -> list[str]:
        """What the stand-ins were told, but for who is there."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line for line in lines if not line.endswith("version")]


V2, V1, PLAIN = {"docker": ""}, {"docker": "compose", "docker-compose": ""}, {"docker": "compose"}


@pytest.mark.parametrize(
    ("commands", "told"),
    [
        (V2, "docker compose"),
        (V1, "docker-compose"),
        ({"docker": "", "docker-compose": ""}, "docker compose"),
    ],
)
def test_compose_as_it_is_there(tmp_path: Path, commands: dict[str, str], told: str) -> None:
    machine = Machine(tmp_path, commands)
    done = machine.run("all")
    assert done.returncode == 0, done.stderr
    assert machine.told == [f"{told} --profile cpu {word}" for word in ("build", "up --detach")]
    assert "open http://127.0.0.1:8000/" in done.stdout


def test_plain_docker_is_told_what_compose_would_be(tmp_path: Path) -> None:
    machine = Machine(tmp_path, PLAIN)
    done = machine.run("all", PUBLISH="0.0.0.0:9000")
    assert done.returncode == 0, done.stderr
    build, remove, run = machine.told
    assert remove == "docker rm --force lipstream"
    assert build == "docker build --build-arg VARIANT=cpu --tag lipstream ."
    service = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["cpu"]
    assert run.endswith("--publish 0.0.0.0:9000:8000 lipstream")
    for mount in service["tmpfs"]:
        assert f"--tmpfs {mount}" in run
    for volume in service["volumes"]:
        assert f"--volume {tmp_path}/{volume.removeprefix('./')}" in run
    for name, value in service["environment"].items():
        if "$" not in value:
            assert f"--env {name}={value}" in run
    assert f"--ulimit nofile={service['ulimits']['nofile']}" in run
    assert "--cap-drop ALL --security-opt no-new-privileges:true" in run
    assert "--gpus" not in run
    assert "open http://127.0.0.1:9000/" in done.stdout


@pytest.mark.parametrize("commands", [V2, PLAIN])
def test_the_gpu_image(tmp_path: Path, commands: dict[str, str]) -> None:
    machine = Machine(tmp_path, commands)
    assert machine.run("all", "gpu").returncode == 0
    build, *_, run = machine.told
    if commands is PLAIN:
        assert "VARIANT=cuda --tag lipstream:cuda" in build
        assert "--gpus all" in run
    else:
        assert build == "docker compose --profile gpu build"


def test_build_alone_makes_nothing_else(tmp_path: Path) -> None:
    machine = Machine(tmp_path, V2)
    assert machine.run("build").returncode == 0
    assert machine.told == ["docker compose --profile cpu build"]
    assert not (tmp_path / ".env").exists()


def test_folders_and_a_token_that_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path, V2)
    done = machine.run("run")
    assert done.returncode == 0
    secret = tmp_path / ".env"
    kept = secret.read_text()
    told = dict(line.split("=") for line in kept.split())
    token = told["LIPSTREAM_API_TOKEN"]
    assert len(token) == 64
    assert (int(told["RUN_UID"]) or 10001) == (os.geteuid() or 10001)
    assert token not in done.stdout + done.stderr
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    for folder in ("recordings", "films", "models"):
        assert (tmp_path / "data" / folder).is_dir()
    if os.geteuid() == 0:
        assert (tmp_path / "data" / "recordings").stat().st_uid == 10001
    machine.run("run")
    assert secret.read_text() == kept


@pytest.mark.parametrize(
    ("commands", "words", "told"),
    [
        ({}, ["all"], "neither docker compose"),
        ({"docker": "compose|version"}, ["run"], "daemon does not run"),
        (PLAIN, ["run", "varnish"], "needs Docker Compose"),
        (V2, [], "usage"),
        (V2, ["dance"], "usage"),
        (V2, ["run", "tpu"], "usage"),
        (V2, ["run", "cpu", "more"], "usage"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_done(
    tmp_path: Path, commands: dict[str, str], words: list[str], told: str
) -> None:
    machine = Machine(tmp_path, commands)
    done = machine.run(*words)
    assert done.returncode == 2
    assert told in done.stderr
    assert machine.told == []
    assert not (tmp_path / ".env").exists()


def test_an_engine_that_fails_ends_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"docker": "compose|build"})
    done = machine.run("all")
    assert done.returncode != 0
    assert [line.split()[1] for line in machine.told] == ["build"]
