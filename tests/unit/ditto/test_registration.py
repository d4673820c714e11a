"""Faces of strangers become avatars, or a clear no."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inference.ditto.avatar import Avatar, AvatarStore, View, smoothed
from inference.ditto.crop import cut, inverse
from inference.ditto.networks import Networks, halved
from inference.ditto.recipe import Recipe
from inference.ditto.registration import Look, fitted, register
from inference.errors import ImageRejected, NoFaceFound
from inference.images import is_image, load_image
from inference.kept import key_of
from rawmedia import Frame

NAME = Path("somebody.png")


@pytest.mark.parametrize(
    ("size", "most", "wanted"),
    [
        ((1920, 1080), 1920, (1920, 1080)),
        ((4608, 3456), 1920, (1920, 1440)),  # 16 megapixels
        ((301, 203), 1920, (300, 202)),
        ((203, 3001), 1920, (130, 1920)),
        ((4001, 3001), 0, (4000, 3000)),
        ((101, 50), 51, (50, 24)),
    ],
)
def test_sizes_are_even_and_bounded(
    size: tuple[int, int], most: int, wanted: tuple[int, int]
) -> None:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[:, -2:] = 255  # resized, not cut: the edge is still there
    result = fitted(picture, most)
    assert (result.shape[1], result.shape[0]) == wanted
    assert result[0, -1, 0] > 100


def test_a_face_is_registered(avatar: Avatar, photo: Frame) -> None:
    assert avatar.size == (photo.shape[1], photo.shape[0])
    assert not avatar.is_video
    (view,) = avatar.views
    assert view.features.shape == (1, 32, 16, 64, 64)
    assert (view.eye_open.shape, view.eye_ball.shape) == ((2,), (6,))
    assert view.matrix.dtype == view.points.dtype == np.float32
    # where the face is: its eyes are at (70, 105) and (118, 108), its mouth at (93, 146)
    middle = view.points.mean(axis=0)
    assert np.hypot(*(middle - (93, 118))) < 25
    assert avatar.rest.shape == (63,)


def test_the_networks_see_red_as_red_and_the_face_in_the_crop(
    avatar: Avatar, photo: Frame, networks: Networks
) -> None:
    """What is kept is what the networks say of the crop that the matrix leads back from."""
    (view,) = avatar.views
    rgb = np.ascontiguousarray(photo[..., ::-1])
    crop = halved(cut(rgb, inverse(view.matrix), 512))
    assert np.abs(networks.appearance(crop) - view.features).max() < 0.02
    assert np.abs(networks.motion(crop).exp - view.face.exp).max() < 1e-3
    red, blue = (view.features[0, channel, :4].mean() for channel in (0, 2))
    assert red > 1.1 * blue  # skin


def test_whose_conditions_an_avatar_has(avatar: Avatar) -> None:
    """Of each picture in its order, left eye before right."""
    first = replace(
        avatar.views[0],
        eye_open=np.array((0.1, 0.2), np.float32),
        eye_ball=np.arange(6, dtype=np.float32),
    )
    second = replace(first, eye_open=first.eye_open + 1, eye_ball=first.eye_ball + 10)
    character = replace(avatar, views=(first, second)).character()
    assert character.eye_open == pytest.approx(np.array(((0.1, 0.2), (1.1, 1.2))))
    assert character.eye_ball[:, 0].tolist() == [0, 10]
    assert character.eye_ball[0].tolist() == list(range(6))
    assert np.array_equal(character.start, first.face.vector())


def test_the_same_face_again(
    avatar: Avatar, photo: Frame, networks: Networks, live_recipe: Recipe
) -> None:
    again = register(NAME, [photo], networks, live_recipe.look)
    assert np.array_equal(again.views[0].features, avatar.views[0].features)
    assert np.array_equal(again.views[0].matrix, avatar.views[0].matrix)


def test_no_face(networks: Networks) -> None:
    green = np.zeros((200, 300, 3), np.uint8)
    green[..., 1] = 90
    with pytest.raises(NoFaceFound, match="no face found in 300x200 pixels, tried BlazeFace"):
        register(NAME, [green], networks, Look())


def test_no_pictures(networks: Networks) -> None:
    with pytest.raises(ImageRejected, match="it has no pictures"):
        register(NAME, [], networks, Look())


def with_faces(photo: Frame, *places: tuple[int, int, float]) -> Frame:
    """Copies of a face on blue, at (x, y) and so large."""
    picture = np.zeros((600, 900, 3), np.uint8)
    picture[..., 0] = 120
    for x, y, scale in places:
        head = cv2.resize(photo[60:165, 50:135], None, fx=scale, fy=scale)
        picture[y : y + head.shape[0], x : x + head.shape[1]] = head
    return picture


def test_of_two_faces_the_largest_and_says_so(photo: Frame, networks: Networks) -> None:
    both = with_faces(photo, (40, 200, 1.2), (480, 100, 3.0))
    avatar = register(NAME, [both], networks, Look())
    assert any("faces in the picture: the largest is used" in note for note in avatar.notes)
    assert avatar.views[0].points[:, 0].mean() > 450


def test_a_face_at_the_border_is_taken_and_said(photo: Frame, networks: Networks) -> None:
    edge = np.ascontiguousarray(photo[:, 90:])
    avatar = register(NAME, [fitted(edge, 0)], networks, Look())
    assert any("lies outside of the picture" in note for note in avatar.notes)


def test_a_video_is_tracked_and_smoothed(photo: Frame, networks: Networks) -> None:
    detector = networks.by_name["blaze_face"]
    looked = 0

    class Counting:
        name, inputs, outputs = detector.name, detector.inputs, detector.outputs

        def run(self, *args: object, **options: object) -> object:
            nonlocal looked
            looked += 1
            return detector.run(*args, **options)  # type: ignore[arg-type]

        def release(self) -> None:
            """Not ours."""

    counted = Networks({**networks.by_name, "blaze_face": Counting()})  # type: ignore[dict-item]

    def moving() -> Iterator[Frame]:
        for shift in range(4):
            yield np.asarray(np.roll(photo, shift, axis=1), np.uint8)

    avatar = register(NAME, moving(), counted, Look(smoothing=3))
    assert avatar.is_video
    assert len(avatar.views) == 4
    assert looked == 1 + 4  # for the seed of the first picture, then for the eyes of each
    places = [view.points[:, 0].mean() for view in avatar.views]
    assert places == sorted(places)
    raw = register(NAME, moving(), networks, Look(smoothing=1))
    assert np.allclose(
        avatar.views[1].face.exp,
        np.mean([view.face.exp for view in raw.views[:3]], axis=0),
        atol=1e-6,
    )
    assert np.array_equal(avatar.rest, raw.views[0].face.kp)  # taken before


def test_smoothing_counts_the_neighbours_that_there_are(avatar: Avatar) -> None:
    def at(value: float) -> View:
        view = avatar.views[0]
        return replace(view, face=replace(view.face, t=np.full(3, value, np.float32)))

    calm = smoothed((at(0), at(3), at(9)), 3)
    assert [view.face.t[0] for view in calm] == [1.5, 4.0, 6.0]
    assert smoothed((at(0), at(3)), 1)[1].face.t[0] == 3


def test_a_stored_face_is_the_same(avatar: Avatar, tmp_path: Path) -> None:
    store = AvatarStore(tmp_path / "avatars")
    key = key_of(b"photo", "look")
    assert store.get(key) is None
    store.put(key, replace(avatar, notes=("2 faces",)))
    kept = store.get(key)
    assert kept is not None
    assert (kept.size, kept.notes) == (avatar.size, ("2 faces",))
    assert np.array_equal(kept.views[0].features, avatar.views[0].features)
    assert np.array_equal(kept.views[0].face.exp, avatar.views[0].face.exp)
    assert np.array_equal(kept.rest, avatar.rest)
    assert [path.suffix for path in (tmp_path / "avatars").iterdir()] == [".npz"]


@pytest.mark.parametrize("damage", ["pickle", "cut", "empty", "other"])
def test_a_stored_face_that_is_none_is_forgotten_not_run(
    damage: str, avatar: Avatar, tmp_path: Path
) -> None:
    store = AvatarStore(tmp_path)
    path = tmp_path / "k.npz"
    if damage == "pickle":
        np.savez(path, layout=np.array([print], object))
    elif damage == "cut":
        store.put("k", avatar)
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "empty":
        path.touch()
    else:
        np.savez(path, layout=np.array(99))
    assert store.get("k") is None


def test_a_store_without_a_place_forgets(avatar: Avatar, tmp_path: Path) -> None:
    nowhere = AvatarStore(None)
    nowhere.put("k", avatar)
    assert nowhere.get("k") is None
    blocked = tmp_path / "file"
    blocked.touch()
    AvatarStore(blocked / "below").put("k", avatar)


def test_the_oldest_faces_go(
    avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.ditto.avatar.MOST_STORED", 2)
    store = AvatarStore(tmp_path)
    for key in ("a", "b", "c"):
        store.put(key, avatar)
    assert len(list(tmp_path.iterdir())) == 2


def test_faces_are_kept_by_their_bytes(
    avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AvatarStore(tmp_path)
    store.put("a", avatar)
    one = (tmp_path / "a.npz").stat().st_size
    assert one > 8_000_000
    monkeypatch.setattr("inference.ditto.avatar.MOST_STORED_BYTES", 2 * one + 1000)
    store = AvatarStore(tmp_path)
    for second, key in enumerate(("a", "b", "c")):
        store.put(key, avatar)
        os.utime(tmp_path / f"{key}.npz", (second, second))
    store.put("d", avatar)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["c", "d"]


def test_a_long_film_is_looked_at_again(avatar: Avatar, tmp_path: Path) -> None:
    """Five seconds of pictures would be a gigabyte; and as much in memory while it is written."""
    store = AvatarStore(tmp_path)
    fits, longer = (replace(avatar, views=avatar.views * count) for count in (7, 8))
    store.put("longer", longer)
    assert list(tmp_path.iterdir()) == []
    store.put("fits", fits)
    kept = store.get("fits")
    assert kept is not None
    assert len(kept.views) == 7


@pytest.mark.parametrize("kind", ["grey", "alpha", "turned", "GIF", "WEBP", "PNG"])
def test_photos_of_all_kinds(kind: str, photo: Frame, tmp_path: Path, networks: Networks) -> None:
    path = tmp_path / "photo"
    if kind == "grey":
        data = encoded(".png", np.asarray(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), np.uint8))
    elif kind == "alpha":
        data = encoded(".png", np.dstack((photo, np.full(photo.shape[:2], 255, np.uint8))))
    elif kind == "turned":
        data = exif_turned(encoded(".jpg", np.ascontiguousarray(np.rot90(photo))))
    else:
        data = animated(kind, photo)
    path.write_bytes(data)
    assert is_image(path)
    loaded = fitted(load_image(path, 10_000_000), 1920)
    assert loaded.shape == photo.shape
    grey = [picture.mean(axis=2) for picture in (loaded, photo)]
    assert np.corrcoef(grey[0].ravel(), grey[1].ravel())[0, 1] > 0.97
    register(path, [loaded], networks, Look())


def animated(kind: str, first: Frame) -> bytes:
    """The first picture, then its negative."""
    both = [Image.fromarray(cv2.cvtColor(each, cv2.COLOR_BGR2RGB)) for each in (first, 255 - first)]
    out = io.BytesIO()
    both[0].save(out, kind, save_all=True, append_images=both[1:])
    return out.getvalue()


def encoded(suffix: str, picture: Frame) -> bytes:
    done, data = cv2.imencode(suffix, picture)
    assert done
    return data.tobytes()


def exif_turned(jpeg: bytes) -> bytes:
    """With an EXIF note that it must be turned by a quarter clockwise."""
    entry = bytes.fromhex("0112 0003 00000001 0006 0000")
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + entry + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize(
    "head", [b"RIFF\0\0\0\0AVI LIST", b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0 ftypisom", b""]
)
def test_what_is_no_photo_may_be_a_video(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(head)
    assert not is_image(path)
