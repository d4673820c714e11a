"""Every block of commands or Python in the README and docs/, as it stands, against a service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from skimage import data, io

from inference import assets
from tests.documents import ROOT, Block, runnable
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.ffmpeg

AUTHORITY = "127.0.0.1:8000"
ADDRESS = f"http://{AUTHORITY}"
# What the pages do not say: a curl that got an error, or waits for ever, has failed.
CURL = "fail\nsilent\nshow-error\nmax-time = 30\n"
LIPSTREAM = '#!/bin/sh\nexec "{python}" -m server "$@"\n'


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service of its own: the pages speak to it, make streams and end them."""
    with temporary_media_root() as folder, Service(Path(folder) / "media") as service:
        yield service.url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name, and lipstream where they call it."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".curlrc").write_text(CURL)
    script = folder / ".venv" / "bin" / "lipstream"
    script.parent.mkdir(parents=True)
    script.write_text(LIPSTREAM.format(python=sys.executable))
    script.chmod(0o755)
    io.imsave(folder / "me.jpg", data.astronaut())  # type: ignore[no-untyped-call]
    samples, rate = soundfile.read(Path(assets.__file__).parent / "sample.flac")
    for name in ("hello.wav", "hello.mp3", "news.flac"):
        soundfile.write(folder / name, samples[:rate], rate)
    return folder


def run(argv: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """As a reader would, in the folder with the files."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LIPSTREAM_")}
    environ = kept | {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    environ["PATH"] = f"{home / '.venv' / 'bin'}{os.pathsep}{environ['PATH']}"
    return subprocess.run(
        argv, cwd=home, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("block", runnable(), ids=[block.where for block in runnable()])
def test_the_commands_of_the_pages_run(block: Block, url: str, home: Path) -> None:
    script = block.text.replace(ADDRESS, url)
    done = run(["sh", "-euc", script], home)
    # A viewer's verdicts judge this machine too; that he saw a picture is what is asked here.
    is_watching = "lipstream watch" in script or "--watch" in script
    assert done.returncode in ((0, 1) if is_watching else (0,)), done.stdout + done.stderr
    assert done.stdout


PROGRAMS = runnable("python")


@pytest.mark.parametrize("block", PROGRAMS, ids=[block.where for block in PROGRAMS])
def test_the_programs_of_the_pages_run(block: Block, media_root: Path, home: Path) -> None:
    """At a face that idles: nobody else speaks, which would keep a program from its turn."""
    with Service(media_root, ("--audio", "none")) as service:
        program = block.text.replace(AUTHORITY, service.url.removeprefix("http://"))
        done = run([sys.executable, "-c", program], home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"utterance"' in done.stdout
