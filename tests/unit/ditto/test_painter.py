"""From motion to pixels, with networks that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from inference.ditto import render
from inference.ditto.avatar import Avatar
from inference.ditto.control import ENDLESS_FRAMES, Blinks, Control
from inference.ditto.layout import EYES, Floats
from inference.ditto.mind import Mind, Performance
from inference.ditto.networks import Networks
from inference.ditto.painter import RUNS_UNTIL_WARM, Look, Painter
from inference.ditto.recipe import Recipe
from inference.ditto.scene import Scene


class Spy:
    """The networks of a session, and what was asked of them."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self.runs: Counter[str] = Counter()
        self.drawn: list[tuple[Floats, Floats, Floats]] = []
        self.stitched: list[tuple[Floats, Floats]] = []
        self.again: list[bool] = []

    def stitch(self, own: Floats, driven: Floats) -> Floats:
        self.runs["stitch"] += 1
        self.stitched.append((own, driven))
        return self._networks.stitch(own, driven)

    def draw(self, features: Floats, own: Floats, driven: Floats, *, again: bool) -> Floats:
        self.runs["draw"] += 1
        self.drawn.append((features, own, driven))
        self.again.append(again)
        return self._networks.draw(features, own, driven)


@pytest.fixture
def spy(networks: Networks) -> Spy:
    return Spy(networks)


@pytest.fixture
def paint(spy: Spy, scene: Scene, live_recipe: Recipe) -> Callable[[Avatar], Painter]:
    def painter(avatar: Avatar) -> Painter:
        shown = replace(
            scene,
            pictures=scene.pictures * len(avatar.views),
            places=scene.places * len(avatar.views),
        )
        return Painter(Look(avatar, shown), live_recipe, spy, 1)  # type: ignore[arg-type]

    return painter


def canvas(scene: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    width, height = scene.size
    return np.empty((height, width, 3), np.uint8)


def test_warming_up_runs_each_network_until_it_costs_what_it_will(
    paint: Callable[[Avatar], Painter], spy: Spy, avatar: Avatar, scene: Scene
) -> None:
    """Thrice: TensorRT allocates, records, launches; and nothing of it stays in the stream."""
    painter = paint(avatar)
    motion = avatar.views[0].face.vector()
    painter.warm_up(canvas(scene), motion)
    assert spy.runs == {"stitch": RUNS_UNTIL_WARM, "draw": RUNS_UNTIL_WARM}
    assert RUNS_UNTIL_WARM == 3
    fresh, warm = canvas(scene), canvas(scene)
    painter.draw(warm, 0, motion)
    paint(avatar).draw(fresh, 0, motion)
    assert np.array_equal(fresh, warm)


def test_a_photo_is_drawn_from_the_same_features_again_and_again(
    paint: Callable[[Avatar], Painter], spy: Spy, avatar: Avatar, scene: Scene
) -> None:
    motion = avatar.views[0].face.vector()
    paint(avatar).draw(canvas(scene), 0, motion)
    moving = replace(avatar, views=avatar.views * 2)
    paint(moving).draw(canvas(scene), 0, motion)
    assert spy.again == [True, False]


def test_the_faces_own_points_are_the_source_and_the_moved_ones_the_drive(
    paint: Callable[[Avatar], Painter], spy: Spy, avatar: Avatar, scene: Scene
) -> None:
    """Own points hang on the view alone, driven ones on the motion."""
    face = avatar.views[0].face
    painter = paint(avatar)
    moved = replace(face, t=face.t + np.float32(0.1)).vector()
    painter.measure_from(face.vector())
    for motion in (face.vector(), moved):
        painter.draw(canvas(scene), 0, motion)
    (still_own, still), (own, driven) = spy.stitched
    assert np.array_equal(still_own, own)
    assert (driven - still)[:, :2] == pytest.approx(np.full((21, 2), 0.1), abs=1e-5)
    for (features, drawn_own, points), stitched in zip(spy.drawn, spy.stitched, strict=True):
        assert features is avatar.views[0].features
        assert np.array_equal(drawn_own, own)
        assert points == pytest.approx(spy._networks.stitch(*stitched), abs=1e-6)


def test_eyes_blink_where_it_is_planned(
    spy: Spy, avatar: Avatar, scene: Scene, live_recipe: Recipe
) -> None:
    """Frame by frame as the shapes say, the eyes alone; a stream goes through its plan again."""
    face, shapes = avatar.views[0].face, live_recipe.blinks.shapes
    assert shapes is not None
    blinks = Blinks(shapes, open_frames=7)
    recipe = replace(live_recipe, stitches=False, blinks=blinks)
    painter = Painter(Look(avatar, scene), recipe, spy, 1)  # type: ignore[arg-type]
    indices = [*range(23), ENDLESS_FRAMES + 14]
    for index in indices:
        painter.draw(canvas(scene), index, face.vector())
    open_eye = spy.drawn[0][2]
    # open for 7 frames, then the 15 of a blink
    of_blink = [*[0] * 7, *range(15), 0, 7]
    for (_features, _own, points), number in zip(spy.drawn, of_blink, strict=True):
        wanted = np.zeros((21, 3), np.float32)
        wanted[list(EYES)] = (shapes[number] - shapes[0]).reshape(21, 3)[list(EYES)]
        assert (points - open_eye) / face.scale == pytest.approx(wanted, abs=1e-5)
    closed = spy.drawn[14][2] - open_eye
    assert np.abs(closed[list(EYES)]).max() > 0.05, "else none of it would show"


@pytest.mark.parametrize(("lips", "share"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_lips_are_as_far_from_rest_as_is_asked(
    spy: Spy, avatar: Avatar, scene: Scene, live_recipe: Recipe, lips: float, share: float
) -> None:
    """The lips alone: the eyes go on with what drives them (DITTO_FACTS section 11, step 5)."""
    face, lip, eye = avatar.views[0].face, 17, 15
    recipe = replace(live_recipe, stitches=False, blinks=Blinks(), character=None)
    painter = Painter(Look(avatar, scene), recipe, spy, 1)  # type: ignore[arg-type]
    painter.measure_from(face.vector())
    for motion in (face, replace(face, exp=face.exp + np.float32(0.05))):
        painter.draw(canvas(scene), 0, motion.vector(), lips)
    moved = (spy.drawn[-1][2] - spy.drawn[-2][2]) / face.scale
    assert moved[lip] == pytest.approx(np.full(3, 0.05 * share), abs=1e-5)
    assert moved[eye] == pytest.approx(np.full(3, 0.05), abs=1e-5)


def test_each_picture_of_a_video_has_its_own_face_and_place(
    spy: Spy, avatar: Avatar, scene: Scene, live_recipe: Recipe
) -> None:
    """There and back again: view, features, picture and place of one frame belong together."""
    view = avatar.views[0]
    lower = replace(
        view,
        face=replace(view.face, t=view.face.t + np.float32(0.2)),
        features=view.features * np.float32(0.5),
    )
    moving = replace(avatar, views=(view, lower))
    black = np.zeros_like(scene.pictures[0])
    shown = replace(scene, pictures=(scene.pictures[0], black), places=(scene.places[0], None))
    painter = Painter(Look(moving, shown), live_recipe, spy, 1)  # type: ignore[arg-type]
    motion = view.face.vector()
    pictures = []
    for index in range(4):
        pictures.append(canvas(scene))
        painter.draw(pictures[-1], index, motion)
    wanted = [view, lower, lower, view]
    for (features, own, _driven), seen in zip(spy.drawn, wanted, strict=True):
        assert features is seen.features
        first = spy.drawn[0][1]
        shift = seen.face.t[:2] - view.face.t[:2]
        assert own[:, :2] - first[:, :2] == pytest.approx(np.tile(shift, (21, 1)), abs=1e-5)
    assert [bool(picture.any()) for picture in pictures] == [True, False, False, True]


def test_the_gaze_of_a_video_is_measured_from_its_first_picture(
    spy: Spy, avatar: Avatar, scene: Scene, live_recipe: Recipe
) -> None:
    """DITTO_FACTS section 15b: the source pose in the gaze step stays that of the first frame."""
    view = avatar.views[0]
    turned = replace(view, face=replace(view.face, yaw=np.roll(view.face.yaw, 4)))
    moving = replace(avatar, views=(view, turned))
    shown = replace(scene, pictures=scene.pictures * 2, places=scene.places * 2)
    recipe = replace(live_recipe, drives_eyes=True, stitches=False)
    loose = replace(recipe, drives_eyes=False)
    motion, eyes = view.face.vector(), []
    for each in (recipe, loose):
        painter = Painter(Look(moving, shown), each, spy, 1)  # type: ignore[arg-type]
        painter.draw(canvas(scene), 1, motion)
        eyes.append(spy.drawn[-1][2][11, 0] / view.face.scale[0])
    # 12 degrees to the right of the first picture, so the left eyeball goes 0.26 * 12 * 0.0007
    assert eyes[0] - eyes[1] == pytest.approx(0.26 * 12 * 0.0007, rel=0.05)


def test_a_larger_character_moves_a_smaller_face_more(
    spy: Spy, avatar: Avatar, scene: Scene, live_recipe: Recipe
) -> None:
    """Its expression counts by the ratio of the sizes (DITTO_FACTS section 11)."""
    face, lip = avatar.views[0].face, 17
    character = live_recipe.character
    assert character is not None
    moves = []
    for size in (1.0, 2.0):
        scale = size * float(face.scale[0])
        recipe = replace(live_recipe, character=replace(character, scale=scale), stitches=False)
        painter = Painter(Look(avatar, scene), recipe, spy, 1)  # type: ignore[arg-type]
        painter.measure_from(face.vector())
        spoken = replace(face, exp=face.exp + np.float32(0.05)).vector()
        for motion in (face.vector(), spoken):
            painter.draw(canvas(scene), 0, motion)
        moves.append((spy.drawn[-1][2] - spy.drawn[-2][2])[lip, 1])
    assert moves[1] == pytest.approx(2 * moves[0], rel=1e-3)


def test_a_file_is_measured_from_the_zero_of_its_motion(
    spy: Spy, avatar: Avatar, scene: Scene, mind: Mind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from its first frame, where live windows warmed up before it (DITTO_FACTS section 10)."""
    face = avatar.views[0].face
    zero = replace(face, t=face.t + np.float32(0.1)).vector()
    moved = Performance(face.vector()[None], zero)
    monkeypatch.setattr(render, "perform", lambda *_arguments: moved)
    recipe = replace(mind.recipe, stitches=False, blinks=Blinks(), control=Control())
    shown = replace(mind, networks=spy, recipe=recipe)  # type: ignore[arg-type]
    assert len(list(render.pictures(Look(avatar, scene), shown, np.zeros(640, np.float32)))) == 1
    ((_features, own, driven),) = spy.drawn
    assert (driven - own)[:, :2] == pytest.approx(np.full((21, 2), -0.1), abs=1e-5)
