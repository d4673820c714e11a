"""What a configuration says is what is done: no value is lost, none is taken for another."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from inference.checkpoint.configuration import LOOKS, Character, Defaults
from inference.ditto.control import Control
from inference.ditto.recipe import Recipe
from inference.ditto.retarget import PICTURE_KEYS, VIDEO_KEYS

RNG = np.random.default_rng(3)
LOOK = {name: RNG.random((1, n), np.float32) for name, n in LOOKS.items()}
CHARACTER = Character(
    (LOOK,),
    RNG.random(63, np.float32),
    RNG.random((2, 2), np.float32),
    RNG.random((2, 6), np.float32),
)
# Each value is another than what is taken where a file says nothing.
TOLD = Defaults(
    online_mode=True,
    max_size=1000,
    template_n_frames=7,
    crop_scale=2.1,
    crop_vx_ratio=0.3,
    crop_vy_ratio=-0.2,
    crop_flag_do_rot=False,
    smo_k_s=11,
    emo=(3, 5),
    eye_f0_mode=True,
    ch_info=CHARACTER,
    overlap_v2=71,
    fix_kp_cond=2,
    fix_kp_cond_dim=(3, 200),
    sampling_timesteps=9,
    v_min_max_for_clip=RNG.random((2, 265), np.float32),
    smo_k_d=5,
    N_d=99,
    use_d_keys={"exp": 0.5, "t": 2.0},
    relative_d=False,
    drive_eye=False,
    delta_eye_arr=RNG.random((15, 63), np.float32),
    delta_eye_open_n=(50, 60),
    fade_type="s",
    fade_out_keys=("t",),
    flag_stitching=False,
    overall_ctrl_info={"delta_yaw": 4.0},
)


def test_every_value_is_another_than_the_default() -> None:
    """Else the test below could not see that it was lost."""
    plain = Defaults()
    for item in fields(Defaults):
        assert not np.array_equal(getattr(TOLD, item.name), getattr(plain, item.name)), item.name


def test_what_a_configuration_says() -> None:
    recipe = Recipe.of(TOLD)
    look = recipe.look
    assert (look.max_size, look.crop_scale, look.crop_up) == (1000, 2.1, -0.2)
    assert (look.crop_rotated, look.smoothing) == (False, 11)
    assert recipe.film_frames == 7
    assert (recipe.live, recipe.overlap, recipe.steps) == (True, 71, 9)
    assert recipe.emotions[0, [3, 5]] == pytest.approx([0.5, 0.5], abs=2e-3)
    assert recipe.eyes_held
    assert (recipe.reset_every, recipe.reset_keeps) == (2, slice(3, 200))
    assert recipe.limits is TOLD.v_min_max_for_clip
    assert recipe.smoothing == 5
    assert recipe.blinks.shapes is TOLD.delta_eye_arr
    assert recipe.blinks.open_frames == (50, 60)
    assert recipe.control == Control(delta_yaw=4)
    for video in (False, True):
        style = recipe.style(video=video)
        assert (style.keys, style.gain) == (("exp", "t"), {"exp": 0.5, "t": 2.0})
        assert (style.fade, style.faded) == ("s", ("t",))
        assert (style.drives_eyes, style.stitches) == (False, False)


def test_the_reference_character() -> None:
    """Its conditions, its first motion, and its size."""
    character = Recipe.of(TOLD).character
    assert character is not None
    assert character.eye_open is CHARACTER.eye_open_lst
    assert character.eye_ball is CHARACTER.eye_ball_lst
    assert character.rest is CHARACTER.sc
    assert character.scale == pytest.approx(float(LOOK["scale"][0, 0]))
    start = [
        LOOK["scale"][0] - 1,
        *(LOOK[name][0] for name in ("pitch", "yaw", "roll", "t", "exp")),
    ]
    assert np.array_equal(character.start, np.concatenate(start))
    assert character.held().eye_open.tolist() == CHARACTER.eye_open_lst[:1].tolist()


def test_where_it_says_nothing_the_source_decides() -> None:
    """A photo is driven as a whole, of a video only the expression (DITTO_FACTS section 11)."""
    recipe = Recipe.of(Defaults())
    photo, video = recipe.style(video=False), recipe.style(video=True)
    assert (photo.keys, photo.drives_eyes) == (PICTURE_KEYS, True)
    assert (video.keys, video.drives_eyes) == (VIDEO_KEYS, False)
    assert recipe.character is None
    assert recipe.control == Control()


@pytest.mark.parametrize(
    ("template", "rendered", "used"), [(-1, -1, 0), (-1, 99, 99), (0, 99, 99), (7, 99, 7)]
)
def test_how_much_of_a_video_is_looked_at(template: int, rendered: int, used: int) -> None:
    """DITTO_FACTS section 6.0; 0: all of it."""
    told = Defaults(template_n_frames=template, N_d=rendered)
    assert Recipe.of(told).film_frames == used


@pytest.mark.parametrize(
    ("relative", "live", "measured"),
    [(True, False, True), (False, False, False), (True, True, True), (False, True, True)],
)
def test_live_motion_is_always_measured_from_its_start(
    relative: bool, live: bool, measured: bool
) -> None:
    """DITTO_FACTS section 15b: relative_d has no effect online."""
    told = Defaults(relative_d=relative, online_mode=live, overlap_v2=70)
    assert Recipe.of(told).style(video=False).relative == measured
