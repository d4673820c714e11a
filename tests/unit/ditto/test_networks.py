"""What is fed to which input, and what of each output is taken: a mistake moves something here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import cv2
import numpy as np
import pytest

from inference.checkpoint.networks import SPECS
from inference.ditto.layout import Floats
from inference.ditto.networks import Networks, halved
from inference.engines.protocol import Array, Held, Network
from rawmedia import Frame


def crop(x: int, y: int) -> Frame:
    """256x256 RGB, dark, with a light orange square in the middle of (x, y)."""
    picture = np.full((256, 256, 3), 20, np.uint8)
    picture[y - 12 : y + 12, x - 12 : x + 12] = (250, 160, 60)
    return picture


def points(x: float, y: float) -> Floats:
    """All 21 at one place of the crop, which is 2 wide."""
    return np.tile(np.array((x, y, 0), np.float32), (21, 1))


def centre(picture: Floats) -> tuple[float, float]:
    """Of light, in pixels of 512: x, y."""
    light = picture[0].sum(axis=0)
    light = np.where(light > 0.5 * light.max(), light, 0)
    rows, columns = np.mgrid[:512, :512]
    return float((columns * light).sum() / light.sum()), float((rows * light).sum() / light.sum())


AT_REST = points(0.0, 0.0)


def test_a_face_at_rest_is_drawn_as_it_was(networks: Networks) -> None:
    """Each place and each colour where it was: not mirrored, not turned, red is red."""
    drawn = networks.draw(networks.appearance(crop(90, 150)), AT_REST, AT_REST)
    assert drawn.shape == (1, 3, 512, 512)
    assert centre(drawn) == pytest.approx((180, 300), abs=3)
    assert drawn[0, :, 300, 180] == pytest.approx(np.array((250, 160, 60)) / 255, abs=0.03)


@pytest.mark.parametrize(("across", "down"), [(0.15, 0.0), (-0.15, 0.0), (0.0, 0.15), (0.0, -0.1)])
def test_what_is_driven_goes_where_it_is_driven(
    networks: Networks, across: float, down: float
) -> None:
    """From the source's points to the driven ones; the other way round it would go back."""
    drawn = networks.draw(networks.appearance(crop(128, 128)), AT_REST, points(across, down))
    x, y = centre(drawn)
    assert np.sign(round(x - 256, -1)) == np.sign(across)
    assert np.sign(round(y - 256, -1)) == np.sign(down)


def test_stitching_starts_from_the_driven_points(networks: Networks) -> None:
    """The tiny network draws them a tenth of the way to the source's."""
    stitched = networks.stitch(AT_REST, points(0.2, -0.1))
    assert stitched == pytest.approx(points(0.18, -0.09), abs=0.005)


def test_the_motion_network_says_noise_then_motion(networks: Networks) -> None:
    """What it takes for the motion is that of its condition, whatever the noise and the time."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 80, 265), np.float32)
    start, told = np.zeros((1, 265), np.float32), np.zeros((1, 80, 1103), np.float32)
    told[0, :, 0] = np.arange(80) / 100  # the first of what is heard
    said = [networks.denoise(x, start, told, time) for time in (99, 999)]
    for _noise, motion in said:
        assert motion[0, :, 0] == pytest.approx(np.arange(80) / 100, abs=1e-5)
    assert not np.allclose(said[0][0], said[1][0], atol=0.01), "the noise hangs on the time"
    before = np.linspace(0, 1, 265, dtype=np.float32)[None]
    moved = networks.denoise(x, before, told, 99)[1] - said[0][1]
    assert moved[0, 7, 202:] == pytest.approx(before[0, 202:], abs=1e-4), "it goes on from there"


def test_what_a_face_does_is_where_the_network_says_it(networks: Networks) -> None:
    """A light from the right is a turn to the right; from above, a nod: neither is swapped."""
    level, right, low = (networks.motion(crop(*at)) for at in ((128, 128), (200, 128), (128, 200)))

    def peak(logits: Floats) -> int:
        return int(logits.argmax())

    assert peak(right.yaw) > peak(level.yaw)
    assert peak(right.pitch) == peak(level.pitch)
    assert peak(low.pitch) > peak(level.pitch)
    assert peak(low.yaw) == peak(level.yaw)
    assert (right.t - level.t)[0] > 10 * abs((right.t - level.t)[1])
    assert (len(level.exp), len(level.kp), len(level.scale)) == (63, 63, 1)


def test_half_is_the_mean_of_four() -> None:
    fine = np.arange(512 * 512 * 3, dtype=np.uint32).reshape(512, 512, 3) % 251
    wanted = fine.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved(fine.astype(np.uint8)) - wanted).max() <= 0.5


class Uploads:
    """Counts what is brought to the device, and what is freed there."""

    def __init__(self) -> None:
        self.came: list[Array] = []
        self.freed = 0

    def __call__(self, value: Array) -> Uploaded:
        self.came.append(value)
        return Uploaded(self, value)


class Uploaded:
    def __init__(self, uploads: Uploads, value: Array) -> None:
        self._uploads, self._value = uploads, value
        self.shape, self.dtype = value.shape, value.dtype

    def fetch(self) -> Array:
        return self._value

    def release(self) -> None:
        self._uploads.freed += 1


class Borrowed:
    """A network of others: it is run, and not released. What it is fed is kept."""

    def __init__(self, network: Network) -> None:
        self.name, self.inputs, self.outputs = network.name, network.inputs, network.outputs
        self._network = network
        self.fed: list[Mapping[str, Array | Held]] = []

    def run(
        self, feeds: Mapping[str, Array | Held], hold: Collection[str] = ()
    ) -> dict[str, Array | Held]:
        self.fed.append(feeds)
        # the value itself, of what the stand-in for a device holds
        known = {k: v.fetch() if isinstance(v, Uploaded) else v for k, v in feeds.items()}
        return self._network.run(known, hold)

    def release(self) -> None:
        """Not ours."""


def test_a_photos_features_are_copied_to_the_device_once(networks: Networks) -> None:
    warp = Borrowed(networks.by_name["warp_network"])
    uploads = Uploads()
    ours = Networks(
        {"warp_network": warp, "decoder": Borrowed(networks.by_name["decoder"])}, uploads
    )
    faces = [networks.appearance(crop(90 + 20 * i, 128)) for i in range(2)]
    first = [ours.draw(faces[0], AT_REST, AT_REST, again=True) for _ in range(3)]
    assert len(uploads.came) == 1
    assert np.array_equal(first[0], networks.draw(faces[0], AT_REST, AT_REST))
    assert len({id(feeds["feature_3d"]) for feeds in warp.fed}) == 1
    other = ours.draw(faces[1], AT_REST, AT_REST, again=True)
    assert np.array_equal(other, networks.draw(faces[1], AT_REST, AT_REST))
    assert (len(uploads.came), uploads.freed) == (2, 1)
    ours.draw(faces[0], AT_REST, AT_REST, again=True)  # a face that is put on again
    assert (len(uploads.came), uploads.freed) == (3, 2)
    ours.draw(faces[0], AT_REST, AT_REST)  # of a video: each frame has others
    assert warp.fed[-1]["feature_3d"] is faces[0]
    ours.release()
    assert uploads.freed == 3


def test_the_shapes_are_those_of_the_networks(networks: Networks) -> None:
    assert set(networks.by_name) <= set(SPECS)
    grey = np.full((256, 256, 3), 128, np.uint8)
    assert networks.appearance(grey).shape == (1, 32, 16, 64, 64)
    small = np.asarray(cv2.resize(grey, (224, 224)), np.uint8)
    assert networks.landmark203(small).shape == (203, 2)
