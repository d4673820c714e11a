"""The talking head of a stream: everything loaded and warm before its first unit is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from config import SILENT, Settings
from inference.ditto.casting import cast, check_cast
from inference.ditto.painter import Painter
from inference.ditto.speaker import Speaker
from inference.line import Line, line_of
from inference.speech import BUILT_IN_SAMPLE, load_clip
from inference.utterances import Utterances
from rawmedia import MediaFormat


def make_speaker(
    settings: Settings, media: MediaFormat, utterances: Utterances | None = None
) -> Speaker:
    """Load the model, register the face, and draw one picture that nobody sees.

    Raises:
        InferenceError: something cannot be used.
    """
    check_cast(settings, media, live=True)
    repeated = None if settings.audio == SILENT else _repeated(settings, media)
    actors = cast(settings, media, live=True)
    try:
        mind = actors.mind
        painter = Painter(actors.look, mind.recipe, mind.networks, mind.seed)
        speaker = Speaker(
            mind,
            painter,
            media,
            repeated,
            round(settings.pause_seconds * media.fps),
            utterances,
            yields=not settings.audio,
            close=actors.close,
        )
        # Now, not in the stream: first runs allocate, and choose among kernels.
        painter.warm_up(np.empty((media.height, media.width, 3), np.uint8), speaker.mind.zero())
    except BaseException:
        actors.close()
        raise
    return speaker


def _repeated(settings: Settings, media: MediaFormat) -> Line:
    audio = Path(settings.audio) if settings.audio else BUILT_IN_SAMPLE
    return line_of(load_clip(audio, media, settings.max_audio_seconds), media)
