"""What takes long to make is made once, and what lies in its place is never believed blindly."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from inference import kept, painting, sample
from inference.character import Character
from inference.errors import AudioRejected
from inference.kept import Array, Shelf, cache_folder, checked, key_of, key_of_files
from inference.motion import Pose
from inference.mouth import MouthShape
from inference.painting import Painting, Place
from inference.sample import sample_line
from rawmedia import Frame, MediaFormat

PLACE = Place(64, 36, (32.0, 16.0), 0.05, 0.5)
MEDIA = MediaFormat(64, 36, 25)
WHERE = "XDG_CACHE_HOME"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "kind", 4, 20_000_000)


def record(path: Path) -> Path:
    """The one file of a folder."""
    (only,) = path.rglob("*.npz")
    return only


def doubled(arrays: dict[str, Array]) -> int:
    return 2 * int(checked(arrays["n"], np.int64, (1,))[0])


# --- the shelf -----------------------------------------------------------------------------------


def test_it_is_made_once(shelf: Shelf, tmp_path: Path) -> None:
    made = []

    def make() -> int:
        made.append(1)
        return 42

    for _ in range(3):
        found = shelf.kept_or_made("k", doubled, make, lambda n: {"n": np.array([n // 2])})
        assert found == 42
    assert len(made) == 1
    assert [path.name for path in (tmp_path / "kind").iterdir()] == ["k.npz"]


def test_what_has_no_key_is_made_each_time(shelf: Shelf, tmp_path: Path) -> None:
    numbers = iter((4, 6))
    for n in (4, 6):
        found = shelf.kept_or_made(
            "", doubled, lambda: next(numbers), lambda n: {"n": np.array([n])}
        )
        assert found == n
    assert not (tmp_path / "kind").exists()


def test_no_damage_is_believed_and_none_raises(shelf: Shelf, tmp_path: Path) -> None:
    """Each byte of a record in turn is another one: the right value, or none."""
    shelf.put("k", {"n": np.array([21])})
    path = record(tmp_path)
    whole = path.read_bytes()
    found = set()
    for place in range(len(whole)):
        for flip in (0x01, 0x08, 0xFF):
            path.write_bytes(whole[:place] + bytes((whole[place] ^ flip,)) + whole[place + 1 :])
            found.add(shelf.get("k", doubled))
    assert found == {42, None}


@pytest.mark.parametrize("length", [0, 1, 40, 200])
def test_a_record_that_was_cut_off_is_none(shelf: Shelf, tmp_path: Path, length: int) -> None:
    shelf.put("k", {"n": np.array([21])})
    path = record(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert shelf.get("k", doubled) is None


def test_what_is_no_record_is_none(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "kind"
    folder.mkdir()
    with (folder / "k.npz").open("wb") as file:
        np.save(file, np.array([21]))  # one array alone
    assert shelf.get("k", doubled) is None
    np.savez(folder / "k.npz", n=np.array([print], object))  # a pickle
    assert shelf.get("k", doubled) is None
    np.savez(folder / "k.npz", m=np.array([21]))
    assert shelf.get("k", doubled) is None
    np.savez(folder / "k.npz", n=np.array([21.0]))
    assert shelf.get("k", doubled) is None


def test_a_place_that_cannot_be_written_forgets(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for nowhere in (Shelf(None, 4, 1000), Shelf(tmp_path / "file" / "below", 4, 1000)):
        nowhere.put("k", {"n": np.array([21])})
        assert nowhere.get("k", doubled) is None


def test_a_disk_that_fills_up_leaves_no_half_record(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, **_arrays: Array) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    shelf.put("k", {"n": np.array([21])})
    assert list((tmp_path / "kind").iterdir()) == []


def test_keys_tell_their_parts_apart(tmp_path: Path) -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    file = tmp_path / "file"
    file.write_text("a")
    before = key_of_files([file], "x")
    file.write_text("b")
    assert before not in (key_of_files([file], "x"), "")
    assert not key_of_files([file, tmp_path / "none"], "x")


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WHERE, "/var/cache/some")
    assert cache_folder("kind") == Path("/var/cache/some/lipstream/kind")
    for nothing in ("", "relative"):
        monkeypatch.setenv(WHERE, nothing)
        monkeypatch.setenv("HOME", "/home/somebody")
        assert cache_folder("kind") == Path("/home/somebody/.cache/lipstream/kind")


@pytest.mark.parametrize("module", [painting, sample])
def test_whatever_decides_is_in_the_key(module: object) -> None:
    """Another code, another key: else a stream would show what an earlier lipstream painted."""
    known = set(module.SOURCES)  # type: ignore[attr-defined]
    folder = Path(kept.__file__).parent
    used = set()
    for name in known:
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "inference":
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("inference."):
                used.add(str(node.module).removeprefix("inference."))
    # These read and keep, they decide nothing about what is seen or heard.
    assert used <= known | {"kept", "files", "errors"}


# --- what is kept --------------------------------------------------------------------------------


def same(one: Painting, other: Painting) -> bool:
    layers = [(one.body, other.body), (one.head, other.head), (one.jaw, other.jaw)]
    return np.array_equal(one.studio, other.studio) and all(
        (a.left, a.top, a.scale) == (b.left, b.top, b.scale) and np.array_equal(a.pixels, b.pixels)
        for a, b in layers
    )


def test_a_kept_painting_is_the_same(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    anew = painting.paint(PLACE)
    assert same(painting.painting(PLACE, shelf), anew)
    monkeypatch.setattr(painting, "paint", lambda _place: pytest.fail("painted again"))
    assert same(painting.painting(PLACE, shelf), anew)


def test_each_place_has_a_painting_of_its_own(shelf: Shelf, tmp_path: Path) -> None:
    painting.painting(PLACE, shelf)
    other = painting.painting(Place(48, 36, (24.0, 16.0), 0.05, 0.5), shelf)
    assert other.studio.shape == (36, 48, 3)
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_a_painting_of_another_size_is_not_shown(shelf: Shelf, tmp_path: Path) -> None:
    painting.painting(PLACE, shelf)
    with np.load(record(tmp_path)) as stored:
        arrays = dict(stored) | {"body": np.zeros((2, 2, 4), np.uint8)}
    np.savez(record(tmp_path), **arrays)
    assert same(painting.painting(PLACE, shelf), painting.paint(PLACE))


def test_a_face_is_drawn_the_same_from_a_kept_painting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And drawing leaves what is kept as it is."""

    def pictures() -> list[Frame]:
        face, frames = Character(128, 72), []
        for opening in (0.0, 1.0, 0.3):
            frame = np.zeros((72, 128, 3), np.uint8)
            face.draw(frame, MouthShape(opening, wide=0.5), Pose(x=opening, lids=opening))
            frames.append(frame)
        return frames

    monkeypatch.setenv(WHERE, "")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", _homeless)
    anew = pictures()
    monkeypatch.setenv(WHERE, str(tmp_path))
    first, second = pictures(), pictures()
    assert record(tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(anew, first, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(anew, second, strict=True))


def _homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_kept_sample_says_the_same(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sample_line(MEDIA, 600, shelf)
    assert made.units > 600
    monkeypatch.setattr(sample, "repeated_line", lambda *_: pytest.fail("decoded again"))
    again = sample_line(MEDIA, 600, shelf)
    assert (again.units, again.ease, again.number) == (made.units, 0, 0)
    for place in range(-1, made.units + 1):
        assert again.shape(place) == made.shape(place)
        assert again.emphasised(place) == made.emphasised(place)
        assert np.array_equal(again.samples(place), made.samples(place))


def test_a_sample_is_of_one_format(shelf: Shelf) -> None:
    mono = sample_line(MEDIA, 600, shelf)
    stereo = sample_line(MediaFormat(64, 36, 50, audio_channels=2), 600, shelf)
    assert stereo.clip.samples.shape[1] == 2
    assert stereo.units > mono.units


def test_a_kept_sample_is_no_longer_than_may_be_said(shelf: Shelf) -> None:
    sample_line(MEDIA, 600, shelf)
    with pytest.raises(AudioRejected):
        sample_line(MEDIA, 10, shelf)
