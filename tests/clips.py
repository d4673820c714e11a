"""A clip of the test card, for tests of what plays files: every picture says which one it is."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from inference.testcard import TestCard
from inference.timecode import is_flash, read_code
from rawmedia import Frame, MediaFormat

MEDIA = MediaFormat(640, 360, 25)
FFMPEG: str = imageio_ffmpeg.get_ffmpeg_exe()
UNIT_MS = 40
# Quieter than the beep's first wave, louder than what AAC smears before it.
LOUD = 6_000


def make_clip(path: Path, units: int, *, more_sound_units: int = 0, which: str = "av") -> Path:
    """Encode a clip; its time code is 0, 40, 80 ... ms.

    Args:
        path: its suffix names the container.
        units: pictures.
        more_sound_units: by so much the sound is longer.
        which: ``a``, ``v`` or both.
    """
    index = iter(range(units + more_sound_units))
    card = TestCard(MEDIA, lambda: (next(index) * UNIT_MS + 0.5) / 1000)
    frame = np.empty((MEDIA.height, MEDIA.width, 3), np.uint8)
    samples = np.empty((MEDIA.samples_per_unit, 1), np.int16)
    video, audio = path.with_suffix(".bgr"), path.with_suffix(".s16")
    with video.open("wb") as pictures, audio.open("wb") as sound:
        for number in range(units + more_sound_units):
            card.render(frame, samples)
            sound.write(samples.data)
            if number < units:
                pictures.write(frame.data)
    _encode(path, video if "v" in which else None, audio if "a" in which else None)
    video.unlink()
    audio.unlink()
    return path


def _encode(path: Path, video: Path | None, audio: Path | None) -> None:
    size = f"{MEDIA.width}x{MEDIA.height}"
    raw = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", str(MEDIA.fps))
    inputs: list[Sequence[str]] = []
    if video:
        inputs.append((*raw, "-i", str(video)))
    if audio:
        inputs.append(
            ("-f", "s16le", "-ar", str(MEDIA.audio_rate_hz), "-ac", "1", "-i", str(audio))
        )
    coders = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
    words = [word for each in inputs for word in each]
    argv = [FFMPEG, "-nostdin", "-v", "error", "-y", *words, *coders, str(path)]
    subprocess.run(argv, check=True, timeout=60)


def number_of(picture: Frame) -> int | None:
    """Which picture of the clip one is; None where it cannot be read."""
    code = read_code(picture)
    return None if code is None else code.milliseconds // UNIT_MS


def flash_seconds(pictures: Sequence[tuple[float, NDArray[np.uint8]]]) -> list[float]:
    """Times at which a flash begins; a busy machine may hold its picture."""
    bright = [is_flash(picture) for _at, picture in pictures]
    pairs = zip(pictures, bright, [False, *bright], strict=False)
    return [at for (at, _picture), now, before in pairs if now and not before]


def beep_seconds(sound: NDArray[np.generic], rate_hz: int, loud: float = LOUD) -> list[float]:
    """Times at which a beep begins, in mono sound."""
    at = np.flatnonzero(np.abs(sound.astype(float)) > loud)
    apart = rate_hz // 4
    return [float(n) / rate_hz for n in at[np.diff(at, prepend=-apart) >= apart]]
