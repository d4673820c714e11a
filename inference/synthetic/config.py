"""The configuration of the synthetic checkpoint: pickles like the published ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from inference.checkpoint.folder import OFFLINE, ONLINE
from inference.checkpoint.networks import MOTION
from inference.synthetic.motion import (
    EXPRESSION,
    FACE_DOWN,
    LIDS,
    POSE,
    SCALE,
    pose_logits,
    resting_key_points,
)


def save(folder: Path) -> None:
    """Write both."""
    for name, online in ((ONLINE, True), (OFFLINE, False)):
        # protocol 4: numpy's arrays as the published files hold them
        (folder / name).write_bytes(pickle.dumps(_configuration(online=online), protocol=4))


def _configuration(*, online: bool) -> dict[str, Any]:
    return {
        "base_cfg": _base(),
        "audio2motion_cfg": {
            "model_path": "lmdm_v0.4_hubert_fp32.engine",
            "device": "cuda",
            "motion_feat_dim": MOTION,
            "audio_feat_dim": 1103,
            "seq_frames": 80,
            "use_emo": True,
            "use_sc": True,
            "use_eye_open": True,
            "use_eye_ball": True,
            "w2f_type": "hubert",
        },
        "default_kwargs": _defaults(online=online),
    }


def _base() -> dict[str, Any]:
    models = {
        "insightface_det_cfg": "insightface_det_fp16",
        "landmark106_cfg": "landmark106_fp16",
        "landmark203_cfg": "landmark203_fp16",
        "appearance_extractor_cfg": "appearance_extractor_fp16",
        "motion_extractor_cfg": "motion_extractor_fp32",
        "stitch_network_cfg": "stitch_network_fp16",
        "warp_network_cfg": "warp_network_fp16",
        "decoder_cfg": "decoder_fp16",
        "hubert_cfg": "hubert_fp32",
    }
    base: dict[str, Any] = {
        key: {"model_path": f"{stem}.engine", "device": "cuda"} for key, stem in models.items()
    }
    base["landmark478_cfg"] = {
        "blaze_face_model_path": "blaze_face_fp16.engine",
        "face_mesh_model_path": "face_mesh_fp16.engine",
        "device": "cuda",
    }
    return base


def _defaults(*, online: bool) -> dict[str, Any]:
    return {
        "online_mode": online,
        "max_size": 1920,
        "template_n_frames": -1,
        "crop_scale": 2.3,
        "crop_vx_ratio": 0,
        "crop_vy_ratio": -0.125,
        "crop_flag_do_rot": True,
        "smo_k_s": 13,
        "emo": _emotions(),
        "eye_f0_mode": False,
        "ch_info": _character(),
        "overlap_v2": 70 if online else 10,
        "fix_kp_cond": 1,
        "fix_kp_cond_dim": [0, 202],
        "sampling_timesteps": 10 if online else 50,
        "v_min_max_for_clip": _limits(),
        "smo_k_d": 3,
        "N_d": -1,
        "use_d_keys": None,
        "relative_d": True,
        "drive_eye": None,
        "delta_eye_arr": _blink(),
        "delta_eye_open_n": 0,
        "fade_type": "d0",
        "fade_out_keys": ["exp"],
        "flag_stitching": True,
        "overall_ctrl_info": {"delta_pitch": 2},
    }


def _emotions() -> np.ndarray[Any, np.dtype[np.float64]]:
    """(600, 8): neutral, with a smile that comes and goes."""
    happy = 0.1 + 0.1 * np.sin(np.arange(600) * 2 * np.pi / 300)
    emotions = np.full((600, 8), 0.01)
    emotions[:, 3] = happy
    emotions[:, 4] = 1 - happy - 0.06
    return emotions


def _character() -> dict[str, Any]:
    """The reference that motion is made for: a face that looks ahead."""
    logits = pose_logits(0.0)[np.newaxis].astype(np.float32)
    points = resting_key_points().reshape(1, 63).astype(np.float32)
    looks = {
        "pitch": logits,
        "yaw": logits.copy(),
        "roll": logits.copy(),
        "t": np.array([[0, FACE_DOWN, 0]], np.float32),
        "exp": np.zeros((1, 63), np.float32),
        "scale": np.array([[SCALE]], np.float32),
        "kp": points,
    }
    return {
        "x_s_info_lst": [looks],
        "sc": points.reshape(63).copy(),
        "eye_open_lst": [np.array([[0.8, 0.8]], np.float32)],
        "eye_ball_lst": [np.zeros((1, 6), np.float32)],
    }


def _limits() -> np.ndarray[Any, np.dtype[np.float32]]:
    """(4, 265): least and greatest of each number, then two rows that nobody reads."""
    limits = np.zeros((4, MOTION), np.float32)
    reach = np.full(MOTION, 2.0)
    reach[POSE] = 1000.0
    reach[EXPRESSION:] = 0.3
    limits[0], limits[1] = -reach, reach
    return limits


def _blink() -> np.ndarray[Any, np.dtype[np.float64]]:
    """(15, 63): how far the lids are down in each frame of a blink."""
    closed = np.sin(np.linspace(0, np.pi, 15))
    lids = np.zeros((15, 21, 3))
    lids[:, LIDS, 1] = 0.08 * closed[:, np.newaxis]
    return lids.reshape(15, 63)
