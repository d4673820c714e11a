"""Speech files: checked, converted to the stream's rate and channels once, then sliced by unit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import AudioRejected
from inference.files import regular_file
from rawmedia import MediaFormat, Samples

BUILT_IN_SAMPLE = Path(__file__).parent / "assets" / "sample.flac"

BLOCK_FRAMES = 1 << 16
RATE_LIMITS_HZ = (1_000, 384_000)
MAX_CHANNELS = 16
FULL_SCALE = 32767.0
READABLE = "give a WAV, FLAC, OGG, Opus or MP3 file"

Block = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech as whole units of a stream: ``samples`` is (units * samples_per_unit) x channels."""

    samples: Samples
    units: int

    def unit(self, index: int) -> Samples:
        """The samples of one unit."""
        size = len(self.samples) // self.units
        return self.samples[index * size : (index + 1) * size]


@dataclass(frozen=True, slots=True)
class SpeechFile:
    """An open sound file whose header is within the limits; use :func:`open_speech`."""

    path: Path
    file: Any
    max_seconds: int

    @property
    def rate_hz(self) -> int:
        """As its header says."""
        return int(self.file.samplerate)

    @property
    def channels(self) -> int:
        """As its header says."""
        return int(self.file.channels)

    @property
    def frames(self) -> int:
        """Samples per channel, as its header says; it may be wrong."""
        return int(self.file.frames)

    def samples(self, media: MediaFormat) -> Iterator[Samples]:
        """All of it, in pieces, with the rate and the channels of a stream.

        Raises:
            AudioRejected: it is longer than its header said, damaged, or has samples that are NaN
                or infinite.
        """
        blocks = _checked_blocks(self.path, self.file, self.max_seconds)
        return _converted(blocks, self.rate_hz, media)


@contextmanager
def open_speech(path: Path, max_seconds: int) -> Iterator[SpeechFile]:
    """Lend a sound file.

    Raises:
        AudioRejected: not a sound file, empty, or longer than allowed, as far as the header says.
    """
    with regular_file(path, AudioRejected) as fd, _open(path, fd) as file:
        _check_header(path, file, max_seconds)
        yield SpeechFile(path, file, max_seconds)


def check_clip(path: Path, max_seconds: int) -> None:
    """Read the header only.

    Raises:
        AudioRejected: not a sound file, empty, or longer than allowed, as far as the header says.
    """
    with open_speech(path, max_seconds):
        pass


def load_clip(path: Path, media: MediaFormat, max_seconds: int) -> Clip:
    """Decode, convert to the stream's rate and channels, pad to whole units.

    Raises:
        AudioRejected: not a sound file, empty, too long, or with NaN or infinite samples.
    """
    with open_speech(path, max_seconds) as speech:
        expected = speech.frames * media.audio_rate_hz // speech.rate_hz
        samples, count = _gathered(speech.samples(media), expected, media)
    if not count:
        raise AudioRejected(path, "it has no samples", "give a file with sound in it")
    units = -(-count // media.samples_per_unit)
    return Clip(samples[: units * media.samples_per_unit], units)


def _open(path: Path, fd: int) -> Any:
    import soundfile  # here: the built-in check needs none of it

    try:
        # A name without an ending: ".raw" or ".vox" would make sound of any bytes. Not the
        # descriptor itself: MP3 is then not recognised (python-soundfile issue 439).
        return soundfile.SoundFile(f"/dev/fd/{fd}")
    except (soundfile.SoundFileError, TypeError) as error:
        raise AudioRejected(path, "is no sound file that can be read", READABLE) from error


def _check_header(path: Path, file: Any, max_seconds: int) -> None:
    low, high = RATE_LIMITS_HZ
    if not low <= file.samplerate <= high:
        problem = f"its sample rate is {file.samplerate} Hz, the limits are {low} and {high}"
        raise AudioRejected(path, problem, "convert it to 48000 Hz")
    if file.channels > MAX_CHANNELS:
        problem = f"it has {file.channels} channels, the limit is {MAX_CHANNELS}"
        raise AudioRejected(path, problem, "mix it down to mono")
    if file.frames == 0:
        raise AudioRejected(path, "it has no samples", "give a file with sound in it")
    if file.frames > max_seconds * file.samplerate:
        raise _too_long(path, file.frames / file.samplerate, max_seconds)


def _too_long(path: Path, seconds: float, max_seconds: int) -> AudioRejected:
    problem = f"it lasts {seconds:.1f} s, the limit is {max_seconds} s"
    return AudioRejected(path, problem, "cut it, or raise max_audio_seconds")


def _checked_blocks(path: Path, file: Any, max_seconds: int) -> Iterator[Block]:
    """The header may lie about the length: count what really comes."""
    import soundfile

    count = 0
    while True:
        try:
            block: Block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioRejected(path, f"is damaged after {count} samples", READABLE) from error
        if not len(block):
            return
        count += len(block)
        if count > max_seconds * file.samplerate:
            raise _too_long(path, count / file.samplerate, max_seconds)
        if not np.isfinite(block).all():
            problem = "it has samples that are NaN or infinite"
            raise AudioRejected(path, problem, "export it again as 16-bit PCM")
        yield block


def _converted(blocks: Iterator[Block], rate_hz: int, media: MediaFormat) -> Iterator[Samples]:
    if rate_hz == media.audio_rate_hz:
        for block in blocks:
            yield _to_int16(_mixed(block, media.audio_channels))
        return
    import soxr

    stream = soxr.ResampleStream(rate_hz, media.audio_rate_hz, media.audio_channels, "float32")
    for block in blocks:
        yield _to_int16(stream.resample_chunk(_mixed(block, media.audio_channels)))
    rest = np.zeros((0, media.audio_channels), np.float32)
    yield _to_int16(stream.resample_chunk(rest, last=True))


def _mixed(block: Block, channels: int) -> Block:
    if block.shape[1] == channels:
        return np.ascontiguousarray(block)
    mono = block.mean(axis=1, dtype=np.float32)[:, None]
    return np.ascontiguousarray(np.repeat(mono, channels, axis=1))


def _to_int16(block: Block) -> Samples:
    samples: Samples = np.rint(np.clip(block, -1.0, 1.0) * FULL_SCALE).astype(np.int16)
    return samples


def _gathered(parts: Iterator[Samples], expected: int, media: MediaFormat) -> tuple[Samples, int]:
    """The parts one after the other, zeros after them for more than a unit, and their length.

    Put where they belong as they come: a list of them would take as much memory again.
    """
    spare = BLOCK_FRAMES + media.samples_per_unit
    samples, count = _silence(expected + spare, media), 0
    for part in parts:
        if count + len(part) + spare > len(samples):  # the header has told of less
            samples = np.concatenate((samples, _silence(len(samples) + len(part), media)))
        samples[count : count + len(part)] = part
        count += len(part)
    return samples, count


def _silence(count: int, media: MediaFormat) -> Samples:
    """Memory that is not touched costs nothing."""
    return np.zeros((count, media.audio_channels), np.int16)
