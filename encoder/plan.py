"""What the settings make of a stream: decided before it starts, the same in every process."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from config import Settings
from encoder.archive import archive_bound_bytes
from encoder.ladder import Rung, plan_ladder
from encoder.packager import disk_bound_bytes
from encoder.timing import Timing, plan
from rawmedia import MediaFormat


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The fixed properties of a stream."""

    media: MediaFormat
    timing: Timing
    rungs: tuple[Rung, ...]
    bound_bytes: int  # the most it may hold in the media root
    listed_segments: int  # complete segments in a playlist
    archived_segments: int = 0  # those of them whose files are in the disk folder
    archive_bound_bytes: int = 0  # the most it may hold there


def plan_stream(settings: Settings) -> StreamPlan:
    """Derive the plan.

    Raises:
        FormatError: a size or rate that no stream can have.
        ImpossibleLadder: rungs that do not fit the source.
    """
    media = MediaFormat(**settings.media_fields)
    timing = plan(
        fps=settings.fps,
        audio_rate_hz=settings.audio_rate_hz,
        part_seconds=settings.part_seconds,
        segment_seconds=settings.segment_seconds,
    )
    rungs = plan_ladder(settings.ladder, media, settings.video_kbit)
    rates = [rung.kbit for rung in rungs]
    live = settings.window_segments
    listed = max(live, math.ceil(Fraction(str(settings.dvr_seconds)) / timing.segment_seconds))
    if not settings.disk_folder:
        live = listed
    archived = listed - live
    bound = disk_bound_bytes(timing, live, rates, settings.audio_kbit, archived)
    on_disk = archive_bound_bytes(timing, listed, rates, settings.audio_kbit) if archived else 0
    return StreamPlan(media, timing, rungs, bound, listed, archived, on_disk)
