"""What happens where a program that a test drives is not installed: one policy for all of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# WebKitGTK's MiniBrowser is installed beside the library, not on PATH.
BESIDE_LIBRARIES = ("/usr/lib/*/webkit2gtk-4.*", "/usr/libexec/webkit2gtk-4.*")
# Debian keeps servers there, out of the way of those who are not root.
SERVERS = "/usr/sbin"


def require(program: str) -> str:
    """The program's path; without it the test skips, or fails where skips are forbidden."""
    found = shutil.which(program, path=_search_path())
    return found if found is not None else missing(f"{program} is not installed")


def missing(reason: str) -> NoReturn:
    """Something that a test needs is not there: it skips, or fails where skips are forbidden."""
    if skips_forbidden():
        pytest.fail(f"{reason}, and skips are forbidden here (CI=true)")
    pytest.skip(reason)


def skips_forbidden() -> bool:
    return os.environ.get("CI") == "true"


def _search_path() -> str:
    beside = [str(p) for pattern in BESIDE_LIBRARIES for p in Path("/").glob(pattern[1:])]
    return os.pathsep.join([os.environ.get("PATH", os.defpath), SERVERS, *beside])
