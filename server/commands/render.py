"""``lipstream render``: a face and a sound become an MP4 file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from config import ConfigError
from server.flags import add_settings, read_settings

HELP = "a face and a sound become an MP4 file"
_SETTINGS = (
    "engine",
    "checkpoint",
    "runtime",
    "gpu",
    "engine_folder",
    "face_detector",
    "image",
    "audio",
    "preset",
    "frame_scale",
    "sampling_timesteps",
    "chunk_config",
    "overlap",
    "emotion",
    "overall_control",
    "seed",
    "width",
    "height",
    "fps",
    "audio_kbit",
    "ffmpeg",
    "max_image_pixels",
    "max_audio_seconds",
    "log_format",
)


def add(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.description = (
        "Render a whole sound at once, as fast as the machine can. The presenter needs no "
        "checkpoint; without a face of yours it shows the drawn one."
    )
    parser.epilog = (
        "Example: lipstream render --source me.jpg --audio hello.wav --output hello.mp4 "
        "--engine ditto --checkpoint checkpoints --preset quality"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="MP4 file to write")
    parser.add_argument(
        "--source",
        "--video",
        dest="face",
        metavar="FILE",
        help="photo of the face, or for ditto a video of it; another name of --image",
    )
    parser.add_argument(
        "--control", metavar="FILE", type=Path, help="ditto: JSON with controls of single frames"
    )
    for name in ("in", "out"):
        parser.add_argument(
            f"--fade-{name}", metavar="FRAMES", type=int, default=0, help=f"ditto: fade {name} [0]"
        )
    add_settings(parser, _SETTINGS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    import logs
    from server.rendering import Extras, render

    settings = read_settings(arguments)
    logs.configure(settings.log_format)
    if arguments.face and arguments.image:
        raise ConfigError("--image and --source are two faces: give one")
    if arguments.face:
        settings = replace(settings, image=arguments.face)
    if not settings.audio:
        raise ConfigError("there is nothing to say: give --audio FILE")
    extras = Extras(arguments.control, arguments.fade_in, arguments.fade_out)
    told = render(settings, extras, arguments.output)
    print(f"lipstream: {arguments.output}: {told}", file=sys.stderr)
    return 0
