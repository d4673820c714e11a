"""One frame of the talking head: from its motion to pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from inference.ditto.avatar import Avatar
from inference.ditto.conditions import ping_pong
from inference.ditto.control import ENDLESS_FRAMES, Control, Direction
from inference.ditto.layout import Face, Floats
from inference.ditto.networks import Networks
from inference.ditto.paste import paste, to_face
from inference.ditto.recipe import Recipe
from inference.ditto.retarget import Anchor, Frame, Style, driven, keypoints, own_values
from inference.ditto.scene import Scene
from inference.presenter import Region
from rawmedia import Frame as Picture

# The first run allocates and chooses among kernels, TensorRT records the second as a CUDA graph,
# and the third is the first launch of it, for which the driver brings it to the GPU.
RUNS_UNTIL_WARM = 3


@dataclass(frozen=True, slots=True)
class Look:
    """A face and its pictures."""

    avatar: Avatar
    scene: Scene


@dataclass(frozen=True, slots=True)
class Worn:
    """A look as a painter wears it."""

    look: Look
    own: tuple[Floats, ...]  # (21, 3) keypoints of each view
    style: Style
    size: float  # of the character that moves, over that of the face
    anchor: Anchor


class Painter:
    """Draws any frame, again if need be; remembers only what a stream measures from.

    Args:
        look: who is drawn.
        recipe: of the checkpoint.
        networks: of this session.
        seed: of the blinks.
        direction: what is asked of single frames; None: what the checkpoint asks for.
        frames: how many there will be; None: nobody knows.
    """

    def __init__(
        self,
        look: Look,
        recipe: Recipe,
        networks: Networks,
        seed: int,
        direction: Direction | None = None,
        frames: int | None = None,
    ) -> None:
        self._recipe = recipe
        self._networks = networks
        self._direction = direction or Direction(recipe.control)
        self._blinks = recipe.blinks.plan(frames or ENDLESS_FRAMES, seed)
        self._anchor = Anchor()
        self._worn = self._fitted(look)

    @property
    def mouth_region(self) -> Region:
        """(x, y, w, h) of the pixels in which the mouth moves."""
        return self._worn.look.scene.mouth

    def measure_from(self, zero: Floats) -> None:
        """The motion (265,) that means no change."""
        self._anchor = replace(self._anchor, zero=zero)

    def wear(self, look: Look | Worn) -> Worn:
        """From the next frame on it is another face; motion and blinks go on.

        Args:
            look: of pictures of the same size; or what was worn before, as it was then.

        Returns:
            What was worn until now.
        """
        before = replace(self._worn, anchor=self._anchor)
        if isinstance(look, Worn):
            self._worn, self._anchor = look, look.anchor
            return before
        size = before.look.scene.size
        if look.scene.size != size:
            raise ValueError(f"pictures of {look.scene.size}, not {size}")
        self._anchor = replace(self._anchor, first=None)
        self._worn = self._fitted(look)
        return before

    def warm_up(self, picture: Picture, motion: Floats) -> None:
        """Draw for nothing, as often as it takes until a frame costs what later ones do."""
        before = self._anchor
        for _ in range(RUNS_UNTIL_WARM):
            self.draw(picture, 0, motion)
        self._anchor = before

    def draw(self, picture: Picture, index: int, motion: Floats, lips: float = 1.0) -> None:
        """Fill a picture.

        Args:
            picture: BGR of the scene's size.
            index: of the frame; decides blink, control, and the place in a video.
            motion: (265,).
            lips: 1: as driven, 0: at rest.
        """
        worn = self._worn
        avatar, scene = worn.look.avatar, worn.look.scene
        number = ping_pong(index, len(avatar.views))
        view, own = avatar.views[number], worn.own[number]
        points = self._driven(view.face, index, motion, lips)
        if worn.style.stitches:
            points = self._networks.stitch(own, points)
        drawn = self._networks.draw(view.features, own, points, again=not avatar.is_video)
        np.copyto(picture, scene.pictures[number])
        paste(picture, to_face(drawn), scene.places[number])

    def _driven(self, face: Face, index: int, motion: Floats, lips: float) -> Floats:
        control = self._direction.at(index)
        if lips < 1:
            control = Control(vad_alpha=lips).over(control)
        worn = self._worn
        first = worn.look.avatar.views[0].face
        frame = Frame(face, first, motion, control, self._blink(index))
        points, self._anchor = driven(worn.style, frame, self._anchor, worn.size)
        return points

    def _blink(self, index: int) -> Floats | None:
        shapes = self._recipe.blinks.shapes
        return None if shapes is None else shapes[self._blinks[index % len(self._blinks)]]

    def _fitted(self, look: Look) -> Worn:
        faces = [view.face for view in look.avatar.views]
        character = self._recipe.character
        scale = character.scale if character else None
        return Worn(
            look,
            tuple(keypoints(own_values(face), face.kp) for face in faces),
            self._recipe.style(video=look.avatar.is_video),
            scale / float(faces[0].scale[0]) if scale else 1.0,
            self._anchor,
        )
