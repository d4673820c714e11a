"""A checkpoint is held against what the pipeline needs, all at once, before anything runs."""

from __future__ import annotations

import pickle
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from inference.checkpoint import configuration
from inference.checkpoint.configuration import Defaults
from inference.checkpoint.errors import (
    CheckpointIncomplete,
    ConfigurationRejected,
    NetworksMismatch,
)
from inference.checkpoint.folder import ONLINE, open_checkpoint
from inference.checkpoint.networks import SPECS
from inference.ditto.conditions import feeling
from inference.engines.errors import NetworkUnusable
from inference.engines.onnx_engine import OnnxEngine
from inference.engines.protocol import array

RESEARCH = {"insightface_det", "landmark106"}


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


def test_all_networks_load(folder: Path, engine: OnnxEngine) -> None:
    told: list[str] = []
    networks = open_checkpoint(folder, research_only=True).load_all(engine, loaded=told.append)
    assert list(networks) == list(SPECS) == told
    for network in networks.values():
        network.release()


def test_weights_for_research_are_used_only_if_asked(own: Path) -> None:
    assert {s.name for s in open_checkpoint(own).specs} == SPECS.keys() - RESEARCH
    (own / "ditto_onnx" / "insightface_det.onnx").unlink()
    open_checkpoint(own)
    with pytest.raises(CheckpointIncomplete, match=r"ditto_onnx/insightface_det\.onnx"):
        open_checkpoint(own, research_only=True)


def test_all_that_is_missing_is_told_at_once(own: Path) -> None:
    gone = ("ditto_onnx/decoder.onnx", "ditto_onnx/hubert.onnx", f"ditto_cfg/{ONLINE}")
    for name in gone:
        (own / name).unlink()
    with pytest.raises(CheckpointIncomplete) as caught:
        open_checkpoint(own)
    assert set(caught.value.missing) == set(gone)
    message = str(caught.value)
    assert "3 files missing" in message
    assert all(name in message for name in gone)
    command = "hf download digital-avatar/ditto-talkinghead"
    assert f"{command} --include 'ditto_[oc]*' --local-dir {own}" in message


def test_another_version_is_named(own: Path) -> None:
    old = own / "ditto_onnx" / "lmdm_v0.4_hubert.onnx"
    old.rename(old.with_name("lmdm_v0.3_hubert.onnx"))
    with pytest.raises(CheckpointIncomplete, match=r"found instead: lmdm_v0\.3_hubert\.onnx"):
        open_checkpoint(own)


def test_only_the_engines_of_tensorrt_8(tmp_path: Path) -> None:
    engines = tmp_path / "ditto_trt_Ampere_Plus"
    engines.mkdir()
    (engines / "decoder_fp16.engine").touch()
    with pytest.raises(CheckpointIncomplete, match="engines of TensorRT 8"):
        open_checkpoint(tmp_path)


def test_the_network_with_the_plugin_will_do(own: Path) -> None:
    portable = own / "ditto_onnx" / "warp_network_ori.onnx"
    portable.rename(portable.with_name("warp_network.onnx"))
    assert open_checkpoint(own).path("warp_network").name == "warp_network.onnx"


def test_networks_of_another_shape_are_told_together(own: Path, engine: OnnxEngine) -> None:
    onnx_folder = own / "ditto_onnx"
    shutil.copy(onnx_folder / "stitch_network.onnx", onnx_folder / "decoder.onnx")
    change_input(onnx_folder / "lmdm_v0.4_hubert.onnx", "cond", (1, 80, 1103), (1, 80, 1059))
    with pytest.raises(NetworksMismatch) as caught:
        open_checkpoint(own).load_all(engine, ("decoder", "stitch_network", "lmdm"))
    message = str(caught.value)
    assert "decoder takes no feature, not feature float32(1, 256, 64, 64)" in message
    assert "decoder takes kp_source float32(1, 21, 3) besides" in message
    assert "lmdm takes cond float32(1, 80, 1059), not cond float32(1, 80, 1103)" in message
    assert "another version" in message


def change_input(path: Path, name: str, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Declare another shape, and slice so that the rest still fits."""
    model = onnx.load(path)
    (value,) = (v for v in model.graph.input if v.name == name)
    for dim, length in zip(value.type.tensor_type.shape.dim, after, strict=True):
        dim.dim_value = length
    pads = [0] * 3 + [b - a for b, a in zip(before, after, strict=True)]
    filled = onnx.helper.make_node("Pad", [name, "more"], ["filled"])
    for node in model.graph.node:
        node.input[:] = ["filled" if i == name else i for i in node.input]
    model.graph.node.insert(0, filled)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(pads), "more"))
    onnx.save(model, path)


@pytest.mark.parametrize("damage", [b"", b"no ONNX at all", "half"])
def test_a_corrupt_network(own: Path, engine: OnnxEngine, damage: bytes | str) -> None:
    path = own / "ditto_onnx" / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:300] if isinstance(damage, str) else damage)
    with pytest.raises(NetworkUnusable, match="fetch the file again") as caught:
        open_checkpoint(own).load_all(engine)
    assert caught.value.path == path


def test_outputs_go_by_name_and_else_by_their_order(own: Path, engine: OnnxEngine) -> None:
    path = own / "ditto_onnx" / "lmdm_v0.4_hubert.onnx"
    checkpoint = open_checkpoint(own)
    feeds = {t.name: np.ones([n or 1 for n in t.shape], t.dtype) for t in SPECS["lmdm"].inputs}
    wanted = checkpoint.load("lmdm", engine).run(feeds)
    renamed = onnx.load(path)
    for value, name in zip(renamed.graph.output, ("first", "second"), strict=True):
        for node in renamed.graph.node:
            node.output[:] = [name if o == value.name else o for o in node.output]
        value.name = name
    onnx.save(renamed, path)
    with_other_names = checkpoint.load("lmdm", OnnxEngine()).run(feeds)
    swapped = onnx.load(path)
    outputs = list(swapped.graph.output)[::-1]
    del swapped.graph.output[:]
    swapped.graph.output.extend(outputs)
    onnx.save(swapped, path)
    in_other_order = checkpoint.load("lmdm", OnnxEngine()).run(feeds)
    for name, value in wanted.items():
        other = "x_start" if name == "pred_noise" else "pred_noise"
        assert np.array_equal(array(with_other_names[name]), array(value))
        assert np.array_equal(array(in_other_order[other]), array(value))


def test_outputs_of_as_many_numbers_are_shaped(own: Path, engine: OnnxEngine) -> None:
    """Key points as (1, 21, 3), which some exports give."""
    path = own / "ditto_onnx" / "motion_extractor.onnx"
    model = onnx.load(path)
    (kp,) = (v for v in model.graph.output if v.name == "kp")
    for node in model.graph.node:
        node.output[:] = ["flat" if o == "kp" else o for o in node.output]
    del kp.type.tensor_type.shape.dim[:]
    for length in (1, 21, 3):
        kp.type.tensor_type.shape.dim.add().dim_value = length
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 21, 3]), "shape"))
    model.graph.node.append(onnx.helper.make_node("Reshape", ["flat", "shape"], ["kp"]))
    onnx.save(model, path)
    network = open_checkpoint(own).load("motion_extractor", engine)
    image = np.zeros((1, 3, 256, 256), np.float32)
    assert array(network.run({"image": image})["kp"]).shape == (1, 63)


def test_configurations(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    online = checkpoint.configuration(online=True)
    offline = checkpoint.configuration(online=False)
    assert (online.defaults.overlap_v2, offline.defaults.overlap_v2) == (70, 10)
    assert (online.defaults.sampling_timesteps, offline.defaults.sampling_timesteps) == (10, 50)
    assert online.unknown == ()
    defaults = online.defaults
    assert isinstance(defaults.emo, np.ndarray)
    assert defaults.emo.shape == (600, 8)
    assert defaults.emo.dtype == np.float32
    assert defaults.v_min_max_for_clip is not None
    assert defaults.v_min_max_for_clip.shape == (2, 265)
    assert defaults.delta_eye_arr is not None
    assert defaults.ch_info is not None
    assert defaults.ch_info.eye_open_lst.shape == (1, 2)
    assert defaults.overall_ctrl_info == {"delta_pitch": 2}


def written(path: Path, change: dict[str, Any], model: dict[str, Any] | None = None) -> Path:
    content = {
        "base_cfg": {},
        "audio2motion_cfg": model or {},
        "default_kwargs": change,
    }
    path.write_bytes(pickle.dumps(content))
    return path


def test_what_a_file_does_not_say_is_as_in_the_published_code(tmp_path: Path) -> None:
    found = configuration.read(written(tmp_path / "x.pkl", {}))
    assert found.defaults == Defaults()


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    change = {
        "emo": np.zeros((3, 7)),
        "max_size": "large",
        "v_min_max_for_clip": np.zeros((4, 264)),
        "crop_scale": float("nan"),
        "ch_info": {"x_s_info_lst": []},
        "delta_eye_arr": np.full((15, 63), np.inf),
        "fade_out_keys": "exp",
        "relative_d": "yes",
        "something_new": 1,
    }
    model = {"audio_feat_dim": 1059, "w2f_type": "wavlm", "seq_frames": 80}
    with pytest.raises(ConfigurationRejected) as caught:
        configuration.read(written(tmp_path / "x.pkl", change, model))
    message = str(caught.value)
    for name in change.keys() - {"something_new"}:
        assert f"{name} is " in message
    assert "audio_feat_dim is 1059, not 1103" in message
    assert "w2f_type is 'wavlm', not hubert" in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"delta_eye_arr": np.zeros((14, 63))}, "15 rows, one for each frame of a blink"),
        ({"use_d_keys": ["exp", "mouth"]}, "'mouth' is not driven: exp, pitch, roll, scale, t, ya"),
        ({"use_d_keys": {"kp": 1.0}}, "'kp' is not driven"),
        ({"fade_out_keys": ("exp", "lips")}, "'lips' is not driven"),
        ({"delta_eye_open_n": [60, -15]}, "a list of times must hold 0 or more, as frames"),
        ({"delta_eye_open_n": []}, "a list of times must hold 0 or more, as frames"),
        ({"emo": []}, "must be a number from 0 to 7"),
        ({"emo": [3, 8]}, "must be a number from 0 to 7"),
        ({"emo": -1}, "must be a number from 0 to 7"),
        ({"crop_scale": 0}, "must be above 0"),
    ],
)
def test_values_that_would_fail_while_drawing_are_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    (name,) = change
    with pytest.raises(ConfigurationRejected, match=re.escape(told)) as caught:
        configuration.read(written(tmp_path / "x.pkl", change))
    assert f"{name} is " in str(caught.value)
    assert "fetch the configuration" in str(caught.value)


@pytest.mark.parametrize(
    ("emo", "read"),
    [(3, 3), ([3, 5], (3, 5)), ([[3], [5, 4], 2], ((3,), (5, 4), (2,)))],
)
def test_feelings_may_be_labels(tmp_path: Path, emo: Any, read: Any) -> None:
    """One, several at once, or a list for each frame (DITTO_FACTS section 8)."""
    found = configuration.read(written(tmp_path / "x.pkl", {"emo": emo})).defaults.emo
    assert found == read
    assert feeling(found).shape == (len(read) if isinstance(emo, list) and emo[0] == [3] else 1, 8)


def test_keys_that_nobody_reads_are_named(tmp_path: Path) -> None:
    assert configuration.read(written(tmp_path / "x.pkl", {"new": 1})).unknown == ("new",)


@pytest.mark.parametrize("content", [[], {}, {"base_cfg": {}, "default_kwargs": {}}, 7])
def test_no_configuration_at_all(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ConfigurationRejected, match=r"has no .*audio2motion_cfg"):
        configuration.read(path)


def test_every_default_has_a_field() -> None:
    """The names of the published file; one that is lost here would be ignored in silence."""
    assert len(fields(Defaults)) == 27
