"""Sound that comes in its own time, for a face that takes a unit of it at each tick of the clock.

A jitter buffer: so much is gathered before anything is heard, and what comes late by no more than
that leaves no gap. A gap begins and ends softly, and a jump over what came too late is no click.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np

from inference.line import FADE_SECONDS, faded_out
from rawmedia import MediaFormat, Samples

# Beyond the depth; more is delay that nobody asked for: after a stall of the network, or from a
# sender whose clock is the faster one. Then what is oldest goes, down to the depth.
SLACK_SECONDS = 0.2
# soxr's "LQ" (16 bits, up to 80 % of the band) holds back 6 ms at 16 kHz, "HQ" 21 to 40: it hands
# out larger pieces. Nobody hears the difference in a voice, and everybody hears delay.
QUALITY = "LQ"


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a speaker's sound; seconds of it."""

    heard: float = 0.0
    underruns: int = 0  # gaps, because sound came too late
    silent: float = 0.0  # that these lasted
    dropped: float = 0.0  # that came too late to be heard


class Converter:
    """s16le mono at any rate, as samples of a stream.

    Args:
        rate_hz: of what comes.
        media: rate and channels of what is wanted.
    """

    def __init__(self, rate_hz: int, media: MediaFormat) -> None:
        self._channels = media.audio_channels
        self._stream = None
        if rate_hz != media.audio_rate_hz:
            import soxr

            self._stream = soxr.ResampleStream(
                rate_hz, media.audio_rate_hz, 1, "int16", quality=QUALITY
            )

    def convert(self, data: bytes) -> Samples:
        """What has come so far of the next samples; ``data`` has whole ones."""
        mono = np.frombuffer(data, "<i2").reshape(-1, 1)
        if self._stream is not None:
            mono = self._stream.resample_chunk(np.ascontiguousarray(mono, np.int16))
        samples: Samples = np.repeat(mono, self._channels, axis=1).astype(np.int16)
        return samples


class LiveSound:
    """The jitter buffer of one speaker; one thread gives, another takes.

    Args:
        media: rate and channels.
        depth_seconds: that are gathered before it begins, and after each gap.
    """

    def __init__(self, media: MediaFormat, depth_seconds: float) -> None:
        self._rate_hz = media.audio_rate_hz
        self._depth = max(media.samples_per_unit, round(depth_seconds * self._rate_hz))
        slack = max(2 * media.samples_per_unit, round(SLACK_SECONDS * self._rate_hz))
        self._most = self._depth + slack
        self._fade = round(FADE_SECONDS * self._rate_hz)
        self._data: Samples = np.zeros((0, media.audio_channels), np.int16)
        self._lock = threading.Lock()
        self._is_filling = True
        self._is_over = False
        self.account = Account()

    @property
    def is_ready(self) -> bool:
        """Whether it can begin."""
        with self._lock:
            return len(self._data) >= self._depth or (self._is_over and len(self._data) > 0)

    @property
    def is_over(self) -> bool:
        """Whether nothing is to come and nothing is left."""
        with self._lock:
            return self._is_over and not len(self._data)

    def add(self, samples: Samples) -> None:
        """What the speaker said next."""
        with self._lock:
            self._data = np.concatenate((self._data, samples))
            if len(self._data) > self._most:
                self._drop(len(self._data) - self._depth)

    def finish(self) -> None:
        """Nothing more will come; what is there is still to be heard."""
        with self._lock:
            self._is_over = True

    def take(self, count: int) -> Samples:
        """So many samples; silence where there are none."""
        with self._lock:
            begins = self._is_filling and (self._is_over or len(self._data) >= self._depth)
            if self._is_filling and not begins:
                self._count(silent=count)
                return np.zeros((count, self._data.shape[1]), np.int16)
            # Of what is handed out whole a little stays, so that a gap after it can begin softly.
            ends = len(self._data) < count + self._fade
            taken = _padded(self._data[:count], count, self._fade if ends else 0)
            if begins:
                taken[: self._fade] = faded_out(taken[: self._fade][::-1], self._rate_hz)[::-1]
            found = min(count, len(self._data))
            self._data = self._data[count:]
            self._is_filling = ends
            late = ends and not self._is_over
            self._count(heard=found, silent=count - found if late else 0, underruns=int(late))
            return taken

    def ahead(self, count: int) -> Samples:
        """What follows, up to so many samples; they stay."""
        with self._lock:
            return self._data[:count]

    def _drop(self, count: int) -> None:
        fade = min(self._fade, len(self._data) - count)
        before = faded_out(self._data[:fade], self._rate_hz).astype(np.int32)
        after = faded_out(self._data[count : count + fade][::-1], self._rate_hz)[::-1]
        joined = np.clip(before + after, -32768, 32767).astype(np.int16)
        self._data = np.concatenate((joined, self._data[count + fade :]))
        self._count(dropped=count)

    def _count(
        self, *, heard: int = 0, silent: int = 0, dropped: int = 0, underruns: int = 0
    ) -> None:
        was, rate_hz = self.account, self._rate_hz
        self.account = replace(
            was,
            heard=was.heard + heard / rate_hz,
            silent=was.silent + silent / rate_hz,
            dropped=was.dropped + dropped / rate_hz,
            underruns=was.underruns + underruns,
        )


def _padded(samples: Samples, count: int, fade: int) -> Samples:
    """So many of them, silence after them; their last ones softly, if that is wished."""
    padded = np.zeros((count, samples.shape[1]), np.int16)
    padded[: len(samples)] = samples
    first = max(0, len(samples) - fade)
    if fade and len(samples):
        ramp = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, len(samples) - first + 1) / fade)
        padded[first : len(samples)] = np.rint(samples[first:] * ramp[:, None])
    return padded
