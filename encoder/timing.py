"""The fixed arithmetic of one stream: decided once at its start, never changed (rules 4, 22-25).

Parts are whole frames, segments are whole GOPs, a GOP is whole parts. Every boundary is a frame
ordinal, so nothing is ever rounded twice. Exact values are integers and :class:`Fraction`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from encoder.sound import AAC, SoundCodec

# Rule 23: a part that is not the last of its segment lasts at least this share of the part target.
SHORTEST_PART = Fraction(85, 100)
# MPEG's usual 90 kHz; exact for every whole frame rate that divides it, see `_video_timescale`.
VIDEO_TIMESCALE_HZ = 90_000


@dataclass(frozen=True)
class TrackTiming:
    """Where the parts and segments of one rendition end, counted in its own frames.

    A frame is one picture, or one packet of sound: 1024 samples of AAC, 960 of Opus.
    """

    timescale_hz: int
    frame_ticks: int
    part_frames: int
    segment: Fraction  # wished length in frames; need not be whole for sound

    @cached_property
    def frame_seconds(self) -> Fraction:
        """Exact duration of one frame."""
        return Fraction(self.frame_ticks, self.timescale_hz)

    @cached_property
    def part_seconds(self) -> Fraction:
        """Exact duration of a full part."""
        return self.part_frames * self.frame_seconds

    def segment_start(self, index: int) -> int:
        """Ordinal of the first frame of the segment with that index (0, 1, ...).

        The nearest frame to the ideal instant: sound stays within half a packet of the picture.
        """
        return math.floor(self.segment * index + Fraction(1, 2))


@dataclass(frozen=True)
class Timing:
    """The arithmetic of a stream. Build it with :func:`plan`."""

    fps: int
    video: TrackTiming
    audio: TrackTiming
    low_latency: bool

    @cached_property
    def segment_frames(self) -> int:
        """Pictures in a segment, which is one closed GOP."""
        return int(self.video.segment)

    @cached_property
    def segment_seconds(self) -> Fraction:
        """Exact duration of a video segment."""
        return Fraction(self.segment_frames, self.fps)

    @cached_property
    def target_duration(self) -> int:
        """EXT-X-TARGETDURATION: no EXTINF rounds to more (rule 4), at least 1."""
        longest = self.segment_seconds + self.audio.frame_seconds
        return max(1, math.floor(longest + Fraction(1, 2)))

    @cached_property
    def part_target(self) -> Fraction:
        """PART-TARGET, common to all renditions (rules 22, 24, 46), in whole milliseconds."""
        return _part_target(max(self.video.part_seconds, self.audio.part_seconds))

    @cached_property
    def part_hold_back(self) -> Fraction:
        """PART-HOLD-BACK: three part targets (rule 25)."""
        return 3 * self.part_target

    @cached_property
    def can_skip_until(self) -> int:
        """CAN-SKIP-UNTIL: six target durations (rule 25)."""
        return 6 * self.target_duration

    @cached_property
    def hold_back(self) -> int:
        """HOLD-BACK: three target durations (rule 25)."""
        return 3 * self.target_duration


def plan(
    *,
    fps: int,
    audio_rate_hz: int,
    part_seconds: float | None,
    segment_seconds: float,
    sound: SoundCodec = AAC,
) -> Timing:
    """Fit whole frames to the wished lengths.

    Args:
        fps: pictures a second, 1 to 60.
        audio_rate_hz: samples a second of the sound.
        part_seconds: wished length of a video part; None: plain HLS, a part is a whole segment.
        segment_seconds: wished length of a segment.
        sound: codec of the sound.
    """
    low_latency = part_seconds is not None
    wished_part = Fraction(str(part_seconds if low_latency else segment_seconds))
    packet = Fraction(sound.frame_samples, audio_rate_hz)
    part_frames, audio_part_frames = _part_frames(max(1, round(wished_part * fps)), fps, packet)
    segment_parts = max(1, round(Fraction(str(segment_seconds)) * fps / part_frames))
    segment_frames = segment_parts * part_frames
    scale = _video_timescale(fps)
    return Timing(
        fps=fps,
        low_latency=low_latency,
        video=TrackTiming(scale, scale // fps, part_frames, Fraction(segment_frames)),
        audio=TrackTiming(
            audio_rate_hz,
            sound.frame_samples,
            audio_part_frames,
            Fraction(segment_frames, fps) / packet,
        ),
    )


def _part_frames(wished: int, fps: int, packet: Fraction) -> tuple[int, int]:
    """Pictures and packets of sound in a part, so that one PART-TARGET fits both renditions (23).

    Fewer packets keep the part target at the video part, and with it the latency; one more
    sets the target itself. Where packets are long (a low sample rate) and neither fits, the
    video part grows.
    """
    video = wished
    while True:
        seconds = Fraction(video, fps)
        fewer = math.floor(seconds / packet)
        for audio in (fewer, fewer + 1):
            shortest, longest = sorted((seconds, audio * packet))
            if shortest >= SHORTEST_PART * _part_target(longest):
                return video, audio
        video += 1


def _part_target(longest: Fraction) -> Fraction:
    return Fraction(math.ceil(longest * 1000), 1000)


def _video_timescale(fps: int) -> int:
    if VIDEO_TIMESCALE_HZ % fps == 0:
        return VIDEO_TIMESCALE_HZ
    return fps * math.ceil(VIDEO_TIMESCALE_HZ / fps)
