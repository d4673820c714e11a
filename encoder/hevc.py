"""The HEVC encoders we know, in order of preference. All but libx265 are hardware.

Apple plays HEVC in HLS as `hvc1`: parameter sets in the init segment, not in the samples.
"""

from __future__ import annotations

from encoder.candidate import Candidate, flags

_TAG = {"tag:v": "hvc1"}  # ffmpeg would write hev1, which Apple's players refuse

_NVENC = Candidate(
    name="hevc_nvenc",
    codec="hevc",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an NVIDIA GPU with NVENC (data-centre H100, H200, A100 have none) and its driver",
    pixels="format=yuv420p",
    own=flags(
        **_TAG,
        **{
            "preset": "p4",  # the middle of p1 (fastest) to p7 (best)
            "tune": "ull",  # ultra low latency: single pass, no reordering, tight buffer model
            "profile:v": "main",  # 8 bits: what every decoder of HEVC takes
            "rc": "cbr",  # else it is VBR and a segment may exceed its announced BANDWIDTH
            "zerolatency": "1",  # no reordering delay: a frame leaves before the next arrives
            "delay": "0",  # by default nvenc holds back as many frames as it has surfaces
            "rc-lookahead": "0",  # each frame looked ahead is a frame of delay
            "no-scenecut": "1",  # an extra IDR would shift every later GOP off the part grid
            "forced-idr": "1",  # a forced key frame must be an IDR: players can join only there
        },
    ),
)

_QSV = Candidate(
    name="hevc_qsv",
    codec="hevc",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an Intel GPU and its oneVPL runtime (libmfx-gen, or libmfxhw64 for older ones)",
    pixels="format=nv12",
    own=flags(
        **_TAG,
        **{
            "preset": "veryfast",  # fewest passes over a frame, so it is out soonest
            "profile:v": "main",  # 8 bits: what every decoder of HEVC takes
            "async_depth": "1",  # default 4: four frames in the pipeline before the first leaves
            "low_delay_brc": "1",  # holds each frame, not only the average, near its share
            "adaptive_i": "0",  # no I-frames of its own choice: they would leave the part grid
            "adaptive_b": "0",  # no B-frames of its own choice: they reorder
            "idr_interval": "1",  # of HEVC 1, not 0, makes every I-frame an IDR
            "forced_idr": "1",  # a forced key frame must be an IDR: players can join only there
        },
    ),
)

_AMF = Candidate(
    name="hevc_amf",
    codec="hevc",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an AMD GPU with its AMF runtime (libamfrt64), and a recent ffmpeg",
    pixels="format=nv12",
    own=flags(
        **_TAG,
        usage="ultralowlatency",  # no reordering, no pipeline inside the driver
        quality="balanced",  # the middle of "speed" and "quality"
        rc="cbr",  # else a segment may exceed its announced BANDWIDTH
        enforce_hrd="1",  # the buffer is a promise, not a hint
        filler_data="0",  # CBR would pad still pictures with zeros that viewers download
        skip_frame="0",  # one frame out for each in: parts are counted in frames
        preanalysis="0",  # it buffers frames to look at them
        latency="1",  # submit each frame at once
        async_depth="1",  # default 16 frames in flight
        gops_per_idr="1",  # every GOP begins with an IDR
        forced_idr="1",  # a forced key frame must be an IDR: players can join only there
    ),
)

_VIDEOTOOLBOX = Candidate(
    name="hevc_videotoolbox",
    codec="hevc",
    hardware=True,
    platforms=("darwin",),
    needs="a Mac whose media engine is free and encodes HEVC, and a recent ffmpeg",
    pixels="format=nv12",
    own=flags(
        **_TAG,
        **{
            "profile:v": "main",  # 8 bits: what every decoder of HEVC takes
            "realtime": "1",  # do not trade time for quality
            "prio_speed": "1",  # the same for the media engine of Apple silicon
            "allow_sw": "0",  # without a free media engine fail, so that x265 takes over
        },
    ),
)

_VAAPI = Candidate(
    name="hevc_vaapi",
    codec="hevc",
    hardware=True,
    platforms=("linux",),
    needs="a GPU whose VA-API driver can encode HEVC, and access to /dev/dri/renderD*",
    pixels="format=nv12,hwupload",
    # No path: ffmpeg tries each render node, and the first need not be the right one.
    global_arguments=("-init_hw_device", "vaapi=va", "-filter_hw_device", "va"),
    own=flags(
        **_TAG,
        **{
            "profile:v": "main",  # 8 bits: what every decoder of HEVC takes
            "rc_mode": "CBR",  # else it is chosen by driver, and some choose constant quality
            "async_depth": "1",  # default 2: one frame of delay
            "idr_interval": "0",  # every I-frame is an IDR
        },
    ),
)

_X265 = Candidate(
    name="libx265",
    codec="hevc",
    hardware=False,
    platforms=(),
    needs="an ffmpeg built with libx265",
    pixels="format=yuv420p",
    own=flags(
        **_TAG,
        **{
            "preset": "ultrafast",  # what a core holds: docs/formats.md
            "tune": "zerolatency",  # no look-ahead, one frame at a time
            "profile:v": "main",  # 8 bits: what every decoder of HEVC takes
            "forced-idr": "1",  # a forced key frame must be an IDR: players can join only there
            # scenecut: an extra IDR would leave the part grid; open-gop: nothing may refer to a
            # frame before the IDR; log-level: its own lines on stderr are warnings to us.
            "x265-params": "scenecut=0:open-gop=0:log-level=error",
        },
    ),
)

HEVC_CANDIDATES: tuple[Candidate, ...] = (_NVENC, _QSV, _AMF, _VIDEOTOOLBOX, _VAAPI, _X265)
