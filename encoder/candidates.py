"""The H.264 encoders we know, in order of preference, and the arguments of each.

Pure values and functions: nothing here runs ffmpeg. ``encoder.probe`` tells which of them work.

All of them are asked for the same stream: IDR frames exactly on the GOP grid, no B-frames, no
look-ahead, one access unit out for each frame in, a bit rate held by a buffer (VBV), BT.709
limited range. A flag that only one encoder knows stands in its table, its reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# RGB frames become BT.709 limited range: what every phone decodes, and what the tags below say.
# setparams: since ffmpeg 7 a frame's tags win over the options, and scale writes only two of them.
_TO_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv,setparams=color_primaries=bt709:color_trc=bt709"
)


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
    global_arguments: tuple[str, ...] = ()


def _flags(**values: object) -> Mapping[str, object]:
    return MappingProxyType(values)


_NVENC = Candidate(
    name="h264_nvenc",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an NVIDIA GPU with NVENC (data-centre H100, H200, A100 have none) and its driver",
    pixels="format=yuv420p",
    own=_flags(
        **{
            "preset": "p4",  # the middle of p1 (fastest) to p7 (best)
            "tune": "ull",  # ultra low latency: single pass, no reordering, tight buffer model
            "profile:v": "high",  # 8x8 transform: fewer bits; every phone since 2012 decodes it
            "rc": "cbr",  # else it is VBR and a segment may exceed its announced BANDWIDTH
            "zerolatency": "1",  # no reordering delay: a frame leaves before the next arrives
            "delay": "0",  # by default nvenc holds back as many frames as it has surfaces
            "rc-lookahead": "0",  # each frame looked ahead is a frame of delay
            "no-scenecut": "1",  # an extra IDR would shift every later GOP off the part grid
            "forced-idr": "1",  # a forced key frame must be an IDR: players can join only there
        }
    ),
)

_QSV = Candidate(
    name="h264_qsv",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an Intel GPU and its oneVPL runtime (libmfx-gen, or libmfxhw64 for older ones)",
    pixels="format=nv12",
    own=_flags(
        **{
            "preset": "veryfast",  # fewest passes over a frame, so it is out soonest
            "profile:v": "high",  # 8x8 transform: fewer bits; every phone since 2012 decodes it
            "async_depth": "1",  # default 4: four frames in the pipeline before the first leaves
            "low_delay_brc": "1",  # holds each frame, not only the average, near its share
            "look_ahead": "0",  # look-ahead rate control delays by its depth
            "adaptive_i": "0",  # no I-frames of its own choice: they would leave the part grid
            "adaptive_b": "0",  # no B-frames of its own choice: they reorder
            "idr_interval": "0",  # every I-frame is an IDR
            "forced_idr": "1",  # a forced key frame must be an IDR: players can join only there
        }
    ),
)

_AMF = Candidate(
    name="h264_amf",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an AMD GPU with its AMF runtime (libamfrt64), and a recent ffmpeg",
    pixels="format=nv12",
    own=_flags(
        **{
            "usage": "ultralowlatency",  # no reordering, no pipeline inside the driver
            "quality": "balanced",  # the middle of "speed" and "quality"
            "profile:v": "high",  # 8x8 transform: fewer bits; every phone since 2012 decodes it
            "rc": "cbr",  # else a segment may exceed its announced BANDWIDTH
            "enforce_hrd": "1",  # the buffer is a promise, not a hint
            "filler_data": "0",  # CBR would pad still pictures with zeros that viewers download
            "frame_skipping": "0",  # one frame out for each in: parts are counted in frames
            "preanalysis": "0",  # it buffers frames to look at them
            "latency": "1",  # submit each frame at once
            "async_depth": "1",  # default 16 frames in flight
            "forced_idr": "1",  # a forced key frame must be an IDR: players can join only there
        }
    ),
)

_VIDEOTOOLBOX = Candidate(
    name="h264_videotoolbox",
    hardware=True,
    platforms=("darwin",),
    needs="a Mac whose media engine is free, and a recent ffmpeg",
    pixels="format=nv12",
    own=_flags(
        **{
            "profile:v": "high",  # 8x8 transform: fewer bits; every phone since 2012 decodes it
            "realtime": "1",  # do not trade time for quality
            "prio_speed": "1",  # the same for the media engine of Apple silicon
            "allow_sw": "0",  # without a free media engine fail, so that x264 takes over
        }
    ),
)

_VAAPI = Candidate(
    name="h264_vaapi",
    hardware=True,
    platforms=("linux",),
    needs="a GPU whose VA-API driver can encode, and access to /dev/dri/renderD*",
    pixels="format=nv12,hwupload",
    # No path: ffmpeg tries each render node, and the first need not be the right one.
    global_arguments=("-init_hw_device", "vaapi=va", "-filter_hw_device", "va"),
    own=_flags(
        **{
            "profile:v": "high",  # 8x8 transform: fewer bits; every phone since 2012 decodes it
            "rc_mode": "CBR",  # else it is chosen by driver, and some choose constant quality
            "async_depth": "1",  # default 2: one frame of delay
            "idr_interval": "0",  # every I-frame is an IDR
        }
    ),
)

_X264 = Candidate(
    name="libx264",
    hardware=False,
    platforms=(),
    needs="an ffmpeg built with libx264",
    pixels="format=yuv420p",
    own=_flags(
        **{
            # 0.15 of a core at 1280x720, 25 fps; "faster" takes 0.22, "superfast" 0.11.
            "preset": "veryfast",
            "tune": "zerolatency",  # no look-ahead, sliced threads instead of frame threads
            "profile:v": "high",  # 8x8 transform: fewer bits; every phone since 2012 decodes it
            "sc_threshold": "0",  # an extra IDR would shift every later GOP off the part grid
            "forced-idr": "1",  # a forced key frame must be an IDR: players can join only there
        }
    ),
)

_OPENH264 = Candidate(
    name="libopenh264",
    hardware=False,
    platforms=(),
    needs="an ffmpeg built with libopenh264",
    pixels="format=yuv420p",
    own=_flags(
        **{
            "profile:v": "high",  # CABAC: fewer bits than its default, constrained baseline
            "rc_mode": "bitrate",  # the default "quality" knows no bit rate
            "allow_skip_frames": "0",  # one frame out for each in: parts are counted in frames
            # It has no switch for scene cuts: more than 16 frames after an IDR a hard cut gives
            # an extra one. force_key_frames below keeps the grid all the same.
        }
    ),
)

CANDIDATES: tuple[Candidate, ...] = (
    _NVENC,
    _QSV,
    _AMF,
    _VIDEOTOOLBOX,
    _VAAPI,
    _X264,
    _OPENH264,
)


def candidates_for(platform: str) -> tuple[Candidate, ...]:
    """The candidates that can exist on ``sys.platform`` value ``platform``, best first."""
    return tuple(c for c in CANDIDATES if not c.platforms or platform in c.platforms)


def global_arguments(candidate: Candidate) -> tuple[str, ...]:
    """Arguments for the whole ffmpeg command: the device that the filter uploads to."""
    return candidate.global_arguments


def video_filter(candidate: Candidate) -> str:
    """The filter chain from BGR24 frames to what the encoder takes."""
    return f"{_TO_BT709},{candidate.pixels}"


def video_arguments(
    candidate: Candidate, rate: RateControl, gop_frames: int, fps: int
) -> dict[str, object]:
    """The video options of one output, as keywords of ``ffmpeg.output`` of ffmpeg-python.

    Args:
        candidate: the encoder.
        rate: bit rate and its bounds.
        gop_frames: distance between IDR frames.
        fps: frames a second.
    """
    common: dict[str, object] = {
        "c:v": candidate.name,
        "b:v": f"{rate.video_kbit}k",  # the average
        "maxrate": f"{rate.max_kbit}k",  # with bufsize: the VBV that bounds every segment
        "bufsize": f"{rate.buffer_kbit}k",  # small: a key frame may not delay the frames after it
        "enc_time_base": f"1/{fps}",  # time stamps and bit budget count whole frames
        "g": gop_frames,  # segments are whole GOPs
        # The grid once more, by frame number: an encoder that puts an IDR of its own somewhere
        # (libopenh264, VideoToolbox) restarts its GOP count, but these frames stay IDR.
        "force_key_frames": f"expr:not(mod(n,{gop_frames}))",
        "bf": 0,  # a B-frame waits for a later one
        "flags": "+cgop",  # closed GOPs: nothing refers to a frame before the IDR
        "colorspace": "bt709",  # the four tags say what video_filter made;
        "color_primaries": "bt709",  # without them a player guesses,
        "color_trc": "bt709",  # and BT.601 is a common guess for small pictures
        "color_range": "tv",  # read as full range, black would be grey
    }
    return common | dict(candidate.own)
