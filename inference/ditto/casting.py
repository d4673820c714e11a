"""From settings to a face that can speak: checkpoint, networks, the avatar, its pictures."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from config import Settings
from inference.checkpoint.folder import Checkpoint, open_checkpoint
from inference.ditto import insight
from inference.ditto.avatar import AvatarStore
from inference.ditto.conditions import feeling
from inference.ditto.control import Control
from inference.ditto.errors import DittoRefused
from inference.ditto.hearing import Chunks
from inference.ditto.layout import FPS, SAMPLE_HZ, SAMPLES_PER_FRAME
from inference.ditto.mind import Mind
from inference.ditto.networks import NAMES, Networks
from inference.ditto.painter import Look
from inference.ditto.recipe import Recipe
from inference.ditto.registration import fitted, register
from inference.ditto.scene import film_scene, photo_scene
from inference.ditto.windows import Overlap
from inference.engines.choice import AUTO, choose, open_engine, survey
from inference.engines.errors import RuntimeUnusable
from inference.engines.protocol import Engine
from inference.engines.shared import SharedEngine
from inference.ffmpeg import Decoder, find_decoder, look_into, pictures_argv
from inference.images import check_image, is_image, load_image
from inference.kept import cache_folder, key_of
from logs import event
from rawmedia import Frame, MediaFormat

# Of a video, frames that are used, there and back again. Each has features of 8 MB: see
# docs/decisions/0032-what-a-live-face-is-not-asked.md.
MOST_FILM_FRAMES = 5 * FPS
# The registration's own version: another one registers anew.
_REGISTRATION = "2"
_LOOKERS = ("blaze_face", "face_mesh", "landmark203", "motion_extractor", "appearance_extractor")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cast:
    """A face ready to speak. Close it: the networks hold memory of the device."""

    look: Look
    mind: Mind
    look_of: Callable[[str], Look]  # of another picture; where it is live, in any thread
    close: Callable[[], None]


def recipe_for(settings: Settings, checkpoint: Checkpoint, *, live: bool) -> Recipe:
    """The checkpoint's defaults, under what the settings say.

    Raises:
        InferenceError: a value that cannot be, or an unusable configuration.
    """
    recipe = Recipe.of(checkpoint.configuration(online=live).defaults)
    # A stream is live whatever its file says: where that has no online_mode it means offline.
    changes: dict[str, object] = {"live": True} if live else {}
    if settings.steps:
        changes["steps"] = settings.steps
    if settings.overlap:
        changes["overlap"] = settings.overlap
    if settings.emotion:
        changes["emotions"] = feeling(settings.emotion)
    changes["control"] = Control.parse(settings.overall_control).over(recipe.control)
    recipe = replace(recipe, **changes)  # type: ignore[arg-type]
    recipe.joining(np.zeros(0, np.float32))  # an overlap that cannot be is told now
    return recipe


def check_cast(settings: Settings, media: MediaFormat, *, live: bool) -> None:
    """Refuse early what :func:`cast` would refuse, without loading networks.

    Raises:
        InferenceError: a rate or a value that the model cannot follow, files that are missing.
    """
    if media.fps != FPS:
        raise DittoRefused(
            f"fps is {media.fps}: the model moves at {FPS} frames a second and no other rate; set "
            f"fps to {FPS}, or engine to presenter"
        )
    Chunks.parse(settings.chunks)
    if not settings.image:
        raise DittoRefused("engine is ditto and there is no image: give a photo with a face")
    _check_pictures(settings, Path(settings.image))
    recipe_for(settings, checkpoint_of(settings), live=live)


def _check_pictures(settings: Settings, path: Path) -> None:
    if is_image(path):
        check_image(path, settings.max_image_pixels)
    else:
        look_into(find_decoder(settings.ffmpeg), path)


def look_ahead_seconds(settings: Settings) -> float:
    """Of sound, that is needed behind the beginning of a frame to settle its motion.

    Raises:
        InferenceError: a value that cannot be, or an unusable checkpoint.
    """
    overlap = Overlap(recipe_for(settings, checkpoint_of(settings), live=True).overlap, live=True)
    reach = Chunks.parse(settings.chunks).reach
    return ((overlap.valid + overlap.fuse) * SAMPLES_PER_FRAME + reach) / SAMPLE_HZ


def cast(
    settings: Settings, media: MediaFormat, *, live: bool, engine: Engine | None = None
) -> Cast:
    """Load everything.

    Args:
        settings: ``image`` may be a photo or a video.
        media: size of the pictures.
        live: for a stream, or for a whole sound.
        engine: shared with other casts: weights are loaded once. None: one of its own, which
            closes with it. A live cast looks at new faces in another thread than it draws in: a
            :class:`inference.engines.shared.SharedEngine` can bear that.

    Raises:
        InferenceError: something cannot be used.
    """
    with ExitStack() as closing:
        checkpoint = checkpoint_of(settings)
        if engine is None:
            engine = _own_engine(settings, checkpoint, live=live)
            closing.callback(engine.close)
        recipe = recipe_for(settings, checkpoint, live=live)
        # Of a GPU, memory is that of all processes: what others do meanwhile is in the figures.
        before = engine.memory_bytes()
        networks = Networks(checkpoint.load_all(engine, names_of(checkpoint)), engine.upload)
        closing.callback(_give_back, networks, engine)

        def look_of(image: str) -> Look:
            wished = replace(settings, image=image)
            return _look(wished, media, networks, recipe, checkpoint)

        look = look_of(settings.image)
        event(
            log,
            "face_loaded",
            runtime=engine.name,
            device=engine.device,
            memory_bytes=(now := engine.memory_bytes()),
            taken_bytes=_difference(now, before),
        )
        chunks = Chunks.parse(settings.chunks)
        mind = Mind.of(networks, recipe, look.avatar, chunks, settings.seed)
        return Cast(look, mind, look_of, closing.pop_all().close)


def _own_engine(settings: Settings, checkpoint: Checkpoint, *, live: bool) -> Engine:
    if not live:
        return runtime_for(settings, checkpoint, live=False)
    return SharedEngine(lambda: runtime_for(settings, checkpoint, live=True))


def _give_back(networks: Networks, engine: Engine) -> None:
    before = engine.memory_bytes()
    networks.release()
    event(log, "face_released", freed_bytes=_difference(before, engine.memory_bytes()))


def _difference(more: int | None, less: int | None) -> int | None:
    return None if more is None or less is None else more - less


def runtime_for(settings: Settings, checkpoint: Checkpoint, *, live: bool) -> Engine:
    """What runs the networks here; it belongs to the calling thread.

    Args:
        settings: ``engine``, ``runtime``, ``gpu`` and ``engine_folder`` count.
        checkpoint: whose networks it shall run.
        live: for a stream: on a CPU it leaves the other cores to the encoder.

    Raises:
        RuntimeUnusable: nothing does; or it would be a CPU, live, and nobody asked for Ditto.
    """
    folder = Path(settings.engine_folder) if settings.engine_folder else None
    name = settings.runtime
    if name == AUTO:
        paths = tuple(checkpoint.path(network) for network in names_of(checkpoint))
        name = choose(survey(paths, folder, gpu=settings.gpu)).name
    if live:
        require_speed(settings, name)
    return open_engine(name, folder, gpu=settings.gpu, threads=1 if live else 0)


def require_speed(settings: Settings, runtime: str) -> None:
    """See that a stream can live with a runtime.

    Raises:
        RuntimeUnusable: it is a CPU, and nobody asked for Ditto.
    """
    if runtime == "onnx-cpu" and settings.engine == "auto":
        # a device may be there while its runtimes are not: `lipstream engines` says why
        raise RuntimeUnusable(
            runtime,
            "a CPU takes seconds for a picture; set engine to ditto to have it all the same",
        )


def checkpoint_of(settings: Settings) -> Checkpoint:
    """The checkpoint of the settings.

    Raises:
        CheckpointIncomplete: files of it are missing.
    """
    research = settings.face_detector == "insightface"
    return open_checkpoint(Path(settings.checkpoint).expanduser(), research_only=research)


def names_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The networks that a face needs."""
    return (*NAMES, *insight.NAMES) if checkpoint.research_only else NAMES


def _look(
    settings: Settings,
    media: MediaFormat,
    networks: Networks,
    recipe: Recipe,
    checkpoint: Checkpoint,
) -> Look:
    path = Path(settings.image)
    photo = is_image(path)
    if photo:
        pictures = [load_image(path, settings.max_image_pixels)]
    else:
        pictures = _film(settings, path, recipe.film_frames)
    pictures = [fitted(picture, recipe.look.max_size) for picture in pictures]
    key = _key(pictures, recipe, checkpoint)
    store = AvatarStore(cache_folder("avatars"))
    avatar = store.get(key)
    if avatar is None:
        avatar = register(path, pictures, networks, recipe.look)
        store.put(key, avatar)
    for note in avatar.notes:
        event(log, "avatar_note", level=logging.WARNING, image=path.name, note=note)
    if photo:
        return Look(avatar, photo_scene(avatar, pictures[0], media.width, media.height))
    return Look(avatar, film_scene(avatar, pictures, media.width, media.height))


def _film(settings: Settings, path: Path, told: int) -> list[Frame]:
    """The first pictures of a video, at the model's rate; no more than ``told``, unless it is 0."""
    ffmpeg = find_decoder(settings.ffmpeg)
    look_into(ffmpeg, path)
    most = min(told or MOST_FILM_FRAMES, MOST_FILM_FRAMES)
    return list(_decoded(ffmpeg, path, settings, most))


def _decoded(ffmpeg: str, path: Path, settings: Settings, most: int) -> Iterator[Frame]:
    media = MediaFormat(settings.width, settings.height, FPS)
    decoder = Decoder(pictures_argv(ffmpeg, path, media))
    try:
        for _ in range(most):
            picture = np.empty((media.height, media.width, 3), np.uint8)
            if decoder.read_into(picture.reshape(-1).data) < picture.nbytes:
                return
            yield picture
    finally:
        decoder.close()


def _key(pictures: list[Frame], recipe: Recipe, checkpoint: Checkpoint) -> str:
    """By the pictures themselves, the way they are looked at, and the networks that look."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(picture.shape).encode() + picture.tobytes())
    files = [checkpoint.path(name).stat() for name in _LOOKERS]
    stamps = [f"{found.st_size} {found.st_mtime_ns}" for found in files]
    seen_by = "insightface" if checkpoint.research_only else "mediapipe"
    return key_of(digest.hexdigest(), _REGISTRATION, repr(recipe.look), seen_by, *stamps)
