"""Sound of this machine for a camera: ffmpeg reads ALSA or PulseAudio, the newest sound wins."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Sequence

import numpy as np

from inference.devices import Backoff, Device, Devices, Outside
from inference.errors import MicrophoneUnreadable, UnknownMicrophone
from inference.ffmpeg import Decoder, find_decoder, input_devices, sound_format
from logs import event
from rawmedia import MediaFormat, Samples

# What is held back so that a late piece is no gap; gaps begin anew with it.
DEPTH_SECONDS = 0.12
# More never waits: what is oldest goes, down to the depth. The clocks of sound cards are no clocks
# of ours, so one of the two, once in many minutes, is needed.
MOST_SECONDS = 0.32
# 20 ms as ffmpeg asks for it: 48 kHz, two channels, 16 bits.
PULSE_PIECE_BYTES = 3840
_DEVICE = re.compile(r"(alsa|pulse):([\w.,:=@+-]{1,200})")

log = logging.getLogger(__name__)


class Microphone:
    """The newest sound of a device, in the stream's rate and channels; silence while there is none.

    Args:
        name: ``alsa:DEVICE`` or ``pulse:DEVICE``, as ffmpeg's inputs call it, such as
            ``alsa:default``.
        media: rate and channels count.
        ffmpeg: the setting.
        watched: where it is told whether the microphone is there.

    Raises:
        UnknownMicrophone: it is called otherwise.
        DecoderMissing: there is no ffmpeg.
    """

    def __init__(
        self, name: str, media: MediaFormat, ffmpeg: str, watched: Device | None = None
    ) -> None:
        self._name = name
        self._watched = watched or Devices(Outside()).add("microphone", name)
        self._argv = microphone_argv(find_decoder(ffmpeg), name, media)
        self._jitter = JitterBuffer(media)
        self._ended = threading.Event()
        self._decoder: Decoder | None = None
        self._thread = threading.Thread(target=self._read_for_ever, name="microphone", daemon=True)
        self._thread.start()

    def fill(self, samples: Samples) -> None:
        """Fill a unit's samples; silence where the device gives none."""
        self._watched.look()
        self._jitter.take(samples)

    def close(self) -> None:
        """Let go of the device."""
        self._ended.set()
        if self._decoder is not None:
            self._decoder.kill()
        self._thread.join(1.0)

    def _read_for_ever(self) -> None:
        backoff = Backoff()
        while not self._ended.is_set():
            began = time.monotonic()
            heard, status = self._read_once()
            if self._ended.is_set():
                return
            self._watched.lacks(f"its ffmpeg ended with status {status}")
            wait = backoff.after(time.monotonic() - began if heard else 0.0)
            facts = {"device": self._name, "status": status, "retry_in_seconds": wait}
            event(log, "microphone_lost", level=logging.WARNING, **facts)
            self._ended.wait(wait)

    def _read_once(self) -> tuple[int, int]:
        """Read until the device fails: the bytes it gave, and the status of its ffmpeg."""
        heard = 0
        self._decoder = Decoder(self._argv)
        while data := self._decoder.read_some(1 << 14):
            heard += len(data)
            self._watched.gives()
            self._jitter.add(data)
        return heard, self._decoder.close()


class JitterBuffer:
    """A few hundredths of a second of sound between who gives it and who takes it by the clock."""

    def __init__(self, media: MediaFormat) -> None:
        self._frame_bytes = 2 * media.audio_channels
        second = media.audio_rate_hz * self._frame_bytes
        unit = media.samples_bytes
        self._depth = max(unit, round(DEPTH_SECONDS * second))
        self._most = max(3 * unit, round(MOST_SECONDS * second))
        self._data = bytearray()
        self._filling = True
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        """Interleaved s16 samples, of any length."""
        with self._lock:
            self._data += data
            surplus = len(self._data) - self._most
            if surplus > 0:
                drop = len(self._data) - self._depth
                del self._data[: drop - drop % self._frame_bytes]

    def take(self, samples: Samples) -> None:
        """Fill a unit's samples, with silence until there is the depth again."""
        with self._lock:
            if self._filling and len(self._data) >= self._depth:
                self._filling = False
            if self._filling or len(self._data) < samples.nbytes:
                self._filling = True
                samples[:] = 0
                return
            taken = bytes(self._data[: samples.nbytes])
            del self._data[: samples.nbytes]
        samples[:] = np.frombuffer(taken, np.int16).reshape(samples.shape)


def check_microphone(name: str, ffmpeg: str) -> None:
    """See that a microphone is named as one, and that the ffmpeg of the settings could read it.

    Raises:
        UnknownMicrophone, MicrophoneUnreadable, DecoderMissing: it is not, or could not.
    """
    _check_name(name)
    kind, program = name.partition(":")[0], find_decoder(ffmpeg)
    if kind not in input_devices(program):
        raise MicrophoneUnreadable(kind, program)


def _check_name(name: str) -> None:
    if not _DEVICE.fullmatch(name):
        raise UnknownMicrophone(name)


def microphone_argv(ffmpeg: str, name: str, media: MediaFormat) -> Sequence[str]:
    """argv of the child that reads a device.

    Raises:
        UnknownMicrophone: it is called otherwise than ``alsa:DEVICE`` or ``pulse:DEVICE``.
    """
    _check_name(name)
    kind, _, device = name.partition(":")
    quiet = ("-nostdin", "-hide_banner", "-v", "error")
    # Without these two ffmpeg listens for seconds before it gives the first sound.
    soon = ("-fflags", "nobuffer", "-probesize", "32")
    # PulseAudio would hand over two seconds at a time.
    pieces = ("-fragment_size", str(PULSE_PIECE_BYTES)) if kind == "pulse" else ()
    inputs = (*quiet, *soon, "-f", kind, *pieces, "-i", device)
    return [ffmpeg, *inputs, *sound_format(media), "-flush_packets", "1", "-"]
