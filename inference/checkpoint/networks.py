"""The networks of Ditto: what their files are called, what they take and give.

Names, shapes and types are those of the published files (digital-avatar/ditto-talkinghead); batch 1
throughout. The value ranges are the pipeline's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.engines.protocol import Shape, Tensor

# Lengths in samples of 16 kHz that the audio network is made for: shortest, usual, longest.
HUBERT_SAMPLES = (3240, 6480, 12960)
FACE_POINTS = 21  # key points that move the face
MOTION = 265  # numbers of one frame's motion
CONDITION = 1103  # numbers of one frame's condition
WINDOW = 80  # frames of one run of the motion network
ANCHORS = 896  # places where BlazeFace looks
MESH = 478 * 3


@dataclass(frozen=True, slots=True)
class Spec:
    """One network: the stems its file may have, best first, and its inputs and outputs.

    Outputs of a file are taken by name where it has those names, else in this order. ``None`` as
    shape: not known, and not looked at. ``fp32`` networks lose too much in half precision.
    """

    name: str
    stems: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor | str, ...]
    fp32: bool = False
    research_only: bool = False


def _floats(name: str, *shape: int | None) -> Tensor:
    return Tensor(name, np.dtype(np.float32), shape)


def _spec(
    name: str,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor | str, ...],
    *,
    stems: tuple[str, ...] = (),
    fp32: bool = False,
    research_only: bool = False,
) -> Spec:
    return Spec(name, stems or (name,), inputs, outputs, fp32, research_only)


def _detector_outputs() -> tuple[Tensor, ...]:
    """Two anchors at each place of the strides 8, 16 and 32 of 512 pixels."""
    rows = tuple(2 * (512 // stride) ** 2 for stride in (8, 16, 32))
    return tuple(
        _floats(f"{kind}{i}", rows[i - 1], width)
        for kind, width in (("scores", 1), ("boxes", 4), ("kps", 10))
        for i in (1, 2, 3)
    )


_POINTS: Shape = (1, FACE_POINTS, 3)
_PAIR = (_floats("kp_source", *_POINTS), _floats("kp_driving", *_POINTS))

SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        _spec(
            "blaze_face",
            (_floats("input", 1, 128, 128, 3),),
            (_floats("regressors", 1, ANCHORS, 16), _floats("classificators", 1, ANCHORS, 1)),
        ),
        _spec(
            "face_mesh",
            (_floats("input", None, 256, 256, 3),),
            (_floats("Identity", None, 1, 1, MESH), "Identity_1", "Identity_2"),
        ),
        _spec(
            "insightface_det",
            (_floats("image", 1, 3, 512, 512),),
            _detector_outputs(),
            research_only=True,
        ),
        _spec(
            "landmark106",
            (_floats("data", None, 3, 192, 192),),
            (_floats("fc1", None, 212),),
            research_only=True,
        ),
        _spec(
            "landmark203",
            (_floats("input", 1, 3, 224, 224),),
            (_floats("landmarks", 1, 406),),
        ),
        _spec(
            "appearance_extractor",
            (_floats("image", 1, 3, 256, 256),),
            (_floats("pred", 1, 32, 16, 64, 64),),
        ),
        _spec(
            "motion_extractor",
            (_floats("image", 1, 3, 256, 256),),
            (
                _floats("pitch", 1, 66),
                _floats("yaw", 1, 66),
                _floats("roll", 1, 66),
                _floats("t", 1, 3),
                _floats("exp", 1, 63),
                _floats("scale", 1, 1),
                _floats("kp", 1, 63),
            ),
            fp32=True,
        ),
        _spec(
            "hubert",
            (_floats("input_values", 1, None),),
            (_floats("encoding_out", None, 1024),),
            fp32=True,
        ),
        _spec(
            "lmdm",
            (
                _floats("x", 1, WINDOW, MOTION),
                _floats("cond_frame", 1, MOTION),
                _floats("cond", 1, WINDOW, CONDITION),
                Tensor("time_cond", np.dtype(np.int64), (1,)),
            ),
            (_floats("pred_noise", 1, WINDOW, MOTION), _floats("x_start", 1, WINDOW, MOTION)),
            stems=("lmdm_v0.4_hubert",),
            fp32=True,
        ),
        _spec("stitch_network", _PAIR, (_floats("out", *_POINTS),)),
        _spec(
            "warp_network",
            (_floats("feature_3d", 1, 32, 16, 64, 64), *_PAIR),
            (_floats("out", 1, 256, 64, 64),),
            # warp_network.onnx needs a plugin of TensorRT 8; both are rewritten when loaded
            stems=("warp_network_ori", "warp_network"),
        ),
        _spec(
            "decoder",
            (_floats("feature", 1, 256, 64, 64),),
            (_floats("output", 1, 3, 512, 512),),
        ),
    )
}
