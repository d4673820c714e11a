"""The seam of this folder: a source fills units; settings say which source.

Heavy modules are imported where they are needed: checking the built-in presenter costs nothing,
and a worker starts as fast as its own source allows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from config import INGEST, SILENT, TESTCARD, Settings
from inference.devices import Devices, Outside
from inference.errors import InferenceError, UnknownSource
from logs import event
from rawmedia import Frame, MediaFormat, Samples

if TYPE_CHECKING:
    from inference.engines.protocol import Engine
    from inference.landmarks import Landmarks
    from inference.line import Line
    from inference.presenter import Face, NewFace
    from inference.utterances import Utterances

# Of the talking head; see inference/ditto/layout.py.
MODEL_FPS = 25
CAMERA_PREFIX, FILE_PREFIX = "camera:", "file:"

log = logging.getLogger(__name__)


class Source(Protocol):
    """Anything that gives pictures and their sound."""

    def render(self, frame: Frame, samples: Samples) -> int:
        """Fill the next unit in place: frame HxWx3 uint8 BGR, samples NxC int16.

        Returns:
            The unit's mark; 0: it has none.

        Raises:
            InferenceError: the source cannot go on.
        """

    def close(self) -> None:
        """Let go of devices and threads."""


def make_source(
    settings: Settings,
    media: MediaFormat,
    landmarks: Landmarks | None = None,
    utterances: Utterances | None = None,
    outside: Outside | None = None,
    engine: Callable[[Settings], Engine] | None = None,
) -> Source:
    """Build the source that ``settings`` name, ready to render.

    Args:
        settings: ``source``, ``image``, ``audio``, ``pause_seconds`` and the limits count.
        media: what its units look like.
        landmarks: where the face of ``settings.image`` is, if the caller knows; else it is found.
        utterances: what an avatar says besides.
        outside: who wants to know of its devices.
        engine: of networks that others use as well; None: a talking head loads its own.

    Raises:
        InferenceError: an unknown source, or a file that cannot be used.
    """
    if settings.source.startswith(CAMERA_PREFIX):
        return _camera(settings, media, outside or Outside())
    if settings.source.startswith(FILE_PREFIX):
        from inference.film import Film

        return Film(_film_path(settings.source), media, settings.ffmpeg)
    if settings.source == TESTCARD:
        from inference.testcard import TestCard

        return TestCard(media)
    if settings.source != "avatar":
        raise UnknownSource(settings.source)
    if chosen_engine(settings, media, live=True).name == "ditto":
        try:
            return _speaker(settings, media, utterances, engine)
        except InferenceError as error:
            if settings.engine != "auto":
                raise
            event(log, "engine_refused", level=logging.WARNING, engine="ditto", reason=error)
    return _presenter(settings, media, landmarks, utterances)


def check_source(settings: Settings, media: MediaFormat, *, live: bool = True) -> None:
    """Refuse early what :func:`make_source` would refuse, as far as file headers tell.

    Args:
        settings: of a stream, or of a rendering.
        media: what its units look like.
        live: for a stream, or for a whole sound, of which more can be asked.

    Raises:
        InferenceError: an unknown source, or a file that cannot be used.
    """
    if settings.source.startswith(CAMERA_PREFIX):
        _camera_device(settings.source)
        _check_microphone(settings)
        return
    if settings.source.startswith(FILE_PREFIX):
        from inference.ffmpeg import find_decoder, look_into

        look_into(find_decoder(settings.ffmpeg), _film_path(settings.source))
        return
    if settings.source in (INGEST, TESTCARD):
        return
    if settings.source != "avatar":
        raise UnknownSource(settings.source)
    if chosen_engine(settings, media, live=live).name == "ditto":
        from inference.ditto.casting import check_cast

        check_cast(settings, media, live=live)
    elif settings.image:
        from inference.images import check_image

        check_image(Path(settings.image), settings.max_image_pixels)
    if settings.audio not in ("", SILENT):
        from inference.speech import check_clip

        check_clip(Path(settings.audio), settings.max_audio_seconds)


@dataclass(frozen=True, slots=True)
class ChosenEngine:
    """What drives an avatar's face, and why."""

    name: str
    reason: str


def chosen_engine(settings: Settings, media: MediaFormat, *, live: bool) -> ChosenEngine:
    """Which of the engines a stream or a rendering has; ``auto`` never fails, it takes another."""
    if settings.engine != "auto":
        return ChosenEngine(settings.engine, "as set")
    if not settings.checkpoint:
        return ChosenEngine("presenter", "there is no checkpoint")
    if not settings.image:
        return ChosenEngine("presenter", "there is no image of a face")
    if media.fps != MODEL_FPS:
        return ChosenEngine("presenter", f"ditto moves at {MODEL_FPS} frames a second")
    if live and not gpu_is_there():
        return ChosenEngine("presenter", "without a GPU ditto cannot be live")
    return ChosenEngine("ditto", "there is a checkpoint")


def look_ahead_seconds(settings: Settings, media: MediaFormat) -> float:
    """How much of what comes next a face must have heard: a live speaker is delayed by as much.

    Raises:
        InferenceError: what :func:`check_source` refuses.
    """
    if chosen_engine(settings, media, live=True).name != "ditto":
        return 0.0
    from inference.ditto.casting import look_ahead_seconds as of_ditto

    return of_ditto(settings)


def gpu_is_there() -> bool:
    """Whether a driver of NVIDIA's is loaded and shows a device; asks nothing of a library."""
    return Path("/dev/nvidiactl").exists() and any(Path("/dev").glob("nvidia[0-9]*"))


def _camera_device(source: str) -> str:
    device = source.removeprefix(CAMERA_PREFIX)
    if not device:
        raise UnknownSource(source)
    return device


def _film_path(source: str) -> Path:
    path = source.removeprefix(FILE_PREFIX)
    if not path:
        raise UnknownSource(source)
    return Path(path).expanduser()


def _check_microphone(settings: Settings) -> None:
    if settings.microphone:
        from inference.microphone import check_microphone

        check_microphone(settings.microphone, settings.ffmpeg)


def _camera(settings: Settings, media: MediaFormat, outside: Outside) -> Source:
    from inference.camera import Camera, public_name
    from inference.microphone import Microphone

    device, name, devices = _camera_device(settings.source), settings.microphone, Devices(outside)
    microphone = None
    if name:
        microphone = Microphone(name, media, settings.ffmpeg, devices.add("microphone", name))
    return Camera(device, media, microphone, devices.add("camera", public_name(device)))


def _speaker(
    settings: Settings,
    media: MediaFormat,
    utterances: Utterances | None,
    engine: Callable[[Settings], Engine] | None,
) -> Source:
    from inference.ditto.live import make_speaker

    return make_speaker(settings, media, utterances, engine)


def _presenter(
    settings: Settings,
    media: MediaFormat,
    landmarks: Landmarks | None,
    utterances: Utterances | None,
) -> Source:
    from inference.presenter import Presenter

    source = Presenter(
        _face(settings, media, landmarks),
        media,
        None if settings.audio == SILENT else _repeated(settings, media),
        round(settings.pause_seconds * media.fps),
        utterances,
        yields=not settings.audio,
    )
    source.make_face = lambda image: _new_face(replace(settings, image=image), media)
    return source


def _new_face(settings: Settings, media: MediaFormat) -> NewFace:
    from inference.presenter import NewFace

    face = _face(settings, media, None)
    return NewFace(face, getattr(face, "notes", ()))


def _repeated(settings: Settings, media: MediaFormat) -> Line:
    from inference.sample import repeated_line, sample_line

    if settings.audio:
        return repeated_line(Path(settings.audio), media, settings.max_audio_seconds)
    return sample_line(media, settings.max_audio_seconds)


def _face(settings: Settings, media: MediaFormat, landmarks: Landmarks | None) -> Face:
    if not settings.image:
        from inference.character import Character

        return Character(media.width, media.height)
    from inference.portrait import load_portrait

    path = Path(settings.image)
    return load_portrait(path, media, settings.max_image_pixels, landmarks)
