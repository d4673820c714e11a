"""Fetch hls.js from its npm package into static/vendor/, unmodified, and write its record.

Run from anywhere: ``python tools/vendor_hls.py``; needs npm. To move to a new version, change
VERSION and SHA256; a file that does not match is an error, and then nothing is written.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
PACKAGE = "hls.js"
VERSION = "1.7.4"
LICENCE = "Apache-2.0"
# The full build: hls.light has no alternate audio, and ours is always a rendition of its own.
MEMBERS = {"package/dist/hls.min.mjs": "hls.min.mjs", "package/LICENSE": "hls.js.LICENSE"}
SHA256 = {
    "hls.min.mjs": "5501f1d9091b6f749e0ef61aff4b9ea3ba13fd5fa5e2aefb6fc0ff871847a531",
    "hls.js.LICENSE": "ca8773cf798c7ed997d4dd7c8e23c348699f8d5b7462636694cc14de6cda12db",
}

RECORD = """# Vendored files

Unmodified copies, so that the page needs no build step and no other host.
`python tools/vendor_hls.py` fetches them again and checks them.

| package | version | licence | file | SHA-256 |
|---|---|---|---|---|
{rows}

hls.js is the full ES-module build; `hls.light` cannot play audio that is a rendition of its own.
The file's last line names a source map that is not kept here: a browser's developer tools may
report it missing, players do not ask for it.
"""


def main() -> int:
    """Fetch, check, write."""
    with tempfile.TemporaryDirectory() as folder:
        members = _read_members(_pack(Path(folder)))
    wrong = [name for name, body in members.items() if _digest(body) != SHA256[name]]
    if wrong:
        print(f"{PACKAGE} {VERSION}: other content than recorded: {', '.join(wrong)}")
        return 1
    for name, body in members.items():
        (VENDOR / name).write_bytes(body)
    (VENDOR / "VENDORED.md").write_text(_record(), "utf-8")
    return 0


def _pack(folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True)
    return next(folder.glob("*.tgz"))


def _read_members(archive: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive) as package:
        for member, name in MEMBERS.items():
            stream = package.extractfile(member)
            assert stream is not None, f"{member} is no file"
            found[name] = stream.read()
    return found


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _record() -> str:
    rows = (f"| {PACKAGE} | {VERSION} | {LICENCE} | `{n}` | `{d}` |" for n, d in SHA256.items())
    return RECORD.format(rows="\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
