"""A program in ffmpeg's place: the real one behind it, and faults on order.

An order is a file in its folder:

- ``exit``: the run that finds it ends with status 1, once;
- ``garbage``: its first output gives noise instead of boxes from there on, once;
- ``broken``: there is no circuit any more: every run with the pretended hardware encoder fails.

``h264_nvenc`` is pretended: libx264 works in its place, with a profile of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from encoder.ffmpeg import find_ffmpeg

PRETENDED = "h264_nvenc"
# What only nvenc knows, by option; all of them have a value.
_NVENC_ONLY = ("-rc", "-zerolatency", "-delay", "-rc-lookahead", "-no-scenecut", "-forced-idr")
_INSTEAD = {"-preset": "ultrafast", "-tune": "zerolatency", "-profile:v": "baseline"}
NOISE = b"this is no box of any MP4 file..." * 64


def install(folder: Path) -> Path:
    """Write the program; returns its path."""
    folder.mkdir(parents=True)
    program = folder / "ffmpeg"
    real = find_ffmpeg("").path
    module = f"from tests.faults.stand_in import main; main({real!r}, {str(folder)!r})"
    root = Path(__file__).resolve().parents[2]
    program.write_text(
        f"#!{sys.executable}\nimport sys; sys.path.insert(0, {str(root)!r}); {module}\n"
    )
    program.chmod(0o755)
    return program


def main(real: str, folder: str) -> None:
    """Be ffmpeg."""
    argv, orders = sys.argv[1:], Path(folder)
    if PRETENDED in argv:
        if (orders / "broken").exists():
            sys.exit(f"[{PRETENDED} @ 0x1] OpenEncodeSessionEx failed: no encode device (1)")
        argv = pretend(argv)
    outputs = [place for place, word in enumerate(argv) if place and _is_output(argv, place)]
    if len(outputs) < 2:  # a question or a trial, no stream
        os.execv(real, [real, *argv])
    _stream(real, argv, outputs[0], orders)


def pretend(argv: list[str]) -> list[str]:
    """The same command for libx264."""
    made: list[str] = []
    words = iter(argv)
    for word in words:
        if word in _NVENC_ONLY:
            next(words)
        elif word in _INSTEAD:
            made += [word, _INSTEAD[word]]
            next(words)
        else:
            made.append("libx264" if word == PRETENDED else word)
    return made


def _is_output(argv: list[str], place: int) -> bool:
    return argv[place].startswith("pipe:") and argv[place - 1] != "-i"


def _stream(real: str, argv: list[str], output: int, orders: Path) -> None:
    ours, theirs = os.pipe()
    to_stream = int(argv[output].removeprefix("pipe:"))
    argv[output] = f"pipe:{theirs}"
    open_fds = {int(word.removeprefix("pipe:")) for word in argv if word.startswith("pipe:")}
    child = subprocess.Popen([real, *argv], pass_fds=tuple(open_fds))
    for fd in open_fds:  # their ends are the child's alone: it must see the end of its input
        os.close(fd)
    threading.Thread(target=_exit_on_order, args=(orders / "exit",), daemon=True).start()
    spoiled = False
    while data := os.read(ours, 65536):
        spoiled = spoiled or _carried_out(orders / "garbage")
        os.write(to_stream, NOISE if spoiled else data)
    sys.exit(child.wait())


def _exit_on_order(order: Path) -> None:
    while not _carried_out(order):
        time.sleep(0.02)
    sys.stderr.write("[libx264 @ 0x2] malloc of size 1044480 failed\n")
    sys.stderr.flush()
    os._exit(1)


def _carried_out(order: Path) -> bool:
    try:
        order.unlink()
    except FileNotFoundError:
        return False
    return True
