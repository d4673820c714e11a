"""What an encoder of ffmpeg is to us, and the bit rate it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# SVT-AV1 tells its configuration on stderr, whatever -loglevel says; 1: errors only.
ENVIRONMENT = {"SVT_LOG": "1"}


@dataclass(frozen=True, slots=True)
class RateControl:
    """A bit rate: what to aim at, the most the buffer may be filled with, and its size."""

    video_kbit: int
    max_kbit: int
    buffer_kbit: int

    @classmethod
    def constant(cls, kbit: int) -> RateControl:
        """A near constant rate.

        A segment of 2 s can hold at most ``2 * max + buffer``. A buffer of 0.4 s keeps that at
        120 % of the rate; Apple allows 125 %.
        """
        return cls(kbit, kbit, max(1, kbit * 2 // 5))


@dataclass(frozen=True, slots=True)
class Candidate:
    """One encoder of ffmpeg and all that differs between it and the others."""

    name: str
    hardware: bool
    platforms: tuple[str, ...]  # values of sys.platform; empty: everywhere
    needs: str  # what must be installed for it, for the reader of an error
    pixels: str  # end of the filter chain: the pixel format it takes, and the way there
    own: Mapping[str, object] = field(hash=False)  # its own low-latency flags
    # For the whole ffmpeg command: the device that the filter uploads to.
    global_arguments: tuple[str, ...] = ()
    codec: str = "h264"  # a value of the setting `video_codec`


def flags(**values: object) -> Mapping[str, object]:
    """Options of one encoder, read-only."""
    return MappingProxyType(values)
