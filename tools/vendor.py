"""Fetch what others wrote from its npm packages, unmodified, and write its record.

Run from anywhere: ``python tools/vendor.py``; needs npm. To move to a new version, change the
version and the digests; a file that does not match is an error, and then nothing is written.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"
TEST_VENDOR = ROOT / "tests" / "browser" / "vendor"


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm, and what is taken from it."""

    name: str
    version: str
    licence: str
    folder: Path
    files: dict[str, tuple[str, str]]  # name here -> (member of the package, SHA-256)


# The full build: hls.light has no alternate audio, and ours is always a rendition of its own.
HLS_JS = Package(
    "hls.js",
    "1.7.4",
    "Apache-2.0",
    VENDOR,
    {
        "hls.min.mjs": (
            "package/dist/hls.min.mjs",
            "5501f1d9091b6f749e0ef61aff4b9ea3ba13fd5fa5e2aefb6fc0ff871847a531",
        ),
        "hls.js.LICENSE": (
            "package/LICENSE",
            "ca8773cf798c7ed997d4dd7c8e23c348699f8d5b7462636694cc14de6cda12db",
        ),
    },
)
QRCODE = Package(
    "qrcode-generator",
    "2.0.4",
    "MIT",
    VENDOR,
    {
        "qrcode.mjs": (
            "package/dist/qrcode.mjs",
            "ea91d7118a5395289170da848b7c6758b996163bfbccf312591ab65a4911b7c0",
        )
    },
)
# Half a megabyte, and for tests alone: it is not part of what is installed.
AXE = Package(
    "axe-core",
    "4.14.1",
    "MPL-2.0",
    TEST_VENDOR,
    {
        "axe.min.js": (
            "package/axe.min.js",
            "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
        ),
        "axe-core.LICENSE": (
            "package/LICENSE",
            "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e",
        ),
    },
)
PACKAGES = (HLS_JS, QRCODE, AXE)

RECORD = """# Vendored files

Unmodified copies, so that {purpose}.
`python tools/vendor.py` fetches them again and checks them.

| package | version | licence | file | SHA-256 |
|---|---|---|---|---|
{rows}

{remarks}
"""
PURPOSES = {
    VENDOR: "the page needs no build step and no other host",
    TEST_VENDOR: "the tests need no other host",
}
REMARKS = {
    VENDOR: """hls.js is the full ES-module build; `hls.light` cannot play audio that is a rendition
of its own. The file's last line names a source map that is not kept here: a browser's developer
tools may report it missing, players do not ask for it. The licence of `qrcode.mjs` stands at its
head; its package has no other file of it.""",
    TEST_VENDOR: "axe-core finds what keeps people from using a page (WCAG, best practice).",
}


def main() -> int:
    """Fetch, check, write."""
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            bodies = _read(package, _pack(package, Path(folder)))
        wrong = [name for name, body in bodies.items() if _digest(body) != package.files[name][1]]
        if wrong:
            names = ", ".join(f"{name} ({_digest(bodies[name])})" for name in wrong)
            print(f"{package.name} {package.version}: other content than recorded: {names}")
            return 1
        package.folder.mkdir(exist_ok=True)
        for name, body in bodies.items():
            (package.folder / name).write_bytes(body)
    for place in PURPOSES:
        (place / "VENDORED.md").write_text(_record(place), "utf-8")
    return 0


def _pack(package: Package, folder: Path) -> Path:
    wanted = f"{package.name}@{package.version}"
    subprocess.run(["npm", "pack", "--silent", wanted], cwd=folder, check=True)
    return next(folder.glob("*.tgz"))


def _read(package: Package, archive: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive) as members:
        for name, (member, _digest) in package.files.items():
            stream = members.extractfile(member)
            assert stream is not None, f"{member} is no file"
            found[name] = stream.read()
    return found


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _record(folder: Path) -> str:
    rows = "\n".join(
        f"| {package.name} | {package.version} | {package.licence} | `{name}` | `{digest}` |"
        for package in PACKAGES
        if package.folder == folder
        for name, (_member, digest) in package.files.items()
    )
    return RECORD.format(purpose=PURPOSES[folder], rows=rows, remarks=REMARKS[folder])


if __name__ == "__main__":
    sys.exit(main())
