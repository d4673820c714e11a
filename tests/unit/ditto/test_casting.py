"""From settings to a face that can speak, and back to nothing."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from config import Settings
from inference.checkpoint.errors import CheckpointIncomplete
from inference.checkpoint.folder import Checkpoint
from inference.ditto import casting
from inference.ditto.casting import cast, check_cast, recipe_for
from inference.ditto.control import Control
from inference.ditto.errors import DittoRefused
from inference.ditto.mind import perform
from inference.ditto.networks import NAMES
from inference.ditto.render import pictures
from inference.ditto.speaker import Speaker
from inference.engines.choice import RUNTIMES, Runtime
from inference.engines.errors import NetworkUnusable, RuntimeUnusable
from inference.engines.onnx_engine import OnnxEngine
from inference.errors import FilmRejected, ImageRejected, InferenceError, NoFaceFound
from inference.presenter import RECALLABLE, Presenter
from inference.source import check_source, chosen_engine, look_ahead_seconds, make_source
from journal import read_face
from rawmedia import Frame, MediaFormat

MEDIA = MediaFormat(256, 144, 25)


def test_a_face_is_registered_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OnnxEngine(threads=1)
    first = cast(settings, MEDIA, live=True, engine=engine)

    def never(*_args: object) -> None:
        raise AssertionError("it is known")

    monkeypatch.setattr(casting, "register", never)
    again = cast(replace(settings, width=640), MEDIA, live=False, engine=engine)
    assert np.array_equal(again.look.avatar.views[0].features, first.look.avatar.views[0].features)
    with pytest.raises(AssertionError, match="it is known"):
        cast(replace(settings, face_detector="insightface"), MEDIA, live=True, engine=engine)


def test_weights_are_loaded_once_and_given_back_with_the_last(settings: Settings) -> None:
    engine = OnnxEngine(threads=1)
    first = cast(settings, MEDIA, live=True, engine=engine)
    held = dict(engine._sessions)
    second = cast(settings, MEDIA, live=True, engine=engine)
    assert engine._sessions == held
    assert len(held) == len(NAMES)
    first.close()
    assert engine._sessions == held
    performance = perform(second.mind, np.zeros(640 * 3, np.float32))
    assert len(performance.motion) == 3
    second.close()
    assert engine._sessions == {}


class Counted(OnnxEngine):
    """Tells a hundred bytes for each network that is there, as a device with nobody else on it."""

    def memory_bytes(self) -> int:
        return 100 * len(self._networks)


def test_what_a_face_takes_and_gives_back_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, dict[str, object]]] = []

    def note(_log: object, name: str, **facts: object) -> None:
        told.append((name, facts))

    monkeypatch.setattr(casting, "event", note)
    monkeypatch.setattr(casting, "open_engine", lambda *_a, **_o: Counted(threads=1))
    cast(replace(settings, runtime="onnx-cpu"), MEDIA, live=True).close()  # an engine of its own
    shared, size = Counted(threads=1), 100 * len(NAMES)
    first, second = (cast(settings, MEDIA, live=True, engine=shared) for _ in range(2))
    first.close()
    second.close()
    loaded = [facts for name, facts in told if name == "face_loaded"]
    assert [facts["memory_bytes"] for facts in loaded] == [size, size, 2 * size]
    assert [facts["taken_bytes"] for facts in loaded] == [size] * 3
    released = [facts for name, facts in told if name == "face_released"]
    assert released == [{"freed_bytes": size}] * 3


def test_a_failure_gives_everything_back(settings: Settings, tmp_path: Path) -> None:
    engine = OnnxEngine(threads=1)
    wrong = replace(settings, image=str(tmp_path / "none.png"))
    with pytest.raises(ImageRejected, match="No such file"):
        cast(wrong, MEDIA, live=True, engine=engine)
    assert engine._sessions == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chunk_config": "9,9,9"}, "must be from 5 to 20 frames"),
        ({"overlap": 39}, "it must be from 40 to 79"),
        ({"emotion": "bored"}, "choose of angry"),
        ({"overall_control": "nod=1"}, "known are alpha_exp"),
        ({"image": ""}, "there is no image"),
    ],
)
def test_what_the_model_cannot_follow(
    changes: dict[str, object], words: str, settings: Settings
) -> None:
    with pytest.raises(DittoRefused, match=words):
        check_cast(replace(settings, **changes), MEDIA, live=True)  # type: ignore[arg-type]


def test_offline_windows_may_overlap_by_less(settings: Settings) -> None:
    """10 is the offline default; only a live stream would begin late (DITTO_FACTS section 10)."""
    small = replace(settings, overlap=10)
    check_source(small, MEDIA, live=False)
    with pytest.raises(DittoRefused, match="would begin 60 frames late"):
        check_source(small, MEDIA)
    engine = OnnxEngine(threads=1)
    assert cast(small, MEDIA, live=False, engine=engine).mind.joining.overlap.frames == 10


def test_pictures_are_looked_at_before_anything_is_loaded(
    settings: Settings, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(settings.image).read_bytes()[:20])
    with pytest.raises(ImageRejected):
        check_cast(replace(settings, image=str(cut)), MEDIA, live=True)
    text = tmp_path / "text"
    text.write_text("no film")
    with pytest.raises(FilmRejected):
        check_cast(replace(settings, image=str(text)), MEDIA, live=True)
    large = replace(settings, max_image_pixels=10_000)
    with pytest.raises(ImageRejected, match="190x190"):
        check_cast(large, MEDIA, live=True)


def test_another_frame_rate_is_refused(settings: Settings) -> None:
    with pytest.raises(DittoRefused, match="fps is 50: the model moves at 25 frames a second"):
        check_cast(settings, MediaFormat(256, 144, 50), live=True)


def test_without_a_checkpoint(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(CheckpointIncomplete, match="12 files missing"):
        check_cast(replace(settings, checkpoint=str(tmp_path)), MEDIA, live=True)


def test_a_corrupt_network(settings: Settings, checkpoint: Checkpoint, tmp_path: Path) -> None:
    for part in ("ditto_onnx", "ditto_cfg"):
        (tmp_path / part).mkdir()
        for path in (checkpoint.folder / part).iterdir():
            (tmp_path / part / path.name).write_bytes(path.read_bytes())
    (tmp_path / "ditto_onnx" / "decoder.onnx").write_bytes(b"\x08\x08garbage")
    with pytest.raises(NetworkUnusable, match=r"decoder\.onnx"):
        cast(
            replace(settings, checkpoint=str(tmp_path)),
            MEDIA,
            live=True,
            engine=OnnxEngine(threads=1),
        )


def test_settings_count_more_than_the_checkpoint(
    settings: Settings, checkpoint: Checkpoint
) -> None:
    own = recipe_for(settings, checkpoint, live=True)
    assert (own.live, own.overlap, own.steps) == (True, 70, 10)
    assert recipe_for(settings, checkpoint, live=False).steps == 50
    preset = replace(settings, preset="quality")
    assert recipe_for(preset, checkpoint, live=True).steps == 15
    alone = replace(preset, sampling_timesteps=7, overlap=75, emotion="sad")
    recipe = recipe_for(alone, checkpoint, live=True)
    assert (recipe.steps, recipe.overlap) == (7, 75)
    assert recipe.emotions.shape == (1, 8)
    assert recipe.control == own.control == Control(delta_pitch=2)
    asked = replace(settings, overall_control="delta_yaw=5, alpha_exp=0.5")
    for live in (True, False):
        control = recipe_for(asked, checkpoint, live=live).control
        assert control == Control(delta_pitch=2, delta_yaw=5, alpha_exp=0.5)
    level = replace(settings, overall_control="delta_pitch=0")
    assert recipe_for(level, checkpoint, live=True).control == Control(delta_pitch=0)


def test_auto_takes_the_presenter_where_the_model_cannot_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inference.source.gpu_is_there", lambda: True)
    auto = replace(settings, engine="auto", runtime="tensorrt", audio="none")
    with caplog.at_level("WARNING"):
        assert isinstance(make_source(auto, MEDIA), Presenter)
    assert "engine_refused" in caplog.text
    with pytest.raises(InferenceError, match="tensorrt"):
        make_source(replace(auto, engine="ditto"), MEDIA)


def test_auto_does_not_go_live_on_a_cpu(
    settings: Settings,
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A GPU's device is there, but of its runtimes none: a picture would take seconds."""
    monkeypatch.setattr("inference.source.gpu_is_there", lambda: True)
    cpu = tuple(Runtime(n, "1", "", "" if n == "onnx-cpu" else "no driver") for n in RUNTIMES)
    monkeypatch.setattr(casting, "survey", lambda *_a, **_o: cpu)
    auto = replace(settings, engine="auto", audio="none")
    with caplog.at_level("WARNING"):
        assert isinstance(make_source(auto, MEDIA), Presenter)
    assert "engine_refused" in caplog.text
    with pytest.raises(RuntimeUnusable, match="a CPU takes seconds for a picture"):
        casting.runtime_for(auto, checkpoint, live=True)
    # who asks for it has it, and a file may take its time
    for given, live in ((settings, True), (auto, False)):
        engine = casting.runtime_for(given, checkpoint, live=live)
        assert engine.name == "onnx-cpu"
        engine.close()


def test_a_stream_is_live_whatever_its_file_says(
    settings: Settings, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = checkpoint.configuration(online=True)
    silent = replace(online, defaults=replace(online.defaults, online_mode=False))
    monkeypatch.setattr(Checkpoint, "configuration", lambda _self, **_which: silent)
    assert recipe_for(settings, checkpoint, live=True).live
    assert not recipe_for(settings, checkpoint, live=False).live


@pytest.mark.parametrize(("overlap", "seconds"), [(0, 0.885), (70, 0.885), (75, 0.485)])
def test_a_live_speaker_is_delayed_by_what_the_model_looks_ahead(
    overlap: int, seconds: float, settings: Settings
) -> None:
    given = replace(settings, overlap=overlap)
    assert look_ahead_seconds(given, MEDIA) == pytest.approx(seconds)
    assert look_ahead_seconds(replace(given, engine="presenter"), MEDIA) == 0.0


@pytest.fixture
def film(photo: Frame, tmp_path: Path) -> Path:
    """Six pictures of a head that moves to the right."""
    made = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*"MJPG"), 25, (190, 190))
    for shift in range(6):
        writer.write(np.asarray(np.roll(photo, 3 * shift, axis=1), np.uint8))
    writer.release()
    return made


def test_a_video_moves_by_itself(settings: Settings, film: Path, tmp_path: Path) -> None:
    engine = OnnxEngine(threads=1)
    moving = replace(settings, image=str(film))
    actors = cast(moving, MEDIA, live=False, engine=engine)
    assert len(actors.look.avatar.views) == len(actors.look.scene.pictures) == 6
    drawn = [p.copy() for p in pictures(actors.look, actors.mind, np.zeros(640 * 14, np.float32))]
    assert len(drawn) == 14
    there, back = drawn[5].astype(int), drawn[6].astype(int)
    assert np.abs(there - back).mean() < 3  # it turns on its last picture
    assert np.abs(drawn[0].astype(int) - there).mean() > 3
    empty = tmp_path / "nothing.mp4"
    empty.write_bytes(b"\0\0\0 ftypisom")
    with pytest.raises(FilmRejected):
        cast(replace(settings, image=str(empty)), MEDIA, live=False, engine=engine)


@pytest.mark.parametrize(("told", "most", "used"), [(-1, 125, 6), (4, 125, 4), (4, 3, 3)])
@pytest.mark.parametrize("live", [True, False])
def test_of_a_video_the_first_frames_are_used(
    told: int,
    most: int,
    used: int,
    live: bool,
    settings: Settings,
    checkpoint: Checkpoint,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No more than memory bears, and fewer where the configuration says so."""
    plain = checkpoint.configuration(online=live)
    short = replace(plain, defaults=replace(plain.defaults, template_n_frames=told))
    monkeypatch.setattr(Checkpoint, "configuration", lambda _self, **_which: short)
    monkeypatch.setattr(casting, "MOST_FILM_FRAMES", most)
    engine = OnnxEngine(threads=1)
    actors = cast(replace(settings, image=str(film)), MEDIA, live=live, engine=engine)
    assert len(actors.look.avatar.views) == len(actors.look.scene.pictures) == used
    actors.close()


def test_which_engine_a_stream_gets(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    auto = replace(settings, engine="auto")
    monkeypatch.setattr("inference.source.gpu_is_there", lambda: True)
    assert chosen_engine(auto, MEDIA, live=True).name == "ditto"
    for changes, reason in (
        ({"checkpoint": ""}, "no checkpoint"),
        ({"image": ""}, "no image"),
    ):
        given = chosen_engine(replace(auto, **changes), MEDIA, live=True)  # type: ignore[arg-type]
        assert given.name == "presenter"
        assert reason in given.reason
    assert chosen_engine(auto, MediaFormat(256, 144, 30), live=True).name == "presenter"
    monkeypatch.setattr("inference.source.gpu_is_there", lambda: False)
    slow = chosen_engine(auto, MEDIA, live=True)
    assert (slow.name, "without a GPU" in slow.reason) == ("presenter", True)
    assert chosen_engine(auto, MEDIA, live=False).name == "ditto"  # offline it only takes longer
    assert chosen_engine(settings, MEDIA, live=True).name == "ditto"


def test_another_face_is_made_beside_the_stream(
    settings: Settings, photo: Frame, tmp_path: Path
) -> None:
    """In another thread than it is drawn in, while it is drawn; only a photo has one."""
    speaker = make_source(settings, MEDIA)
    assert isinstance(speaker, Speaker)
    assert speaker.make_face is not None
    cv2.imwrite(str(tmp_path / "other.png"), np.ascontiguousarray(photo[:, ::-1]))
    frame = np.empty((MEDIA.height, MEDIA.width, 3), np.uint8)
    samples = np.empty((MEDIA.samples_per_unit, 1), np.int16)
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(speaker.make_face, str(tmp_path / "other.png"))
        while not made.done():
            speaker.render(frame, samples)
    old = weakref.ref(speaker.painter._worn.look.avatar.views[0].features)
    before = frame.copy()
    speaker.wear(replace(made.result(), number=7))
    assert read_face(speaker.render(frame, samples)) == 7
    assert np.abs(frame.astype(int) - before).mean() > 5
    with pytest.raises(DittoRefused, match="no face without a photo"):
        speaker.make_face("")
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(NoFaceFound):
        speaker.make_face(str(tmp_path / "grey.png"))
    for _ in range(RECALLABLE):
        speaker.render(frame, samples)
    gc.collect()
    assert old() is None, "8 MB a picture"
    speaker.close()
