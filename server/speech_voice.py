"""A text becomes a sound file: in a child process, since the synthesiser is C code with a state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from server.errors import SpeechRefused

# A minute or two of speech.
LONGEST_TEXT = 2000
# 2000 characters take a second of processor time; a machine full of streams takes its time.
VOICE_SECONDS = 25.0
_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9+_-]{0,39}")


def speak(text: str, voice: str, target: Path) -> None:
    """Write a text as a WAV file.

    Args:
        text: what to say, from anyone.
        voice: a voice of espeak-ng, from anyone.
        target: of the file.

    Raises:
        SpeechRefused: it cannot be said.
    """
    if len(text) > LONGEST_TEXT:
        raise SpeechRefused(
            413,
            f"the text has {len(text)} characters, {LONGEST_TEXT} are the most; send it in parts",
        )
    if not _VOICE.fullmatch(voice):
        raise SpeechRefused(400, f"voice is {voice[:80]!r}: give a language, such as en-us or de")
    order = {"text": text.replace("\0", " "), "voice": voice, "target": str(target)}
    try:
        child = subprocess.run(
            [sys.executable, "-m", "inference.voice"],
            input=json.dumps(order),
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=VOICE_SECONDS,
        )
        answer = json.loads(child.stdout)
    except subprocess.TimeoutExpired as error:
        limit = f"speaking the text took more than {VOICE_SECONDS:g} s"
        raise SpeechRefused(503, f"{limit}; send it in parts") from error
    except ValueError as error:
        raise SpeechRefused(422, "the voice fails at this text; change it") from error
    if "refused" in answer:
        raise SpeechRefused(422, str(answer["refused"]))


def _environment() -> dict[str, str]:
    """Nothing of ours: it needs no token. One thread: what it does is small."""
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "HOME")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return found | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
