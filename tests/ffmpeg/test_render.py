"""`lipstream render`: files that any player plays, of both engines."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import soundfile
from skimage import data as skimage_data

from config import Settings
from encoder.errors import MovieUnwritable
from encoder.ffmpeg import find_ffmpeg
from encoder.movie import movie
from inference.ditto.control import Control, Direction
from inference.ditto.layout import Floats
from inference.ditto.mind import Mind
from inference.ditto.painter import Look
from inference.ditto.render import pictures
from inference.synthetic import checkpoint
from rawmedia import MediaFormat
from server.cli import main

pytestmark = pytest.mark.ffmpeg


@pytest.fixture(autouse=True)
def _no_faces_from_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("render")
    checkpoint.write(made / "checkpoint")
    head = cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2BGR)[0:190, 130:320]  # type: ignore[no-untyped-call]
    cv2.imwrite(str(made / "face.png"), head)
    at = np.arange(round(1.3 * 44_100)) / 44_100
    loud = 0.4 * np.sin(2 * np.pi * 300 * at) * (at > 0.4) * (at < 0.9)
    soundfile.write(made / "voice.wav", loud, 44_100)
    return made


def render(folder: Path, name: str, *flags: str) -> Path:
    target = folder / name
    argv = ["render", "--audio", str(folder / "voice.wav"), "--output", str(target)]
    size = ["--width", "256", "--height", "144"]
    assert main([*argv, *size, *flags]) == 0
    return target


def ditto(folder: Path) -> list[str]:
    known = {"engine": "ditto", "checkpoint": folder / "checkpoint", "image": folder / "face.png"}
    return [x for name, value in known.items() for x in (f"--{name}", str(value))]


def watched(path: Path) -> tuple[np.ndarray, float]:
    """All pictures, and the seconds of sound."""
    with av.open(str(path), "r") as container:
        pictures = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    with av.open(str(path), "r") as container:
        heard = sum(f.samples for f in container.decode(audio=0)) / 48_000
    return np.stack(pictures), heard


def test_the_presenter_needs_no_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, heard = watched(render(folder, "presenter.mp4", "--source", str(folder / "face.png")))
    assert shown.shape == (33, 144, 256, 3)  # 1.3 s, in whole pictures
    assert heard == pytest.approx(33 / 25, abs=0.05)
    assert "1.32 s, 256x144, presenter (there is no checkpoint)" in capsys.readouterr().err
    moved = np.abs(np.diff(shown.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert moved.max() > 0


@pytest.mark.parametrize(("engine", "doing"), [("presenter", ""), ("ditto", ": drawing")])
def test_it_says_how_far_it_is(
    folder: Path,
    engine: str,
    doing: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Off a terminal that is a line each half a minute; here nothing takes so long.
    monkeypatch.setattr("inference.progress.SAID_EVERY_SECONDS", 0.0)
    render(folder, f"far-{engine}.mp4", *(ditto(folder) if engine == "ditto" else ()))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("render: ")]
    before = [line for line in said if line.startswith("render: 0 of 33, pictures: motion")]
    assert said[len(before) :] == [f"render: {n} of 33, pictures{doing}" for n in range(1, 34)]
    assert (before[-1:] == ["render: 0 of 33, pictures: motion 100%"]) is (engine == "ditto")


def test_the_model_moves_the_photo_and_a_seed_gives_it_again(folder: Path) -> None:
    first = render(folder, "a.mp4", *ditto(folder), "--preset", "balanced", "--seed", "5")
    again = render(folder, "b.mp4", *ditto(folder), "--preset", "balanced", "--seed", "5")
    other = render(folder, "c.mp4", *ditto(folder), "--preset", "balanced", "--seed", "6")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]
    shown, heard = watched(first)
    assert shown.shape == (33, 72, 128, 3)  # half the size
    assert heard == pytest.approx(33 / 25, abs=0.05)
    # it speaks from 0.4 s to 0.9 s
    from_rest = np.abs(shown.astype(int) - shown[:8].mean(axis=0)).mean(axis=(1, 2, 3))
    assert from_rest[12:21].min() > 2 * from_rest[2:8].max()


def test_size_and_steps_as_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each given alone counts more than the preset, which is half the size and 12 steps."""
    minds: list[Mind] = []

    def noted(look: Look, mind: Mind, *rest: Any) -> Any:
        minds.append(mind)
        return pictures(look, mind, *rest)

    monkeypatch.setattr("inference.ditto.render.pictures", noted)
    preset = [*ditto(folder), "--preset", "balanced", "--seed", "5"]
    usual, _ = watched(render(folder, "usual.mp4", *preset))
    given = ["--frame-scale", "0.25", "--sampling-timesteps", "3"]
    asked, heard = watched(render(folder, "asked.mp4", *preset, *given))
    assert [mind.recipe.steps for mind in minds] == [12, 3]
    assert usual.shape == (33, 72, 128, 3)
    assert asked.shape == (33, 36, 64, 3)  # a quarter of 256x144
    assert heard == pytest.approx(33 / 25, abs=0.05)


def test_a_video_of_the_face(folder: Path) -> None:
    """It goes there and back again, under lips that say what is heard."""
    head = cv2.imread(str(folder / "face.png"))
    assert head is not None
    film = folder / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 25, (190, 190))
    for shift in range(6):
        writer.write(np.asarray(np.roll(head, 3 * shift, axis=1), np.uint8))
    writer.release()
    model = [x for x in ditto(folder) if x not in ("--image", str(folder / "face.png"))]
    shown, heard = watched(render(folder, "moving.mp4", *model, "--video", str(film)))
    assert shown.shape == (33, 144, 256, 3)
    assert heard == pytest.approx(33 / 25, abs=0.05)
    above, mouth = shown[:, :40, 60:196].astype(int), shown[:, 95:130, 108:145].astype(int)

    def apart(part: np.ndarray, one: int, other: int) -> float:
        return float(np.abs(part[one] - part[other]).mean())

    moved = apart(above, 0, 5)
    assert moved > 3 * apart(above, 5, 6), "it turns on its last picture"
    assert moved > 3 * apart(above, 0, 11), "and is back on its first one"
    assert moved > 3 * apart(above, 0, 12), "where it turns again"
    # each twelfth picture is the same one; it speaks from 0.4 s to 0.9 s
    assert apart(mouth, 0, 12) > 3 * apart(mouth, 0, 24)


def test_windows_of_a_file_may_overlap_by_ten(folder: Path) -> None:
    shown, _ = watched(render(folder, "ten.mp4", *ditto(folder), "--overlap", "10"))
    assert len(shown) == 33


def test_controls_and_fades(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Direction] = []

    def noted(look: Look, mind: Mind, sound: Floats, direction: Direction, *rest: Any) -> Any:
        told.append(direction)
        return pictures(look, mind, sound, direction, *rest)

    monkeypatch.setattr("inference.ditto.render.pictures", noted)
    control = folder / "control.json"
    control.write_text('{"frames": {"20": {"delta_yaw": 20}}}')
    plain, _ = watched(render(folder, "plain.mp4", *ditto(folder)))
    turned, _ = watched(render(folder, "turned.mp4", *ditto(folder), "--control", str(control)))
    apart = np.abs(plain.astype(int) - turned).mean(axis=(1, 2, 3))
    assert int(apart[15:25].argmax()) + 15 == 20
    assert told[1].at(0) == Control(delta_pitch=2), "the checkpoint's own controls stay"
    assert told[1].at(20) == Control(delta_pitch=2, delta_yaw=20)
    faded, _ = watched(render(folder, "faded.mp4", *ditto(folder), "--fade-out", "24"))
    gone = np.abs(faded.astype(int) - faded[0]).mean(axis=(1, 2, 3))
    spoken = np.abs(plain.astype(int) - plain[0]).mean(axis=(1, 2, 3))
    assert gone[20] < spoken[20], "nearer to the first picture"
    apart = np.abs(plain.astype(int) - faded).mean(axis=(1, 2, 3))
    # apart from what x264 makes of another clip
    assert apart[16:23].min() > 1.5 * apart[:8].max(), "and as it was until it began"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--fade-in", "5"], "need the engine ditto"),
        (["--engine", "ditto"], "there is no image"),
        (["--engine", "ditto", "--image", "x.png", "--video", "y.mp4"], "two faces"),
        (["--source", "x.png", "--image", "y.png"], "two faces"),
        (["--fps", "30", "--engine", "ditto"], "fps is 30"),
        (["--preset", "best"], "choose one of"),
    ],
)
def test_what_cannot_be_rendered(
    folder: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["render", "--audio", str(folder / "voice.wav"), "-o", str(folder / "no.mp4")]
    assert main([*argv, *flags]) == 2
    told = capsys.readouterr().err.strip()
    assert words in told
    assert told.count("\n") == 0
    assert not (folder / "no.mp4").exists()


def test_nothing_to_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "-o", str(folder / "no.mp4")]) == 2
    assert "there is nothing to say" in capsys.readouterr().err


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    media = MediaFormat(64, 64, 25)
    samples = np.zeros((1920 * 10, 1), np.int16)
    target = tmp_path / "movie.mp4"
    target.write_bytes(b"what was there")
    binary = find_ffmpeg(Settings().ffmpeg)

    def half_of_it(path: Path) -> None:
        with movie(binary, media, samples, path, 64) as file:
            file.write(np.zeros((64, 64, 3), np.uint8))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_of_it(target)
    assert target.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(MovieUnwritable, match="No such file"):
        half_of_it(tmp_path / "none" / "movie.mp4")
