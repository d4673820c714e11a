"""Samples of MP4 as MPEG-TS carries them: AVC with start codes, AAC with ADTS headers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from encoder.boxes import Box
from encoder.codecs import audio_specific_config, avc_decoder_config
from encoder.errors import BadBox

_START = b"\0\0\0\1"
_IDR, _SPS, _PPS, _DELIMITER = 5, 7, 8, 9
# Access unit delimiter: primary_pic_type 7, any slice type, and the stop bit.
_ACCESS_UNIT = _START + b"\x09\xf0"
ADTS_BYTES = 7
_LONGEST_ADTS_FRAME = 2**13 - 1


def nal_units(sample: bytes) -> Iterator[bytes]:
    """The NAL units of a sample with 4-byte lengths."""
    at = 0
    while at + 4 < len(sample):
        size = int.from_bytes(sample[at : at + 4], "big")
        yield sample[at + 4 : at + 4 + size]
        at += 4 + size


def parameter_sets(moov: Box) -> bytes:
    """SPS and PPS of an avcC, with start codes.

    Raises:
        BadBox: not avc1, or cut short.
    """
    config = avc_decoder_config(moov)
    config.require(6)
    data, at, sets = bytes(config.payload), 5, []
    if data[4] & 3 != 3:
        raise BadBox("avcC", config.offset, "has NAL lengths of less than four bytes")
    for mask in (0x1F, 0xFF):  # first SPS, then PPS
        config.require(at + 1)
        count, at = data[at] & mask, at + 1
        for _ in range(count):
            config.require(at + 2)
            start, end = at + 2, at + 2 + int.from_bytes(data[at : at + 2], "big")
            config.require(end)
            sets.append(_START + data[start:end])
            at = end
    return b"".join(sets)


def annex_b(sample: bytes, sets: bytes) -> bytes:
    """An access unit: delimiter, at an IDR its parameter sets, and the rest."""
    units = [unit for unit in nal_units(sample) if unit]
    kinds = {unit[0] & 0x1F for unit in units}
    # They are written anew: an encoder that repeats them in-band would have them twice.
    kept = [unit for unit in units if unit[0] & 0x1F not in (_SPS, _PPS, _DELIMITER)]
    head = _ACCESS_UNIT + (sets if _IDR in kinds else b"")
    return head + b"".join(_START + unit for unit in kept)


@dataclass(frozen=True, slots=True)
class Adts:
    """The fixed part of ADTS headers (ISO/IEC 13818-7, 6.2)."""

    profile: int  # audio object type less one
    rate_index: int
    channels: int

    @classmethod
    def read(cls, moov: Box) -> Adts:
        """Of an AudioSpecificConfig.

        Raises:
            BadBox: not mp4a, or a config that ADTS cannot tell.
        """
        config = audio_specific_config(moov)
        bits = int.from_bytes(config[:2].ljust(2, b"\0"), "big")
        kind, rate_index, channels = bits >> 11, bits >> 7 & 15, bits >> 3 & 15
        if not (1 <= kind <= 4 and rate_index < 13 and 1 <= channels <= 7):
            raise BadBox("esds", 0, f"has a config that ADTS cannot tell: {config.hex()}")
        return cls(kind - 1, rate_index, channels)

    def frame(self, sample: bytes) -> bytes:
        """A frame with its header.

        Raises:
            BadBox: it is too long for one.
        """
        length = ADTS_BYTES + len(sample)
        if length > _LONGEST_ADTS_FRAME:
            raise BadBox("mdat", 0, f"has an AAC frame of {len(sample)} bytes")
        bits = 0xFFF1 << 40  # sync word, MPEG-4, no CRC
        bits |= self.profile << 38 | self.rate_index << 34 | self.channels << 30
        bits |= length << 13 | 0x7FF << 2  # buffer fullness: variable rate; one block
        return bits.to_bytes(ADTS_BYTES, "big") + sample
