"""Make the built-in speech sample: our own sentences, spoken by espeak-ng, warmed a little by sox.

Both are system commands (``apt-get install espeak-ng sox``) and are needed only to remake the file.

    python tools/make_speech.py inference/assets/sample.flac
"""

from __future__ import annotations

import argparse
import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

# (sentence, seconds of silence after it)
SCRIPT = (
    ("Hello, and welcome! It is good to see you.", 0.7),
    ("I am the presenter of lip stream.", 0.6),
    ("My lips follow the sound, frame by frame, and you see me live.", 0.8),
    ("Would you like another face? Choose a photo.", 0.6),
    ("Other words? Choose a sound file, and I will say them.", 0.8),
    ("Thank you for watching!", 0.4),
)
LEAD_IN_SECONDS = 0.4

# Female formants without the exaggeration of f3 and f4; slow enough to read the lips.
ESPEAK = ("espeak-ng", "-v", "en-us+f2", "-s", "156", "-p", "46", "-g", "2", "--stdout")

# espeak-ng is bone dry and bright: cut rumble, add body, soften the buzz, a small room, headroom.
SOX = (
    *("sox", "-R", "-t", "wav", "-", "-t", "wav", "-b", "16", "-"),
    *("highpass", "85", "equalizer", "260", "0.9q", "+2", "equalizer", "3200", "1.2q", "-2"),
    *("treble", "-5", "5500", "reverb", "14", "60", "35", "100", "0", "-2", "norm", "-3"),
)
AUDIBLE = 0.004


def main() -> None:
    """Write the sample to the path given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", type=Path, help="a .flac file")
    output: Path = parser.parse_args().output
    spoken = [_speak(sentence) for sentence, _pause in SCRIPT]
    rate = spoken[0][1]
    pieces = [_silence(LEAD_IN_SECONDS, rate)]
    for (samples, _rate), (_sentence, pause) in zip(spoken, SCRIPT, strict=True):
        pieces += [samples, _silence(pause, rate)]
    polished = _polish(np.concatenate(pieces), rate)
    soundfile.write(output, polished, rate, format="FLAC", subtype="PCM_16")
    print(f"{output}: {len(polished) / rate:.1f} s, {output.stat().st_size} bytes")


def _speak(sentence: str) -> tuple[NDArray[np.float32], int]:
    wav = subprocess.run([*ESPEAK, sentence], capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    heard = np.flatnonzero(np.abs(samples) > AUDIBLE)
    return samples[heard[0] : heard[-1] + 1], rate


def _silence(seconds: float, rate: int) -> NDArray[np.float32]:
    return np.zeros(round(seconds * rate), np.float32)


def _polish(samples: NDArray[np.float32], rate: int) -> NDArray[np.int16]:
    raw = io.BytesIO()
    soundfile.write(raw, samples, rate, format="WAV", subtype="PCM_16")
    wav = subprocess.run(SOX, input=raw.getvalue(), capture_output=True, check=True).stdout
    polished: NDArray[np.int16] = soundfile.read(io.BytesIO(wav), dtype="int16")[0]
    return polished


if __name__ == "__main__":
    main()
