"""Text to speech behind a small seam: ``python -m inference.voice``, a short-lived process.

espeak-ng is C code with global state, and its licence is the GPL: it is loaded in a process of its
own, which is told what to say in one line of JSON and answers in one.
"""

from __future__ import annotations

import ctypes
import json
import sys
import wave
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.errors import InferenceError

# Of speak_lib.h, which calls them espeak...
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come to the callback, within the call
_CHUNK_MS = 200
_OK = 0
_END_OF_EVENTS, _WORD = 0, 1  # espeakEVENT_LIST_TERMINATED, espeakEVENT_WORD
_UTF8, _AT_CHARACTER = 1, 1  # espeakCHARS_UTF8, POS_CHARACTER
_RATE = 1  # espeakRATE
# The lips of a face that speaks faster than people are a blur.
WORDS_PER_MINUTE = 160


class VoiceFailed(InferenceError):
    """The text cannot be spoken."""


class VoiceBroken(VoiceFailed):
    """No text can be spoken: what is wrong is not the text."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its first character in the text, and when it begins in the sound."""

    at: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text as sound: mono s16."""

    samples: NDArray[np.int16]
    rate_hz: int
    words: tuple[Word, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate_hz


class Voice(Protocol):
    """Anything that speaks."""

    def speak(self, text: str) -> Spoken:
        """Make sound of a text.

        Raises:
            VoiceFailed: it cannot.
        """


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """espeak-ng from the wheel ``espeakng-loader``; one per process.

    Args:
        voice: a language or a voice of espeak-ng, such as ``en-us`` or ``de``.

    Raises:
        VoiceFailed: there is no such voice, or the library does not load.
    """

    def __init__(self, voice: str) -> None:
        import espeakng_loader

        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise VoiceBroken(f"espeak-ng cannot be loaded: {error}") from error
        data = espeakng_loader.get_data_path().encode()
        self._rate_hz = self._library.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, data, 0)
        if self._rate_hz <= 0:
            raise VoiceBroken("espeak-ng does not find its data")
        if self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
            raise VoiceFailed(f"espeak-ng has no voice {voice!r}: give a language, such as en-us")
        self._library.espeak_SetParameter(_RATE, WORDS_PER_MINUTE, 0)

    def speak(self, text: str) -> Spoken:
        """Make sound of a text."""
        pieces: list[NDArray[np.int16]] = []
        words: list[Word] = []

        def take(samples: Any, count: int, events: Any) -> int:
            if samples and count:
                pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
            words.extend(_words(events))
            return 0

        callback = _CALLBACK(take)
        self._library.espeak_SetSynthCallback(callback)
        data = text.encode()
        arguments = (data, ctypes.c_size_t(len(data) + 1), 0, _AT_CHARACTER, 0, _UTF8, None, None)
        if self._library.espeak_Synth(*arguments) != _OK or not words:
            raise VoiceFailed("espeak-ng finds nothing to say in this text; write words")
        return Spoken(np.concatenate(pieces), self._rate_hz, tuple(words))


def _words(events: Any) -> Iterator[Word]:
    index = 0
    while events[index].type != _END_OF_EVENTS:
        if events[index].type == _WORD:
            yield Word(events[index].text_position - 1, events[index].audio_position / 1000)
        index += 1


def write_wav(path: Path, spoken: Spoken) -> None:
    """As a sound file that any reader of speech takes."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(spoken.rate_hz)
        file.writeframes(spoken.samples.tobytes())


def _voice(order: dict[str, Any]) -> Voice:
    if not order["piper_voice"]:
        return Espeak(order["voice"])
    from inference.piper import Piper  # here: where there is no such voice, nothing of it is loaded

    return Piper(order["piper_voice"])


def main() -> int:
    """Speak what the line on standard input asks for."""
    order = json.loads(sys.stdin.readline())
    try:
        spoken = _voice(order).speak(order["text"])
    except VoiceFailed as error:
        broken = isinstance(error, VoiceBroken)
        sys.stdout.write(json.dumps({"refused": str(error), "broken": broken}))
        return 0
    write_wav(Path(order["target"]), spoken)
    words = [asdict(word) for word in spoken.words]
    sys.stdout.write(json.dumps({"words": words, "seconds": spoken.seconds}))
    return 0


if __name__ == "__main__":
    # By its name: a voice of another module raises the errors of that module, not of "__main__".
    from inference import voice

    sys.exit(voice.main())
