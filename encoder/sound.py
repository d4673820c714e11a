"""The codecs of the sound: AAC, which everything plays, and Opus.

A codec's packets are frames of a fixed number of samples, and the first of them is made before
the first sample: what it decodes to is the encoder's own start (priming, or pre-skip), and lies
before time zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class SoundCodec:
    """One audio codec, as ffmpeg encodes it."""

    name: str  # a value of the setting `audio_codec`
    encoder: str
    frame_samples: int
    priming_samples: int  # by how much the first packet lies before the first sample
    warm_up_frames: int  # a decoder that begins here sounds right after so many
    rates_hz: tuple[int, ...]  # that it can be had at; empty: any
    saved_up_seconds: Fraction  # of its rate: what a silence saves up for a loud moment
    options: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def delay_samples(self) -> int:
        """Silence to put before the sound, so that packets begin at whole frames of it (59)."""
        return -self.priming_samples % self.frame_samples


AAC = SoundCodec(
    name="aac",
    encoder="aac",
    frame_samples=1024,
    priming_samples=1024,
    warm_up_frames=2,  # the first ones of a new encoder are not yet the real sound
    rates_hz=(),
    # ffmpeg's encoder holds an average: noise behind a silence took 137 % of the rate over 2 s and
    # 174 % over 1 s, steady noise 102 %.
    saved_up_seconds=Fraction(4, 5),
)
OPUS = SoundCodec(
    name="opus",
    encoder="libopus",
    frame_samples=960,
    priming_samples=312,  # look-ahead of libopus at 48 kHz; dOps says the same
    warm_up_frames=4,  # RFC 7845, 4.6: 80 ms
    rates_hz=(48_000,),  # the clock of Opus in MP4, whatever the source had
    saved_up_seconds=Fraction(),  # every packet has the same size
    options=MappingProxyType(
        {
            "vbr": "off",  # free, it may take twice the rate for seconds
            "frame_duration": 20,  # ms; 0.2 s parts are then ten packets
            "application": "audio",  # the source may be music too
        }
    ),
)
SOUND_CODECS = {codec.name: codec for codec in (AAC, OPUS)}
