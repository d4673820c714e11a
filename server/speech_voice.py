"""A text becomes a sound file: in a child process, since the synthesiser is C code with a state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from server.errors import SpeechRefused

# A minute or two of speech.
LONGEST_TEXT = 2000
# 2000 characters take a second of processor time; a machine full of streams takes its time.
VOICE_SECONDS = 25.0
# Two lines of subtitles on a phone.
CUE_CHARACTERS = 64
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002]['\")\]]*\s+\S?$")
_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9+_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Cue:
    """A line of captions, and when it begins in the sound."""

    at_seconds: float
    text: str


def speak(text: str, voice: str, target: Path) -> list[Cue]:
    """Write a text as a WAV file; its captions.

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
    return cues(text, [(word["at"], word["seconds"]) for word in answer["words"]])


def cues(text: str, words: Sequence[tuple[int, float]]) -> list[Cue]:
    """Cut a text into lines of captions, at the ends of sentences and where a line is full.

    Args:
        text: what is said.
        words: of each word the place of its first character, and when it begins in seconds.
    """
    if not words:
        return []
    starts = [(0, words[0][1])]
    for (_before, _), (at, seconds) in pairwise(words):
        line = text[starts[-1][0] : at]
        if at - starts[-1][0] > CUE_CHARACTERS or _SENTENCE_END.search(line):
            starts.append((at, seconds))
    ends = [*(at for at, _ in starts[1:]), len(text)]
    return [
        Cue(seconds, text[at:end].strip()) for (at, seconds), end in zip(starts, ends, strict=True)
    ]


def _environment() -> dict[str, str]:
    """Nothing of ours: it needs no token. One thread: what it does is small."""
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "HOME")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return found | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
