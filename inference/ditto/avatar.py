"""A registered face: all that is known of it, as plain data that can be kept."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from inference.ditto.conditions import Character
from inference.ditto.layout import Face, Floats
from inference.kept import Array, Shelf

LAYOUT = 1  # of a stored record; another number is another lipstream's
# Records, the newest: each picture of a face has features of 8.4 MB. What has many of them would
# cost more to keep, and to read, than to look at again.
MOST_STORED = 32
MOST_STORED_BYTES = 512_000_000
MOST_RECORD_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class View:
    """One picture of a face."""

    face: Face
    features: Floats  # (1,32,16,64,64)
    matrix: Floats  # 3x3 from the 512 crop to the picture
    eye_open: Floats  # (2,)
    eye_ball: Floats  # (6,)
    points: Floats  # 203x2 pixels of the picture


@dataclass(frozen=True, slots=True)
class Avatar:
    """A face in all its pictures: one of a photo, several of a video."""

    views: tuple[View, ...]
    size: tuple[int, int]  # (width, height) of the pictures
    rest: Floats  # (63,): points at rest of the first picture, as they were before smoothing
    notes: tuple[str, ...] = ()  # what the user should know

    @property
    def is_video(self) -> bool:
        """Whether it moves by itself."""
        return len(self.views) > 1

    def character(self) -> Character:
        """Its own, for checkpoints without a reference character."""
        first = self.views[0].face
        return Character(
            np.stack([view.eye_open for view in self.views]),
            np.stack([view.eye_ball for view in self.views]),
            self.rest,
            first.vector(),
        )


def smoothed(views: tuple[View, ...], width: int) -> tuple[View, ...]:
    """The views of a video with every number of their faces averaged over its neighbours."""
    reach = width // 2
    if reach < 1 or len(views) < 2:
        return views

    def mean(name: str, index: int) -> Floats:
        around = views[max(0, index - reach) : index + reach + 1]
        values: Floats = np.mean([getattr(v.face, name) for v in around], axis=0, dtype=np.float32)
        return values

    names = [item.name for item in fields(Face)]
    calm = [Face(**{name: mean(name, i) for name in names}) for i in range(len(views))]
    return tuple(replace(view, face=face) for view, face in zip(views, calm, strict=True))


class AvatarStore:
    """Registered faces on disk, by what they were made from. It never fails: it only forgets.

    It holds at most :data:`MOST_STORED` records and :data:`MOST_STORED_BYTES`.

    Args:
        folder: None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._shelf = Shelf(folder, MOST_STORED, MOST_STORED_BYTES)

    def get(self, key: str) -> Avatar | None:
        """The face of a key."""
        return self._shelf.get(key, _restored)

    def put(self, key: str, avatar: Avatar) -> None:
        """Keep a face, unless it is a longer film: see :data:`MOST_RECORD_BYTES`."""
        if _size(avatar) <= MOST_RECORD_BYTES:
            self._shelf.put(key, _stored(avatar))


def _size(avatar: Avatar) -> int:
    """Bytes of what is large."""
    return sum(view.features.nbytes for view in avatar.views)


_VIEW_ARRAYS = ("features", "matrix", "eye_open", "eye_ball", "points")


def _stored(avatar: Avatar) -> dict[str, Array]:
    views = avatar.views
    arrays = {name: np.stack([getattr(v, name) for v in views]) for name in _VIEW_ARRAYS}
    faces = {
        f"face_{item.name}": np.stack([getattr(v.face, item.name) for v in views])
        for item in fields(Face)
    }
    about = {
        "layout": np.array(LAYOUT),
        "size": np.array(avatar.size),
        "rest": avatar.rest,
        "notes": np.array(avatar.notes, dtype=np.str_),
    }
    return arrays | faces | about


def _restored(stored: dict[str, Array]) -> Avatar:
    if int(stored["layout"]) != LAYOUT:
        raise ValueError(f"its layout is {int(stored['layout'])}")
    views = []
    for i in range(len(stored["matrix"])):
        face = Face(**{item.name: stored[f"face_{item.name}"][i] for item in fields(Face)})
        views.append(View(face, **{name: stored[name][i] for name in _VIEW_ARRAYS}))
    width, height = (int(n) for n in stored["size"])
    notes = tuple(str(note) for note in stored["notes"])
    return Avatar(tuple(views), (width, height), stored["rest"], notes)
