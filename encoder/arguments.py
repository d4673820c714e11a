"""The one ffmpeg command of a stream: two raw inputs, one fragmented MP4 pipe per rendition.

ffmpeg-python compiles the argv; its helpers that run ffmpeg are not used (they open pipes that
nobody drains).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ffmpeg

from encoder.candidate import Candidate, RateControl
from encoder.candidates import video_arguments, video_filter
from encoder.fragments import TIMESTAMP_OFFSET_SECONDS
from encoder.ladder import Rung
from encoder.sound import AAC, SoundCodec
from encoder.timing import Timing
from rawmedia import MediaFormat

# One moof per frame; the packager merges them into parts. Reasons, flag by flag:
_MOVFLAGS = "".join(
    (
        "+cmaf",  # empty moov, default-base-is-moof, no edit list, negative CTS by trun v1
        "+frag_every_frame",  # a frame leaves when it is encoded, not when a GOP is full
        "+frag_discont",  # keep the first tfdt: cmaf alone sets it to 0 and loses the AV offset
        "+skip_trailer",  # else an mfra box appears at the end
    )
)


@dataclass(frozen=True, slots=True)
class Pipes:
    """The descriptors as the child sees them."""

    video_in: int
    audio_in: int
    video_out: tuple[int, ...]  # one for each rung of the ladder
    audio_out: int


def compile_argv(
    binary: str,
    candidate: Candidate,
    media: MediaFormat,
    timing: Timing,
    *,
    rungs: Sequence[Rung],
    audio_kbit: int,
    sound_codec: SoundCodec = AAC,
    pipes: Pipes,
    first_frame: int = 0,
    ahead: Sequence[int] = (),
) -> list[str]:
    """The argv of a stream's ffmpeg child.

    Args:
        binary: path of ffmpeg.
        candidate: the video encoder.
        media: what comes in.
        timing: the stream's arithmetic.
        rungs: the renditions of the picture.
        audio_kbit: rate of the sound.
        sound_codec: and its codec.
        pipes: descriptors for ``pipe:N``.
        first_frame: ordinal of the run's first frame in the stream; keeps IDRs on the grid when
            an encoder is replaced in mid-segment.
        ahead: frames that each rung has published beyond ``first_frame``; the first one it will
            use must be an IDR.
    """
    picture = ffmpeg.input(f"pipe:{pipes.video_in}", **_video_input(media))
    sound = ffmpeg.input(f"pipe:{pipes.audio_in}", **_audio_input(media))
    videos = [
        ffmpeg.output(
            scaled,
            f"pipe:{pipe}",
            fps_mode="passthrough",  # one frame out for each in: parts are counted in frames
            video_track_timescale=timing.video.timescale_hz,  # whole ticks per frame
            **_encode(candidate, rung.kbit, timing, first_frame, skipped),
            **_fragmented_mp4(),
        )
        for scaled, pipe, rung, skipped in zip(
            _scaled(picture.video, candidate, media, rungs),
            pipes.video_out,
            rungs,
            ahead or [0] * len(rungs),
            strict=True,
        )
    ]
    heard = sound.audio.filter("asetrate", media.audio_rate_hz)
    if sound_codec.delay_samples:
        heard = heard.filter("adelay", f"{sound_codec.delay_samples}S", all=1)
    audio = ffmpeg.output(
        heard,
        f"pipe:{pipes.audio_out}",
        **{"c:a": sound_codec.encoder, "b:a": f"{audio_kbit}k"},
        **sound_codec.options,
        **_fragmented_mp4(),
    )
    command = ffmpeg.merge_outputs(*videos, audio).global_args(
        "-hide_banner",
        "-nostdin",  # else ffmpeg reads the terminal and stops on a stray q
        "-loglevel",
        "warning",  # every line is worth a line in our log
        *candidate.global_arguments,
    )
    argv: list[str] = ffmpeg.compile(command, cmd=binary)
    return argv


def _encode(
    candidate: Candidate, kbit: int, timing: Timing, first_frame: int, ahead: int
) -> dict[str, object]:
    gop = timing.segment_frames
    options = video_arguments(candidate, RateControl.constant(kbit), gop, timing.fps)
    offset = first_frame % gop
    if offset or ahead:
        at_resume = f"+eq(n,{ahead})" if ahead else ""
        options["force_key_frames"] = f"expr:not(mod(n+{offset},{gop})){at_resume}"
    return options


def _scaled(
    picture: Any, candidate: Candidate, media: MediaFormat, rungs: Sequence[Rung]
) -> list[Any]:
    """The picture for each rung: converted once, split, and only then made smaller."""
    colours, upload, _ = video_filter(candidate).partition(",hwupload")
    converted = _apply(picture, colours)
    branches = converted.split() if len(rungs) > 1 else [converted]
    streams = []
    for place, rung in enumerate(rungs):
        stream = branches[place]
        if (rung.width, rung.height) != (media.width, media.height):
            stream = stream.filter("scale", rung.width, rung.height, flags="bicubic")
        streams.append(stream.filter("hwupload") if upload else stream)
    return streams


def _apply(stream: Any, chain: str) -> Any:
    """A filter chain in ffmpeg's own notation, as nodes of ffmpeg-python."""
    for step in chain.split(","):
        name, _, options = step.partition("=")
        named = dict(option.partition("=")[::2] for option in options.split(":") if "=" in option)
        bare = [option for option in options.split(":") if option and "=" not in option]
        stream = stream.filter(name, *bare, **named)
    return stream


def _video_input(media: MediaFormat) -> dict[str, object]:
    return {
        "format": "rawvideo",
        "pixel_format": "bgr24",
        "video_size": (media.width, media.height),
        "framerate": media.fps,  # not -r, which would drop or repeat frames
        "thread_queue_size": 2,  # frames waiting inside ffmpeg are latency nobody sees
    }


def _slowdown(rate_hz: int) -> int:
    """By how much the sound's rate is understated to ffmpeg's reader; asetrate sets it right.

    The reader takes a tenth of a second at a time, rounded down to a power of two: 4096 samples at
    48 kHz, so that sound parts would leave in bursts (rule 20). At a quarter of the rate it takes
    1024, one AAC frame.
    """
    return 4 if rate_hz % 4 == 0 else 1


def _audio_input(media: MediaFormat) -> dict[str, object]:
    return {
        "format": "s16le",
        "sample_rate": media.audio_rate_hz // _slowdown(media.audio_rate_hz),
        "ch_layout": "mono" if media.audio_channels == 1 else "stereo",
        "probesize": 4096,  # else it waits for 54 kB of PCM while the video pipe is full
        "analyzeduration": 0,  # raw PCM has nothing to analyse
        "thread_queue_size": 64,  # sound is small; it must never wait for picture
    }


def _fragmented_mp4() -> dict[str, object]:
    return {
        "format": "mp4",
        "movflags": _MOVFLAGS,
        # AAC priming lies before the first sample: a negative time would wrap to 2^64 - 1024.
        "output_ts_offset": TIMESTAMP_OFFSET_SECONDS,
        # The muxer's interleaving buffer has one track and nothing to wait for.
        "flush_packets": 1,
    }
