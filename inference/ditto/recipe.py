"""The checkpoint's own defaults, typed: how its networks were meant to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from inference.checkpoint import configuration
from inference.checkpoint.configuration import Defaults
from inference.ditto.conditions import Character, feeling
from inference.ditto.control import Blinks, Control
from inference.ditto.layout import Face, Floats
from inference.ditto.registration import Look
from inference.ditto.retarget import PICTURE_KEYS, VIDEO_KEYS, Style
from inference.ditto.windows import Joining, Overlap


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a checkpoint decides, and what it is where it says nothing."""

    look: Look = field(default_factory=Look)
    film_frames: int = 0  # of a video, no more than these; 0: it does not say
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
    def of(cls, told: Defaults) -> Recipe:
        """From a checkpoint's configuration.

        Raises:
            DittoRefused: a value that cannot be.
        """
        keeps, shapes = told.fix_kp_cond_dim, told.delta_eye_arr
        return cls(
            look=Look(
                told.max_size,
                told.crop_scale,
                told.crop_vy_ratio,
                told.crop_flag_do_rot,
                told.smo_k_s,
            ),
            # DITTO_FACTS section 6.0
            film_frames=max(0, told.template_n_frames if told.template_n_frames > 0 else told.N_d),
            live=told.online_mode,
            overlap=told.overlap_v2,
            steps=told.sampling_timesteps,
            emotions=feeling(told.emo),
            eyes_held=told.eye_f0_mode,
            character=_character(told.ch_info) if told.ch_info else None,
            reset_every=told.fix_kp_cond,
            reset_keeps=None if keeps is None else slice(*keeps),
            limits=told.v_min_max_for_clip,
            smoothing=told.smo_k_d,
            keys=_keys(told.use_d_keys),
            relative=told.relative_d,
            drives_eyes=told.drive_eye,
            blinks=Blinks(shapes, told.delta_eye_open_n),
            fade=told.fade_type,
            faded=told.fade_out_keys,
            stitches=told.flag_stitching,
            control=Control.of(told.overall_ctrl_info),
        )

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


def _keys(told: Mapping[str, float] | Sequence[str] | None) -> Mapping[str, float] | None:
    if told is None or isinstance(told, Mapping):
        return told
    return dict.fromkeys(told, 1.0)


def _character(told: configuration.Character) -> Character:
    face = Face.of(told.x_s_info_lst[0])
    return Character(
        told.eye_open_lst, told.eye_ball_lst, told.sc, face.vector(), float(face.scale[0])
    )
