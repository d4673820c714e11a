"""The one ffmpeg command of a stream: two raw inputs, one fragmented MP4 pipe per rendition.

ffmpeg-python compiles the argv; its helpers that run ffmpeg are not used (they open pipes that
nobody drains).
"""

from __future__ import annotations

from dataclasses import dataclass

import ffmpeg

from encoder.candidates import (
    Candidate,
    RateControl,
    global_arguments,
    video_arguments,
    video_filter,
)
from encoder.fragments import TIMESTAMP_OFFSET_SECONDS
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
    video_out: int
    audio_out: int


def compile_argv(
    binary: str,
    candidate: Candidate,
    media: MediaFormat,
    timing: Timing,
    *,
    video_kbit: int,
    audio_kbit: int,
    pipes: Pipes,
    first_frame: int = 0,
) -> list[str]:
    """The argv of a stream's ffmpeg child.

    Args:
        binary: path of ffmpeg.
        candidate: the video encoder.
        media: what comes in.
        timing: the stream's arithmetic.
        video_kbit: average and maximum rate of the picture.
        audio_kbit: rate of the sound.
        pipes: descriptors for ``pipe:N``.
        first_frame: ordinal of the run's first frame in the stream; keeps IDRs on the grid when
            an encoder is replaced in mid-segment.
    """
    picture = ffmpeg.input(f"pipe:{pipes.video_in}", **_video_input(media))
    sound = ffmpeg.input(f"pipe:{pipes.audio_in}", **_audio_input(media))
    encode = video_arguments(
        candidate, RateControl.constant(video_kbit), timing.segment_frames, timing.fps
    )
    offset = first_frame % timing.segment_frames
    if offset:
        encode["force_key_frames"] = f"expr:not(mod(n+{offset},{timing.segment_frames}))"
    video = ffmpeg.output(
        picture.video,
        f"pipe:{pipes.video_out}",
        vf=video_filter(candidate),
        fps_mode="passthrough",  # one frame out for each in: parts are counted in frames
        video_track_timescale=timing.video.timescale_hz,  # whole ticks per frame
        **encode,
        **_fragmented_mp4(),
    )
    audio = ffmpeg.output(
        sound.audio,
        f"pipe:{pipes.audio_out}",
        **{"c:a": "aac", "b:a": f"{audio_kbit}k"},
        **_fragmented_mp4(),
    )
    command = ffmpeg.merge_outputs(video, audio).global_args(
        "-hide_banner",
        "-nostdin",  # else ffmpeg reads the terminal and stops on a stray q
        "-loglevel",
        "warning",  # every line is worth a line in our log
        *global_arguments(candidate),
    )
    argv: list[str] = ffmpeg.compile(command, cmd=binary)
    return argv


def _video_input(media: MediaFormat) -> dict[str, object]:
    return {
        "format": "rawvideo",
        "pixel_format": "bgr24",
        "video_size": (media.width, media.height),
        "framerate": media.fps,  # not -r, which would drop or repeat frames
        "thread_queue_size": 2,  # frames waiting inside ffmpeg are latency nobody sees
    }


def _audio_input(media: MediaFormat) -> dict[str, object]:
    return {
        "format": "s16le",
        "sample_rate": media.audio_rate_hz,
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
