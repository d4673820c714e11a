"""The configuration of a checkpoint as a typed value.

Its fields have the names that the files use, so that both can be read side by side. Where a file
has no such key, the value is the one that the published code falls back to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.checkpoint import unpickle
from inference.checkpoint.errors import ConfigurationRejected
from inference.checkpoint.networks import CONDITION, MOTION, WINDOW

Floats = NDArray[np.float32]

# Numbers of one look at a face, as the motion network gives them.
LOOKS = {"pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63, "scale": 1, "kp": 63}
DRIVEN = sorted(LOOKS.keys() - {"kp"})  # the points at rest are no motion
BLINK_FRAMES = 15
FEELINGS = 8


@dataclass(frozen=True, slots=True)
class Character:
    """The face that motion is made for, before it is carried over to the avatar's."""

    x_s_info_lst: tuple[Mapping[str, Floats], ...]  # each of LOOKS as (1, n)
    sc: Floats  # (63,)
    eye_open_lst: Floats  # (n, 2)
    eye_ball_lst: Floats  # (n, 6)


@dataclass(frozen=True, slots=True)
class Defaults:
    """How the pipeline is run where the caller says nothing else."""

    online_mode: bool = False
    max_size: int = 1920
    template_n_frames: int = -1
    crop_scale: float = 2.3
    crop_vx_ratio: float = 0.0
    crop_vy_ratio: float = -0.125
    crop_flag_do_rot: bool = True
    smo_k_s: int = 13
    # a label, several at once, those of each frame, or (n, 8)
    emo: int | tuple[int, ...] | tuple[tuple[int, ...], ...] | Floats = 4
    eye_f0_mode: bool = False
    ch_info: Character | None = None
    overlap_v2: int = 10
    fix_kp_cond: int = 0
    fix_kp_cond_dim: tuple[int, int] | None = None
    sampling_timesteps: int = 50
    v_min_max_for_clip: Floats | None = None  # (2, 265): least, greatest
    smo_k_d: int = 3
    N_d: int = -1
    use_d_keys: Mapping[str, float] | tuple[str, ...] | None = None  # with gains, or only names
    relative_d: bool = True
    drive_eye: bool | None = None
    delta_eye_arr: Floats | None = None  # (15 or more, 63)
    delta_eye_open_n: int | tuple[int, ...] = 0
    fade_type: str = ""
    fade_out_keys: tuple[str, ...] = ("exp",)
    flag_stitching: bool = True
    overall_ctrl_info: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One file of ``ditto_cfg``."""

    path: Path
    defaults: Defaults
    unknown: tuple[str, ...]  # keys that are not looked at


def read(path: Path) -> Configuration:
    """Read and check one.

    Raises:
        ConfigurationRejected: damaged, for another version, or with values of another kind; all
            problems are told at once.
    """
    content = unpickle.read(path)
    wanted = {"base_cfg", "audio2motion_cfg", "default_kwargs"}
    if not isinstance(content, dict) or not wanted <= content.keys():
        missing = ", ".join(sorted(wanted - set(content if isinstance(content, dict) else ())))
        raise _rejected(path, [f"has no {missing}"])
    problems = [*_other_version(content["audio2motion_cfg"])]
    given = content["default_kwargs"] if isinstance(content["default_kwargs"], dict) else {}
    values: dict[str, Any] = {}
    for name, reader in _READERS.items():
        if name in given:
            try:
                values[name] = reader(given[name])
            except (ValueError, TypeError, KeyError, IndexError) as error:
                problems.append(f"{name} is {_shown(given[name])}: {error}")
    if problems:
        raise _rejected(path, problems)
    unknown = tuple(sorted(str(key) for key in given.keys() - _READERS.keys()))
    return Configuration(path, Defaults(**values), unknown)


def _rejected(path: Path, problems: list[str]) -> ConfigurationRejected:
    return ConfigurationRejected(
        path, "; ".join(problems), "fetch the configuration that belongs to v0.4_hubert"
    )


def _other_version(model: Any) -> list[str]:
    """What the motion network was trained for must be what the pipeline feeds it."""
    wanted = {
        "motion_feat_dim": MOTION,
        "audio_feat_dim": CONDITION,
        "seq_frames": WINDOW,
        "w2f_type": "hubert",
    }
    if not isinstance(model, dict):
        return ["audio2motion_cfg is no table"]
    return [
        f"{key} is {model[key]!r:.40}, not {value}"
        for key, value in wanted.items()
        if key in model and model[key] != value
    ]


def _shown(value: Any) -> str:
    return f"an array {value.shape}" if isinstance(value, np.ndarray) else f"{value!r:.60}"


def _array(*shape: int | None) -> Callable[[Any], Floats]:
    """Numbers of that shape, as float32; None: any length."""

    def read_it(value: Any) -> Floats:
        array = np.array(value, np.float32)
        told = "x".join("n" if n is None else str(n) for n in shape)
        same = len(array.shape) == len(shape) and all(
            b in (None, a) for a, b in zip(array.shape, shape, strict=True)
        )
        if not same or not array.size:
            raise ValueError(f"must have the shape {told}")
        if not np.isfinite(array).all():
            raise ValueError("holds numbers that are not finite")
        array.flags.writeable = False
        return array

    return read_it


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError("must be a whole number")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError("must be a number")
    if not np.isfinite(value):
        raise ValueError("must be finite")
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)) and value not in (0, 1):
        raise ValueError("must be true or false")
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError("must be a list of names")
    return tuple(_text(item) for item in value)


def _optional(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else reader(value)


def _emotion(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _array(None, FEELINGS)(value)
    if not isinstance(value, (list, tuple)):
        return _label(value)
    if any(isinstance(each, (list, tuple)) for each in value):  # of each frame
        rows = [each if isinstance(each, (list, tuple)) else (each,) for each in value]
        return tuple(_labels(row) for row in rows)
    return _labels(value)


def _labels(values: Any) -> tuple[int, ...]:
    return tuple(_label(each) for each in values or (None,))


def _label(value: Any) -> int:
    if value is None or not 0 <= _whole(value) < FEELINGS:
        raise ValueError(f"must be a number from 0 to {FEELINGS - 1}")
    return int(value)


def _blink(value: Any) -> Floats:
    shapes = _array(None, 63)(value)
    if len(shapes) < BLINK_FRAMES:
        raise ValueError(f"must have {BLINK_FRAMES} rows, one for each frame of a blink")
    return shapes


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise ValueError("must be above 0")
    return float(value)


def _pair(value: Any) -> tuple[int, int]:
    first, last = value
    return _whole(first), _whole(last)


def _limits(value: Any) -> Floats:
    """Rows after the second have no meaning."""
    return _array(2, MOTION)(np.asarray(value)[:2])


def _keys(value: Any) -> Mapping[str, float] | tuple[str, ...]:
    if not isinstance(value, dict):
        return _parts(value)
    gains = _gains(value)
    _parts(tuple(gains))
    return gains


def _parts(value: Any) -> tuple[str, ...]:
    """Names of parts of a motion."""
    names = _texts(value)
    for name in names:
        if name not in DRIVEN:
            raise ValueError(f"{name!r:.40} is not driven: {', '.join(DRIVEN)} are")
    return names


def _gains(value: Any) -> Mapping[str, float]:
    if not isinstance(value, dict):
        raise TypeError("must be a table of numbers")
    return {_text(key): _number(item) for key, item in value.items()}


def _open_frames(value: Any) -> int | tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        return _whole(value)
    times = tuple(_whole(item) for item in value)
    if not times or min(times) < 0:
        raise ValueError("a list of times must hold 0 or more, as frames")
    return times


def _character(value: Any) -> Character:
    looks = tuple(
        {name: _array(1, n)(np.reshape(look[name], (1, -1))) for name, n in LOOKS.items()}
        for look in value["x_s_info_lst"]
    )
    if not looks:
        raise ValueError("x_s_info_lst is empty")
    return Character(
        looks,
        _array(63)(np.reshape(value["sc"], -1)),
        _array(None, 2)(np.concatenate(value["eye_open_lst"])),
        _array(None, 6)(np.concatenate(value["eye_ball_lst"])),
    )


_READERS: dict[str, Callable[[Any], Any]] = {
    "online_mode": _truth,
    "max_size": _whole,
    "template_n_frames": _whole,
    "crop_scale": _positive,
    "crop_vx_ratio": _number,
    "crop_vy_ratio": _number,
    "crop_flag_do_rot": _truth,
    "smo_k_s": _whole,
    "emo": _emotion,
    "eye_f0_mode": _truth,
    "ch_info": _optional(_character),
    "overlap_v2": _whole,
    "fix_kp_cond": _whole,
    "fix_kp_cond_dim": _optional(_pair),
    "sampling_timesteps": _whole,
    "v_min_max_for_clip": _optional(_limits),
    "smo_k_d": _whole,
    "N_d": _whole,
    "use_d_keys": _optional(_keys),
    "relative_d": _truth,
    "drive_eye": _optional(_truth),
    "delta_eye_arr": _optional(_blink),
    "delta_eye_open_n": _open_frames,
    "fade_type": _text,
    "fade_out_keys": _parts,
    "flag_stitching": _truth,
    "overall_ctrl_info": _gains,
}
assert _READERS.keys() == {item.name for item in fields(Defaults)}
