"""The networks as functions: what each takes and gives, in the pipeline's own terms.

Names and shapes are those of the published files; the ranges of values are the training's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from inference.checkpoint.networks import SPECS
from inference.ditto.errors import DittoRefused
from inference.ditto.hearing import row_count
from inference.ditto.layout import Face, Floats
from inference.engines.protocol import Array, Held, Kept, Network, array
from rawmedia import Frame

NAMES = (
    "blaze_face",
    "face_mesh",
    "landmark203",
    "appearance_extractor",
    "motion_extractor",
    "hubert",
    "lmdm",
    "stitch_network",
    "warp_network",
    "decoder",
)


# Of a session: the face that is drawn. One that is put on again, which is rare, is brought again:
# it would hold 8 MB for a stream's whole life.
MOST_KEPT = 1


@dataclass(frozen=True, slots=True)
class Networks:
    """One session's networks by name; see :data:`NAMES`.

    Args:
        by_name: the networks.
        upload: of their engine; None: what is drawn from is copied for each frame.
    """

    by_name: Mapping[str, Network]
    upload: Callable[[Array], Kept] | None = None
    # By identity, each with the features themselves so that no others get its number.
    _kept: dict[int, tuple[Floats, Kept]] = field(default_factory=dict)

    def blaze_face(self, picture: Floats) -> tuple[Floats, Floats]:
        """(regressors, scores) of a (1,128,128,3) picture from -1 to 1."""
        said = self._run("blaze_face", input=picture)
        return said["regressors"], said["classificators"]

    def face_mesh(self, picture: Floats) -> tuple[Floats, float]:
        """(1434 coordinates, logit that it is a face) of a (1,256,256,3) picture."""
        network = self.by_name["face_mesh"]
        said = self._run("face_mesh", input=picture)
        points, sure = (said[tensor.name] for tensor in network.outputs[:2])
        return points.reshape(-1), float(sure.reshape(-1)[0])

    @property
    def has_insightface(self) -> bool:
        """Whether the networks for research were asked for."""
        return "insightface_det" in self.by_name

    def insightface_det(self, picture: Floats) -> dict[str, Floats]:
        """Scores and boxes of three strides, of (1,3,512,512)."""
        return self._run("insightface_det", image=picture)

    def landmark106(self, crop: Floats) -> Floats:
        """212 numbers from -1 to 1, of (1,3,192,192) from 0 to 255."""
        points: Floats = self._run("landmark106", data=crop)["fc1"]
        return points

    def landmark203(self, crop: Frame) -> Floats:
        """203x2 shares of a 224x224 RGB crop."""
        points: Floats = self._run("landmark203", input=_planes(crop))["landmarks"]
        return points.reshape(203, 2)

    def motion(self, crop: Frame) -> Face:
        """What a 256x256 RGB crop shows."""
        return Face.of(self._run("motion_extractor", image=_planes(crop)))

    def appearance(self, crop: Frame) -> Floats:
        """(1,32,16,64,64) features of a 256x256 RGB crop."""
        features: Floats = self._run("appearance_extractor", image=_planes(crop))["pred"]
        return features

    def hear(self, samples: Floats) -> Floats:
        """(T,1024) rows of samples from -1 to 1 at 16 kHz.

        Raises:
            DittoRefused: it is no network of this kind.
        """
        rows: Floats = self._run("hubert", input_values=samples[None])["encoding_out"]
        if len(rows) != row_count(len(samples)):
            raise DittoRefused(
                f"the network hubert gave {len(rows)} rows for {len(samples)} samples, "
                f"{row_count(len(samples))} are right; fetch its file again"
            )
        return rows

    def denoise(self, x: Floats, start: Floats, told: Floats, time: int) -> tuple[Floats, Floats]:
        """(predicted noise, predicted motion), both (1,80,265)."""
        when = np.array([time], np.int64)
        said = self._run("lmdm", x=x, cond_frame=start, cond=told, time_cond=when)
        return said["pred_noise"], said["x_start"]

    def stitch(self, own: Floats, driven: Floats) -> Floats:
        """(21,3) points that fit the neck and shoulders of the picture."""
        said = self._run("stitch_network", kp_source=own[None], kp_driving=driven[None])
        points: Floats = said["out"][0]
        return points

    def draw(self, features: Floats, own: Floats, driven: Floats, *, again: bool = False) -> Floats:
        """(1,3,512,512) RGB from 0 to 1; what is between the two networks stays on the device.

        Args:
            features: (1,32,16,64,64), of one view.
            own, driven: (21,3) keypoints of the view, and of the frame.
            again: the next frames are drawn from the same features: they are brought to the
                device once (DITTO_FACTS section 5), where they also have one address, so that a
                CUDA graph can be launched again.
        """
        volume = self._on_device(features) if again else features
        feeds = {"feature_3d": volume, "kp_source": own[None], "kp_driving": driven[None]}
        warped = self.by_name["warp_network"].run(feeds, hold=("out",))["out"]
        picture = self.by_name["decoder"].run({"feature": warped})["output"]
        return array(picture)

    def warm_up(self, samples: int) -> None:
        """Run each once, on zeros: a first run allocates, and chooses among kernels.

        Args:
            samples: of sound, that will be heard at once.
        """
        for name, network in self.by_name.items():
            free = samples if name == "hubert" else 1  # lengths that a file leaves open
            shapes = {tensor: [n or free for n in tensor.shape] for tensor in SPECS[name].inputs}
            network.run({t.name: np.zeros(shape, t.dtype) for t, shape in shapes.items()})

    def release(self) -> None:
        """Give their memory back."""
        for network in self.by_name.values():
            network.release()
        self._forget(0)

    def _on_device(self, features: Floats) -> Array | Held:
        if self.upload is None:
            return features
        found = self._kept.pop(id(features), None) or (features, self.upload(features))
        self._kept[id(features)] = found  # the newest
        self._forget(MOST_KEPT)
        return found[1]

    def _forget(self, most: int) -> None:
        for oldest in list(self._kept)[: max(0, len(self._kept) - most)]:
            self._kept.pop(oldest)[1].release()

    def _run(self, name: str, **feeds: Array) -> dict[str, Any]:
        said = self.by_name[name].run(feeds)
        return {key: array(value) for key, value in said.items()}


def _planes(crop: Frame) -> Floats:
    """(1,3,H,W) from 0 to 1."""
    planes = crop.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    return np.ascontiguousarray(planes[None])


def halved(crop: Frame) -> Frame:
    """512 to 256 pixels, each the mean of four."""
    return np.asarray(
        cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8
    )
