"""The encoders we know, by codec in order of preference, and the arguments of each.

Pure values and functions: nothing here runs ffmpeg. ``encoder.probe`` tells which of them work.

All of them are asked for the same stream: IDR frames exactly on the GOP grid, no B-frames, no
look-ahead, one access unit out for each frame in, a bit rate held by a buffer (VBV), BT.709
limited range. A flag that only one encoder knows stands in its table, its reason beside it.
"""

from __future__ import annotations

from encoder.av1 import AV1_CANDIDATES
from encoder.candidate import Candidate, RateControl, flags
from encoder.hevc import HEVC_CANDIDATES

# RGB frames become BT.709 limited range: what every phone decodes, and what the tags below say.
# setparams: since ffmpeg 7 a frame's tags win over the options, and scale writes only two of them.
_TO_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv,setparams=color_primaries=bt709:color_trc=bt709"
)


_NVENC = Candidate(
    name="h264_nvenc",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an NVIDIA GPU with NVENC (data-centre H100, H200, A100 have none) and its driver",
    pixels="format=yuv420p",
    own=flags(
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
    own=flags(
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
    own=flags(
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
    own=flags(
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
    own=flags(
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
    own=flags(
        **{
            # For talking heads no worse than "veryfast" (VMAF, SSIM) at 0.8 of its CPU time; "fast"
            # is a little better at more than twice of it: docs/performance.md, encode quality.
            "preset": "superfast",
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
    own=flags(
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
    *HEVC_CANDIDATES,
    *AV1_CANDIDATES,
)


def candidates_for(platform: str, codec: str = "h264") -> tuple[Candidate, ...]:
    """The candidates of a codec that can exist on a platform, best first.

    Args:
        platform: a value of ``sys.platform``.
        codec: a value of the setting ``video_codec``.
    """
    of_codec = (c for c in CANDIDATES if c.codec == codec)
    return tuple(c for c in of_codec if not c.platforms or platform in c.platforms)


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
