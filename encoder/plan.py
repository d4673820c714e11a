"""What the settings make of a stream: decided before it starts, the same in every process."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from config import AVATAR, NO_CAPTIONS, Settings
from encoder.archive import archive_bound_bytes
from encoder.errors import ImpossibleFormat
from encoder.ladder import Rung, plan_ladder
from encoder.packager import disk_bound_bytes, longest_captions_bytes
from encoder.sound import SOUND_CODECS, SoundCodec
from encoder.timing import Timing, plan
from encoder.transport import ts_disk_bound_bytes
from rawmedia import MediaFormat

# BCP 47, as far as LANGUAGE needs it: en, pt-BR, zh-Hant-TW.
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The fixed properties of a stream."""

    media: MediaFormat
    timing: Timing
    rungs: tuple[Rung, ...]
    sound: SoundCodec
    bound_bytes: int  # the most it may hold in the media root
    listed_segments: int  # complete segments in a playlist
    archived_segments: int = 0  # those of them whose files are in the disk folder
    archive_bound_bytes: int = 0  # the most it may hold there
    captions: str = ""  # their language; empty: it has none


def plan_stream(settings: Settings) -> StreamPlan:
    """Derive the plan.

    Raises:
        FormatError: a size or rate that no stream can have.
        ImpossibleLadder: rungs that do not fit the source.
        ImpossibleFormat: settings that do not go together.
    """
    sound = SOUND_CODECS[settings.audio_codec]
    if sound.rates_hz and settings.audio_rate_hz not in sound.rates_hz:
        possible = " or ".join(map(str, sound.rates_hz))
        have = f"audio_rate_hz {settings.audio_rate_hz} with audio_codec {sound.name}"
        raise ImpossibleFormat(have, f"set audio_rate_hz to {possible}")
    media = MediaFormat(**settings.media_fields)
    timing = plan(
        fps=settings.fps,
        audio_rate_hz=settings.audio_rate_hz,
        part_seconds=settings.part_seconds,
        segment_seconds=settings.segment_seconds,
        sound=sound,
    )
    rungs = plan_ladder(settings.ladder, media, settings.video_kbit)
    rates = [rung.kbit for rung in rungs]
    live = settings.window_segments
    listed = max(live, math.ceil(Fraction(str(settings.dvr_seconds)) / timing.segment_seconds))
    if not settings.disk_folder:
        live = listed
    archived = listed - live
    captions = captions_language(settings)
    bound = disk_bound_bytes(
        timing, live, rates, settings.audio_kbit, archived, captions=bool(captions)
    )
    if settings.mpegts:
        _require_transportable(settings)
        muxed = settings.window_segments
        bound += ts_disk_bound_bytes(timing, muxed, rates, settings.audio_kbit)
    on_disk = 0
    if archived:
        _part, captions_bytes = longest_captions_bytes(timing) if captions else (0, 0)
        on_disk = archive_bound_bytes(timing, listed, rates, settings.audio_kbit, captions_bytes)
    return StreamPlan(media, timing, rungs, sound, bound, listed, archived, on_disk, captions)


def captions_language(settings: Settings) -> str:
    """The language of the captions; none where nobody can be spoken through: they cost a playlist.

    Raises:
        ImpossibleFormat: it is no language.
    """
    language = settings.captions
    if language != NO_CAPTIONS and not _LANGUAGE.fullmatch(language):
        raise ImpossibleFormat(
            f"captions {language[:80]!r}", "give a language, such as en, or none"
        )
    return language if settings.source == AVATAR and language != NO_CAPTIONS else ""


def _require_transportable(settings: Settings) -> None:
    """MPEG-TS is for old players, which know one codec for each."""
    for name, value, wanted in (
        ("video_codec", settings.video_codec, "h264"),
        ("audio_codec", settings.audio_codec, "aac"),
    ):
        if value != wanted:
            raise ImpossibleFormat(f"mpegts with {name} {value}", f"set {name} to {wanted}")
