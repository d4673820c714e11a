"""The AV1 encoders we know, in order of preference. All but libsvtav1 are hardware."""

from __future__ import annotations

from encoder.candidate import Candidate, flags

_NVENC = Candidate(
    name="av1_nvenc",
    codec="av1",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an NVIDIA GPU with an AV1 encoder (RTX 40 and newer, L4, L40) and its driver",
    pixels="format=yuv420p",
    own=flags(
        **{
            "preset": "p4",  # the middle of p1 (fastest) to p7 (best)
            "tune": "ull",  # ultra low latency: single pass, no reordering, tight buffer model
            "rc": "cbr",  # else it is VBR and a segment may exceed its announced BANDWIDTH
            "zerolatency": "1",  # no reordering delay: a frame leaves before the next arrives
            "delay": "0",  # by default nvenc holds back as many frames as it has surfaces
            "rc-lookahead": "0",  # each frame looked ahead is a frame of delay
            "no-scenecut": "1",  # an extra key frame would shift every later GOP off the part grid
            "forced-idr": "1",  # a forced frame must be a key frame: players can join only there
        }
    ),
)

_QSV = Candidate(
    name="av1_qsv",
    codec="av1",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an Intel GPU with an AV1 encoder (Arc and newer) and its oneVPL runtime (libmfx-gen)",
    pixels="format=nv12",
    own=flags(
        preset="veryfast",  # fewest passes over a frame, so it is out soonest
        async_depth="1",  # default 4: four frames in the pipeline before the first leaves
        low_delay_brc="1",  # holds each frame, not only the average, near its share
        adaptive_i="0",  # no key frames of its own choice: they would leave the part grid
        adaptive_b="0",  # no reordering of its own choice
        forced_idr="1",  # a forced frame must be a key frame: players can join only there
    ),
)

_AMF = Candidate(
    name="av1_amf",
    codec="av1",
    hardware=True,
    platforms=("linux", "win32"),
    needs="an AMD GPU with an AV1 encoder (RX 7000 and newer) and its AMF runtime (libamfrt64)",
    pixels="format=nv12",
    own=flags(
        usage="ultralowlatency",  # no reordering, no pipeline inside the driver
        quality="balanced",  # the middle of "speed" and "quality"
        rc="cbr",  # else a segment may exceed its announced BANDWIDTH
        enforce_hrd="1",  # the buffer is a promise, not a hint
        filler_data="0",  # CBR would pad still pictures with zeros that viewers download
        skip_frame="0",  # one frame out for each in: parts are counted in frames
        preanalysis="0",  # it buffers frames to look at them
        latency="lowest_latency",  # submit each frame at once
        async_depth="1",  # default 16 frames in flight
        forced_idr="1",  # a forced frame must be a key frame: players can join only there
    ),
)

_VAAPI = Candidate(
    name="av1_vaapi",
    codec="av1",
    hardware=True,
    platforms=("linux",),
    needs="a GPU whose VA-API driver can encode AV1, and access to /dev/dri/renderD*",
    pixels="format=nv12,hwupload",
    # No path: ffmpeg tries each render node, and the first need not be the right one.
    global_arguments=("-init_hw_device", "vaapi=va", "-filter_hw_device", "va"),
    own=flags(
        rc_mode="CBR",  # else it is chosen by driver, and some choose constant quality
        async_depth="1",  # default 2: one frame of delay
        idr_interval="0",  # every intra frame is a key frame
    ),
)

_SVT = Candidate(
    name="libsvtav1",
    codec="av1",
    hardware=False,
    platforms=(),
    needs="an ffmpeg built with libsvtav1",
    pixels="format=yuv420p",
    own=flags(
        **{
            # 0.45 to 0.55 of a core at 1280x720, 25 fps; from 9 on it loses its rate on noise.
            "preset": "8",
            "svtav1-params": ":".join(
                (
                    "rtc=1",  # its tools for real time
                    "pred-struct=1",  # low delay: nothing waits for a later frame
                    "rc=2",  # constant rate, which it has only in low delay
                    "lookahead=0",  # each frame looked ahead is a frame of delay
                    "scd=0",  # an extra key frame would shift every later GOP off the part grid
                    # Milliseconds of the buffer, which is 400 (bufsize), filled at first and as the
                    # aim. By default it is 600: then a key frame of noise exceeds the buffer.
                    "buf-initial-sz=200",
                    "buf-optimal-sz=200",
                )
            ),
        }
    ),
)

AV1_CANDIDATES: tuple[Candidate, ...] = (_NVENC, _QSV, _AMF, _VAAPI, _SVT)
