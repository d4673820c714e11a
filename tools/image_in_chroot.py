"""Run every step of the Dockerfile's CPU image in a fresh Debian, where no container engine is.

    sudo python -m tools.image_in_chroot [--folder /var/tmp/lipstream-image] [--ca FILE]

Needs root, debootstrap, unshare and ip. Each stage is a Debian tree of its own; RUN steps run in it
by chroot, with the environment and the user that the file gives them. At the end CMD is started
as in a container: with a network, processes, a /tmp and a /dev/shm of its own, in which the media
are; HEALTHCHECK is asked until it is content, the stream is watched for some seconds, and SIGTERM
must end it with status 0.

Not seen: what an engine itself does (layers, pulling, cgroups, seccomp), what compose.yaml adds
(/media, volumes, the user), deploy/Dockerfile, and the CUDA image.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIRROR = "http://deb.debian.org/debian"
_WATCH = "watch http://127.0.0.1:8000/live/demo/index.m3u8 --seconds 5"
_IGNORED = {"EXPOSE"}
# Runs "$2" in the tree "$1" as "$3", with what a container has of its own.
_INSIDE = """
set -eu
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
mount -t tmpfs -o mode=1777,size=512m tmpfs "$1/tmp"
exec chroot --userspec="$3" "$1" /bin/sh -c "$2"
"""
# As the engine: start, ask for health, and, what no engine does, watch; then stop.
_LIFE = """
cd "$WORK"
"$@" >/tmp/out 2>&1 &
child=$!
tries=0
until {health}; do
  tries=$((tries + 1))
  [ $tries -lt 60 ] && kill -0 $child 2>/dev/null || {{ cat /tmp/out; exit 1; }}
  sleep 1
done
echo "healthy after $tries s, as user $(id -u)"
{watch} || {{ tail -n 20 /tmp/out; exit 1; }}
kill -TERM $child
status=0
wait $child || status=$?
echo "SIGTERM ended it with status $status"
exit $status
"""


@dataclass
class Stage:
    """One FROM and what came after it."""

    tree: Path
    environment: dict[str, str]
    folder: str = "/"
    user: str = "0:0"
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The file's instructions: word and rest, with continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    for line in joined.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def expanded(text: str, values: dict[str, str]) -> str:
    """With ``$name`` and ``${name}`` filled in."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], ""), text)


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps a path out."""
    parts = path.split("/")
    for pattern in patterns:
        if pattern.startswith("**/"):
            if any(fnmatch.fnmatch(part, pattern[3:]) for part in parts):
                return True
        elif fnmatch.fnmatch(parts[0], pattern):
            return True
    return False


class Builder:
    """Carries out a Dockerfile.

    Args:
        folder: where the trees are made.
        authority: PEM file that pip is to trust; None: its own.
    """

    def __init__(self, folder: Path, authority: Path | None) -> None:
        self._folder = folder
        self._authority = authority
        self._arguments: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        self._stage: Stage | None = None

    def build(self, text: str) -> Stage:
        """All of a file; returns its last stage."""
        for word, rest in instructions(text):
            if word == "ARG" and self._stage is None:
                name, _, value = rest.partition("=")
                self._arguments[name] = value
            elif word == "FROM":
                self._from(expanded(rest, self._arguments))
            elif word not in _IGNORED and self._stage is not None:
                self._step(self._stage, word, rest)
        assert self._stage is not None
        return self._stage

    def _from(self, rest: str) -> None:
        base, _, name = rest.partition(" AS ")
        if base.startswith("nvidia/"):
            say(f"FROM {base}: not looked at")
            self._stage = None
            return
        tree = self._folder / (name or "final")
        began = time.monotonic()
        if base in self._stages:
            source = self._stages[base]
            copy_tree(source.tree, tree)
            self._stage = Stage(tree, dict(source.environment), source.folder, source.user)
        else:
            suite = base.partition(":")[2].removesuffix("-slim")
            subprocess.run(
                ["debootstrap", "--variant=minbase", suite, str(tree), MIRROR],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            self._stage = Stage(tree, {"PATH": path})
        self._stages[name or "final"] = self._stage
        say(f"FROM {rest}: {time.monotonic() - began:.1f} s")

    def _step(self, stage: Stage, word: str, rest: str) -> None:
        began = time.monotonic()
        if word == "RUN":
            self._run(stage, rest)
        elif word == "COPY":
            self._copy(stage, rest)
        elif word == "ENV":
            for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', rest):
                stage.environment[name] = expanded(value.strip('"'), stage.environment)
        elif word == "WORKDIR":
            stage.folder = rest
            (stage.tree / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            stage.user = rest
        elif word == "HEALTHCHECK":
            stage.health = json.loads(rest.partition("CMD")[2])
        elif word == "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        elif word == "CMD":
            stage.command = json.loads(rest)
        else:
            sys.exit(f"{word} is not understood here")
        say(f"{word} {rest[:70]}: {time.monotonic() - began:.1f} s")

    def _run(self, stage: Stage, script: str) -> None:
        environment = stage.environment | {"DEBIAN_FRONTEND": "noninteractive"}
        if self._authority is not None:
            shutil.copy(self._authority, stage.tree / "var/tmp/authority.pem")
            environment["PIP_CERT"] = "/var/tmp/authority.pem"
        shutil.copy("/etc/resolv.conf", stage.tree / "etc/resolv.conf")
        inside(stage, f"cd {stage.folder} && {script}", environment)

    def _copy(self, stage: Stage, rest: str) -> None:
        words = rest.split()
        source_tree = ROOT
        if words[0].startswith("--from="):
            source_tree = self._stages[words.pop(0).removeprefix("--from=")].tree
        *sources, target = words
        place = stage.tree / str(Path(stage.folder, target)).lstrip("/")
        for source in sources:
            if source == ".":
                copy_context(place)
            else:
                copy_tree(source_tree / source.lstrip("/"), place)


def copy_tree(source: Path, target: Path) -> None:
    """A tree with its owners; devices as what they are, not what is read from them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    argv = ["cp", "--archive", "--one-file-system", str(source), str(target)]
    subprocess.run(argv, check=True)


def copy_context(place: Path) -> None:
    """The build context, less what .dockerignore names."""
    patterns = (ROOT / ".dockerignore").read_text("utf-8").split()
    for path in sorted(ROOT.rglob("*")):
        name = str(path.relative_to(ROOT))
        if path.is_file() and not ignored(name, patterns):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place / name)


def inside(stage: Stage, script: str, environment: dict[str, str], *more: str) -> None:
    """Run a shell script in a stage, as its user; its end ends this program if it fails."""
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *more]
    argv = [*own, "sh", "-c", _INSIDE, "sh", str(stage.tree), script, stage.user]
    done = subprocess.run(argv, env=environment, check=False)
    if done.returncode:
        sys.exit(f"ended with status {done.returncode}: {script[:200]}")


def live(stage: Stage) -> None:
    """Start the image's command as an engine does, look at it, and stop it."""
    quoted = " ".join(json.dumps(word) for word in stage.health)
    watch = " ".join([*stage.entrypoint, _WATCH])
    script = _LIFE.format(health=f"{quoted} 2>/dev/null", watch=watch)
    script = f"set -- {' '.join([*stage.entrypoint, *stage.command])}\n{script}"
    environment = stage.environment | {
        "HOME": stage.folder,
        "WORK": stage.folder,
        "LIPSTREAM_API_TOKEN": os.urandom(16).hex(),
        "LIPSTREAM_MEDIA_ROOT": "/dev/shm/live",
    }
    argv = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    inside(stage, script, environment, "--net", *argv)


def say(text: str) -> None:
    """One line, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    """Build, run, tidy up."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/lipstream-image"))
    parser.add_argument("--ca", type=Path, help="PEM file with an authority that pip is to trust")
    parser.add_argument("--keep", action="store_true", help="leave the trees where they are")
    arguments = parser.parse_args()
    if os.geteuid():
        sys.exit("needs root: it makes Debian trees and changes into them")
    if arguments.folder.exists():
        sys.exit(f"{arguments.folder} is there already; remove it, or give another --folder")
    arguments.folder.mkdir(parents=True)
    try:
        builder = Builder(arguments.folder, arguments.ca)
        stage = builder.build((ROOT / "Dockerfile").read_text("utf-8"))
        live(stage)
    finally:
        if not arguments.keep:
            shutil.rmtree(arguments.folder)
    say("every step of the CPU image ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
