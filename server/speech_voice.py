"""A text becomes a sound file: in a child process, since the synthesiser is C code with a state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from encoder.webvtt import LINE_COLUMNS, fits_a_cue
from server.errors import SpeechRefused

# A minute or two of speech.
LONGEST_TEXT = 2000
# 2000 characters take a second of processor time; a machine full of streams takes its time.
VOICE_SECONDS = 25.0
# A sentence that is over sooner shares its captions with the next one.
SHORTEST_CUE_SECONDS = 1.0
# So many characters without a word's beginning are divided evenly in time: some scripts have no
# spaces, and some voices tell only when a sentence begins.
_STRETCH_CHARACTERS = 12
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002]['\")\]]*\s+\S?$")
_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9+_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Cue:
    """A line of captions, and when it begins in the sound."""

    at_seconds: float
    text: str


def speak(text: str, voice: str, target: Path, piper_voice: str = "") -> list[Cue]:
    """Write a text as a WAV file; its captions.

    Args:
        text: what to say, from anyone.
        voice: a voice of espeak-ng, from anyone.
        target: of the file.
        piper_voice: voice file of Piper, which then speaks in place of espeak-ng.

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
    order["piper_voice"] = piper_voice
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
        raise SpeechRefused(503 if answer["broken"] else 422, str(answer["refused"]))
    words = [(word["at"], word["seconds"]) for word in answer["words"]]
    return cues(text, words, answer["seconds"])


def cues(text: str, words: Sequence[tuple[int, float]], seconds: float) -> list[Cue]:
    """Cut a text into captions of two lines, at the ends of sentences and where they are full.

    Args:
        text: what is said.
        words: of each word the place of its first character, and when it begins in seconds.
        seconds: when all has been said.
    """
    if not words:
        return []
    starts, steps = [(0, words[0][1])], _steps(text, words, seconds)
    ends = [*(at for at, _ in steps[1:]), len(text)]
    for (at, when), end in zip(steps[1:], ends[1:], strict=True):
        begun, since = starts[-1]
        whole = _SENTENCE_END.search(text[begun:at]) and when - since >= SHORTEST_CUE_SECONDS
        if whole or not fits_a_cue(text[begun:end]):
            starts.append((at, when))
    ends = [*(at for at, _ in starts[1:]), len(text)]
    return [Cue(when, text[at:end].strip()) for (at, when), end in zip(starts, ends, strict=True)]


def _steps(
    text: str, words: Sequence[tuple[int, float]], seconds: float
) -> list[tuple[int, float]]:
    """Where captions may be cut, and when that is said."""
    steps = []
    begun = [(_with_signs(text, at), when) for at, when in words]
    for (at, when), (end, over) in pairwise([*begun, (len(text), max(seconds, words[-1][1]))]):
        for cut in [0, *_cuts(text[at:end])]:
            steps.append((at + cut, when + (over - when) * cut / max(1, end - at)))
    return steps


def _with_signs(text: str, at: int) -> int:
    """Where a word begins for who reads: with its quotation mark or bracket."""
    start = at
    while start and not (text[start - 1].isspace() or text[start - 1].isalnum()):
        start -= 1
    return at if start and text[start - 1].isalnum() else start


def _cuts(stretch: str) -> Iterator[int]:
    """Where a long stretch of text can be cut: between words, or anywhere in a very long one."""
    since = 0
    for at in range(1, len(stretch)):
        is_word = stretch[at - 1].isspace() and not stretch[at].isspace()
        if at - since >= _STRETCH_CHARACTERS and (is_word or at - since >= LINE_COLUMNS // 2):
            yield at
            since = at


def _environment() -> dict[str, str]:
    """Nothing of ours: it needs no token. One thread: what it does is small."""
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "HOME")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return found | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
