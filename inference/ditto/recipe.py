"""The checkpoint's own defaults, typed: how its networks were meant to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from inference.ditto.conditions import Character, feeling
from inference.ditto.control import Blinks, Control
from inference.ditto.errors import DittoRefused
from inference.ditto.layout import Face, Floats
from inference.ditto.registration import Look
from inference.ditto.retarget import PICTURE_KEYS, VIDEO_KEYS, Style
from inference.ditto.windows import Joining, Overlap


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a checkpoint decides, and what it is where it says nothing."""

    look: Look = field(default_factory=Look)
    live: bool = False
    overlap: int = 10
    steps: int = 50
    emotions: Floats = field(default_factory=lambda: feeling("neutral"))
    eyes_held: bool = False
    character: Character | None = None
    reset_every: int = 0
    reset_keeps: slice | None = None
    limits: Floats | None = None
    smoothing: int = 3
    keys: Mapping[str, float] | None = None  # driven keys with their gains; None: by the source
    relative: bool = True
    drives_eyes: bool | None = None  # None: by the source
    blinks: Blinks = field(default_factory=Blinks)
    fade: str = ""
    faded: tuple[str, ...] = ("exp",)
    stitches: bool = True
    control: Control = field(default_factory=Control)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Recipe:
        """From the configuration's ``default_kwargs``; keys that it lacks have upstream's values.

        Raises:
            DittoRefused: a value that cannot be.
        """
        try:
            return cls(**_values(told))
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise DittoRefused(f"the checkpoint's configuration cannot be used: {error}") from error

    def joining(self, start: Floats) -> Joining:
        """How windows are joined for a stream that begins with ``start``.

        Raises:
            DittoRefused: an overlap that cannot be.
        """
        overlap = Overlap(self.overlap, self.live)
        return Joining(overlap, start, self.reset_every, self.reset_keeps, self.smoothing)

    def style(self, *, video: bool) -> Style:
        """How motion is laid over a photo, or a video."""
        keys = self.keys or dict.fromkeys(VIDEO_KEYS if video else PICTURE_KEYS, 1.0)
        drives = not video if self.drives_eyes is None else self.drives_eyes
        return Style(
            tuple(keys),
            drives,
            # online the zero is known from the start, and what has one is measured from it
            self.relative or self.live,
            MappingProxyType(dict(keys)),
            self.fade,
            self.faded,
            self.stitches,
        )


def _values(told: Mapping[str, Any]) -> dict[str, Any]:
    get = told.get
    keeps = get("fix_kp_cond_dim")
    gaps = get("delta_eye_open_n", 0)
    return {
        "look": Look(
            int(get("max_size", 1920)),
            float(get("crop_scale", 2.3)),
            float(get("crop_vy_ratio", -0.125)),
            bool(get("crop_flag_do_rot", True)),
            int(get("smo_k_s", 13)),
        ),
        "live": bool(get("online_mode", False)),
        "overlap": int(get("overlap_v2", 10)),
        "steps": int(get("sampling_timesteps", 50)),
        "emotions": feeling(get("emo", 4)),
        "eyes_held": bool(get("eye_f0_mode", False)),
        "character": _character(get("ch_info")),
        "reset_every": int(get("fix_kp_cond", 0)),
        "reset_keeps": None if keeps is None else slice(int(keeps[0]), int(keeps[1])),
        "limits": _floats(get("v_min_max_for_clip")),
        "smoothing": int(get("smo_k_d", 3)),
        "keys": _keys(get("use_d_keys")),
        "relative": bool(get("relative_d", True)),
        "drives_eyes": get("drive_eye"),
        "blinks": Blinks(
            _floats(get("delta_eye_arr")),
            tuple(int(n) for n in gaps) if isinstance(gaps, (list, tuple)) else int(gaps),
        ),
        "fade": str(get("fade_type", "")),
        "faded": tuple(get("fade_out_keys", ("exp",))),
        "stitches": bool(get("flag_stitching", True)),
        "control": Control.of(get("overall_ctrl_info") or {}),
    }


def _floats(value: Any) -> Floats | None:
    return None if value is None else np.asarray(value, np.float32)


def _keys(told: Mapping[str, float] | Sequence[str] | None) -> Mapping[str, float] | None:
    if told is None:
        return None
    if isinstance(told, Mapping):
        return {str(key): float(gain) for key, gain in told.items()}
    return dict.fromkeys((str(key) for key in told), 1.0)


def _character(told: Mapping[str, Any] | None) -> Character | None:
    if not told:
        return None
    face = Face.of(told["x_s_info_lst"][0])
    return Character(
        np.concatenate([np.reshape(each, (1, 2)) for each in told["eye_open_lst"]]).astype(
            np.float32
        ),
        np.concatenate([np.reshape(each, (1, 6)) for each in told["eye_ball_lst"]]).astype(
            np.float32
        ),
        np.asarray(told["sc"], np.float32).reshape(63),
        face.vector(),
        float(face.scale[0]),
    )
