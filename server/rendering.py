"""Rendering a whole sound to a file, with whatever drives the face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from config import AVATAR, ConfigError, Settings
from encoder.ffmpeg import find_ffmpeg
from encoder.movie import movie
from inference.progress import Progress
from inference.source import check_source, chosen_engine, make_source
from inference.speech import Clip, load_clip
from rawmedia import Frame, MediaFormat


@dataclass(frozen=True, slots=True)
class Extras:
    """What is asked of single frames; only the model can do it."""

    control: Path | None = None
    fade_in: int = 0
    fade_out: int = 0

    @property
    def any(self) -> bool:
        """Whether something is asked for."""
        return self.control is not None or self.fade_in > 0 or self.fade_out > 0


def render(settings: Settings, extras: Extras, target: Path) -> str:
    """Write ``target``; the value tells what was written.

    Args:
        settings: ``audio`` is what is said.
        extras: of single frames.
        target: an MP4 file.

    Raises:
        InferenceError, EncoderError, RawMediaError: it cannot be.
    """
    settings = replace(settings, source=AVATAR)  # whatever streams show here
    media = MediaFormat(**settings.media_fields)
    engine = chosen_engine(settings, media, live=False)
    settings = replace(settings, engine=engine.name)
    check_source(settings, media, live=False)
    ffmpeg = find_ffmpeg(settings.ffmpeg)
    clip = load_clip(Path(settings.audio), media, settings.max_audio_seconds)
    if engine.name == "ditto":
        pictures = _by_model(settings, media, clip, extras)
    else:
        if extras.any:
            raise ConfigError(f"controls and fades need the engine ditto; here it is {engine.name}")
        pictures = _by_presenter(settings, media, clip)
    with movie(ffmpeg, media, clip.samples, target, settings.audio_kbit) as file:
        for picture in pictures:
            file.write(picture)
    seconds = clip.units / media.fps
    return f"{seconds:.2f} s, {media.width}x{media.height}, {engine.name} ({engine.reason})"


def _by_presenter(settings: Settings, media: MediaFormat, clip: Clip) -> Iterator[Frame]:
    source = make_source(settings, media)
    picture = np.empty((media.height, media.width, 3), np.uint8)
    samples = np.empty((media.samples_per_unit, media.audio_channels), np.int16)
    with Progress(clip.units, "render", "pictures") as progress:
        for _ in range(clip.units):
            source.render(picture, samples)
            progress.step()
            yield picture


def _by_model(
    settings: Settings, media: MediaFormat, clip: Clip, extras: Extras
) -> Iterator[Frame]:
    from inference.ditto.casting import cast
    from inference.ditto.control import Direction, read_direction
    from inference.ditto.listening import to_model
    from inference.ditto.render import pictures

    actors = cast(settings, media, live=False)
    try:
        general = Direction(actors.mind.recipe.control)
        direction = read_direction(extras.control, general.overall) if extras.control else general
        direction = direction.faded(clip.units, extras.fade_in, extras.fade_out)
        sound = to_model(clip.samples, media.audio_rate_hz)
        with Progress(clip.units, "render", "pictures") as progress:

            def moved(share: float) -> None:
                progress.reach(0, f"motion {share:.0%}")

            for picture in pictures(actors.look, actors.mind, sound, direction, moved):
                progress.step("drawing")
                yield picture
    finally:
        actors.close()
