"""A second voice: Piper, a neural synthesiser, with a voice file of the operator's.

Its package (``piper-tts``, the extra ``piper``) is under the GPL as espeak-ng is, and is loaded in
the same process of its own. It tells when a sentence begins, not when a word does.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.voice import Spoken, VoiceBroken, VoiceFailed, Word

# One sentence runs into the next without it.
PAUSE_SECONDS = 0.15
# The encoders need the other cores more.
_THREADS = 1
# How its voices write sounds; for others its package fetches models from the network.
_ALPHABETS = ("espeak", "text")
_SENTENCE = re.compile(r".+?(?:[.!?\u2026]+[\"')\]]*(?=\s)|[\u3002\uff01\uff1f]|\n|$)", re.DOTALL)
_INSTALL = "setting piper_voice needs the package piper-tts: pip install 'lipstream[piper]'"


def check_piper_voice(path: str) -> None:
    """See, without loading it, whether a voice can be there; an empty path is none.

    Raises:
        VoiceBroken: it cannot.
    """
    if not path:
        return
    if importlib.util.find_spec("piper") is None:
        raise VoiceBroken(_INSTALL)
    for file in (Path(path), _description(path)):
        if not file.is_file():
            raise VoiceBroken(
                f"setting piper_voice: there is no file {file}; a voice is a .onnx file and, "
                "beside it, one of the same name with .json behind"
            )


class Piper:
    """One voice; loading it takes about a second.

    Args:
        path: of its ``.onnx`` file; ``.onnx.json`` stands beside it.

    Raises:
        VoiceBroken: the package is missing, or this is no voice.
    """

    def __init__(self, path: str) -> None:
        check_piper_voice(path)
        self._path = path
        try:
            self._voice = _load(path)
        # Of JSON, of its fields, and whatever onnxruntime raises: it has no common root.
        except Exception as error:
            raise VoiceBroken(f"{path} is no voice of Piper: {_first_line(error)}") from error

    def speak(self, text: str) -> Spoken:
        """Make sound of a text, a sentence at a time.

        Raises:
            VoiceFailed: there are no words in it.
            VoiceBroken: the voice fails, or makes no sound.
        """
        pieces: list[NDArray[np.int16]] = []
        words: list[Word] = []
        rate_hz, count = int(self._voice.config.sample_rate), 0
        pause = np.zeros(round(PAUSE_SECONDS * rate_hz), np.int16)
        for at, sentence in _sentences(text):
            said = self._said(sentence)
            words.append(Word(at, count / rate_hz))
            pieces += [said, pause]
            count += len(said) + len(pause)
        if not pieces:
            raise VoiceFailed("there is nothing to say in this text; write words")
        return Spoken(np.concatenate(pieces[:-1]), rate_hz, tuple(words))

    def _said(self, sentence: str) -> NDArray[np.int16]:
        # Two brackets are Piper's own for sounds; a text has letters only.
        spelt = sentence.replace("[[", "[ [")
        try:
            chunks = [chunk.audio_float_array for chunk in self._voice.synthesize(spelt)]
        except Exception as error:
            raise VoiceBroken(f"{self._path} fails: {_first_line(error)}") from error
        sound = np.concatenate([np.zeros(0, np.float32), *(chunk.ravel() for chunk in chunks)])
        if not np.isfinite(sound).all():
            raise VoiceBroken(f"{self._path} makes samples that are no numbers")
        samples: NDArray[np.int16] = np.rint(np.clip(sound, -1.0, 1.0) * 32767).astype(np.int16)
        return samples


def _load(path: str) -> Any:
    import onnxruntime
    from piper import PiperVoice
    from piper.config import PiperConfig

    told = json.loads(_description(path).read_text("utf-8"))
    alphabet = told.get("phoneme_type", _ALPHABETS[0])
    if alphabet not in _ALPHABETS:
        raise ValueError(f"its phoneme_type is {alphabet!r}, known are {', '.join(_ALPHABETS)}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = _THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=PiperConfig.from_dict(told))


def _description(path: str) -> Path:
    return Path(f"{path}.json")


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Those with words in them, and where each begins."""
    for match in _SENTENCE.finditer(text):
        sentence = match[0].lstrip()
        if any(character.isalnum() for character in sentence):
            yield match.end() - len(sentence), sentence.rstrip()


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
