"""``lipstream watch``: play a stream as a viewer would, and say what he saw."""

from __future__ import annotations

import json
import sys
import time

from client.fetch import HttpFetch
from client.watching.figures import Limits, as_json, block, verdicts
from client.watching.player import Player, Wish
from client.watching.recorder import Recorder
from encoder.ffmpeg import Ffmpeg

_USER_AGENT = "lipstream-watch"
_FAILED = 1


def run(
    wish: Wish, limits: Limits, ffmpeg: Ffmpeg, *, as_json_text: bool, verify_tls: bool = True
) -> int:
    """The command: prints the figures; 0 if every verdict is passed, 1 if not.

    Raises:
        CannotWatch: not one picture was seen.
    """
    is_terminal = sys.stderr.isatty()
    fetch = HttpFetch(verify_tls=verify_tls, user_agent=_USER_AGENT)
    player = Player(wish, ffmpeg, fetch, show_progress if is_terminal else lambda _player: None)
    try:
        figures = player.play()
    finally:
        if is_terminal:
            sys.stderr.write("\r\x1b[K")
    if player.recorder is not None:
        tell_recording(player.recorder)
    judged = verdicts(figures, limits)
    if as_json_text:
        text = json.dumps(as_json(figures, judged), indent=2) + "\n"
    else:
        text = block(figures, judged)
    sys.stdout.write(text)
    return 0 if all(verdict.passed for verdict in judged) else _FAILED


def tell_recording(recorder: Recorder) -> None:
    """Say where it is, and what went wrong."""
    for path in recorder.files:
        sys.stderr.write(f"lipstream watch: recorded {path}\n")
    if recorder.problem:
        sys.stderr.write(f"lipstream watch: {recorder.problem}\n")


def show_progress(player: Player) -> None:
    """Write the line that stands at the bottom of a terminal, over itself."""
    sys.stderr.write("\r\x1b[K" + progress(player, time.monotonic()))
    sys.stderr.flush()


def progress(player: Player, now: float) -> str:
    """How it goes, in one short line."""
    seen, seconds = player.screen.seen, now - player.began
    if not seen.shown:
        return f"{seconds:5.1f} s  waiting for the first picture"
    latency = f"  {seen.latencies[-1]:.2f} s behind" if seen.latencies else ""
    kbit = player.total_bytes * 8 / 1000 / seconds
    return (
        f"{seconds:5.1f} s  {seen.shown} pictures{latency}  {player.screen.clock.stalls} stalls  "
        f"{kbit:.0f} kbit/s"
    )
