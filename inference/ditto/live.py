"""The talking head of a stream: everything loaded and warm before its first unit is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from config import SILENT, Settings
from inference.ditto.casting import cast, check_cast
from inference.ditto.errors import DittoRefused
from inference.ditto.painter import Look, Painter
from inference.ditto.speaker import Speaker
from inference.engines.protocol import Engine
from inference.line import Line, line_of
from inference.presenter import NewFace
from inference.speech import BUILT_IN_SAMPLE, load_clip
from inference.utterances import Utterances
from rawmedia import MediaFormat


def make_speaker(
    settings: Settings,
    media: MediaFormat,
    utterances: Utterances | None = None,
    engine: Callable[[Settings], Engine] | None = None,
) -> Speaker:
    """Load the model, register the face, and draw one picture that nobody sees.

    Args:
        settings: see :func:`inference.ditto.casting.cast`.
        media: of the stream.
        utterances: what it says besides.
        engine: one that others use as well; None: it has its own.

    Raises:
        InferenceError: something cannot be used.
    """
    check_cast(settings, media, live=True)
    repeated = None if settings.audio == SILENT else _repeated(settings, media)
    actors = cast(settings, media, live=True, engine=engine(settings) if engine else None)
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
        look_of = actors.look_of  # alone: the first look is not kept for its sake
        speaker.make_face = lambda image: _new_face(image, look_of)
        # Now, not in the stream: first runs allocate, and choose among kernels.
        painter.warm_up(np.empty((media.height, media.width, 3), np.uint8), speaker.mind.zero())
    except BaseException:
        actors.close()
        raise
    return speaker


def _new_face(image: str, look_of: Callable[[str], Look]) -> NewFace:
    if not image:
        raise DittoRefused(
            "the talking head has no face without a photo, and the presenter is of another engine"
        )
    look = look_of(image)
    return NewFace(look, look.avatar.notes)


def _repeated(settings: Settings, media: MediaFormat) -> Line:
    audio = Path(settings.audio) if settings.audio else BUILT_IN_SAMPLE
    return line_of(load_clip(audio, media, settings.max_audio_seconds), media)
