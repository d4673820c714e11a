"""The players that are libraries, from their npm packages: pinned, checked, kept beside the tests.

Nothing of them is in our tree: a megabyte of other people's minified code that only a test needs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import requests

CACHE = Path(__file__).resolve().parent / ".cache"  # ignored by git
REGISTRY = "https://registry.npmjs.org/"
FETCH_SECONDS = 60


class NoLibrary(Exception):
    """A library is neither in the cache nor to be had."""


@dataclass(frozen=True, slots=True)
class Library:
    """One file of one npm package; `integrity` is the registry's own (SHA-512, base64)."""

    package: str
    version: str
    integrity: str
    member: str

    @property
    def file(self) -> str:
        """Its name in the cache."""
        return f"{self.package}-{self.version}{Path(self.member).suffix}"


HLS_JS_OLD = Library(
    "hls.js",
    "1.6.16",
    "VSIRpLfRwlAAdGL4wiTucx2ScRipo0ed1FBatWkyt832jC4CReKstga6yIhYVwGu9LOBjuX9wzmRMeQdBJtzEA==",
    "package/dist/hls.mjs",
)
SHAKA = Library(
    "shaka-player",
    "5.2.12",
    "vEsuVDI3+oLh+yqpjXexQZlg2XMUBI0VrqatDuKWacPaxAud6Uph5uCowUPLhUgNG5XKWCpoM4l1r8qYzWH+zg==",
    "package/dist/shaka-player.hls-es2021.js",
)
LIBRARIES = (HLS_JS_OLD, SHAKA)


def fetch(library: Library) -> Path:
    """The library's file, from the cache or else from the npm registry.

    Raises:
        NoLibrary: there is no registry to ask, or what it gives is not what was pinned.
    """
    kept = CACHE / library.file
    if not kept.exists():
        body = _unpack(_download(library), library)
        CACHE.mkdir(exist_ok=True)
        partial = kept.with_suffix(".partial")
        partial.write_bytes(body)
        partial.replace(kept)
    return kept


def _download(library: Library) -> bytes:
    name = library.package
    url = f"{_registry()}{name}/-/{name}-{library.version}.tgz"
    try:
        answer = requests.get(url, timeout=FETCH_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise NoLibrary(f"{name} {library.version} from npm: {type(error).__name__}") from error
    found = base64.b64encode(hashlib.sha512(answer.content).digest()).decode()
    if found != library.integrity:
        raise NoLibrary(f"{name} {library.version} from npm: SHA-512 {found}, not as pinned")
    return answer.content


def _unpack(archive: bytes, library: Library) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        stream = package.extractfile(library.member)
        assert stream is not None, f"{library.member} is no file"
        return stream.read()


def _registry() -> str:
    """Where npm itself would look: a company's mirror is told to npm, not to us."""
    told = os.environ.get("NPM_CONFIG_REGISTRY")
    if not told and (npm := shutil.which("npm")):
        asked = subprocess.run(
            [npm, "config", "get", "registry"], check=False, capture_output=True, text=True
        )
        told = asked.stdout.strip()
    return (told if told and told.startswith("http") else REGISTRY).rstrip("/") + "/"
