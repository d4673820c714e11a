"""Piper speaks with a voice that the test makes: one beep for each sound, in the published form."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.piper import PAUSE_SECONDS, Piper, check_piper_voice
from inference.voice import VoiceBroken, VoiceFailed
from server.errors import SpeechRefused
from server.speech_voice import speak

RATE_HZ, HOP = 16_000, 800
# A sound is 0.05 s; around each piece are one at its beginning, one at its end, and fillers.
SIGNS = "^$_ abcdefghijklmnopqrstuvwxyzəɪʊʌɛɔæɑθðʃŋɹˈˌː"


def make_voice(folder: Path, *, value: float = 0.5, alphabet: str = "text") -> Path:
    """A network with the inputs and the output of Piper's, without anything learnt."""
    wave = (value * np.sin(np.arange(HOP) / 8)).astype(np.float32)[None, :]
    constants = [
        numpy_helper.from_array(wave, "wave"),
        numpy_helper.from_array(np.array([1], np.int64), "last"),
        numpy_helper.from_array(np.array([1, 1, 1, -1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("Cast", ["input"], ["signs"], to=TensorProto.FLOAT),
        helper.make_node("Sign", ["signs"], ["heard"]),
        helper.make_node("Transpose", ["heard"], ["column"], perm=[1, 0]),
        helper.make_node("MatMul", ["column", "wave"], ["waves"]),
        helper.make_node("Reshape", ["waves", "shape"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "voice",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "signs"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "samples"])],
        constants,
    )
    path = folder / "voice.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(path))
    told = {
        "audio": {"sample_rate": RATE_HZ},
        "espeak": {"voice": "en-us"},
        "phoneme_type": alphabet,
        "num_symbols": len(SIGNS) + 1,
        "num_speakers": 1,
        "phoneme_id_map": {sign: [number] for number, sign in enumerate(SIGNS, 1)},
    }
    (folder / "voice.onnx.json").write_text(json.dumps(told), "utf-8")
    return path


def test_sentences_are_said_one_after_the_other(tmp_path: Path) -> None:
    spoken = Piper(str(make_voice(tmp_path))).speak("abc def. gh!\n... ij")
    assert spoken.rate_hz == RATE_HZ
    assert [word.at for word in spoken.words] == [0, 9, 17]
    first, second, third = (round(word.seconds * RATE_HZ) for word in spoken.words)
    pause = round(PAUSE_SECONDS * RATE_HZ)
    assert first == 0
    assert second - pause > third - second > pause, "the longer sentence takes longer"
    for end in (second, third):
        assert not spoken.samples[end - pause : end].any()
        assert spoken.samples[end - pause - HOP : end - pause].any()
        assert spoken.samples[end : end + HOP].any()
    assert spoken.seconds == len(spoken.samples) / RATE_HZ


def test_it_knows_how_words_of_a_language_sound(tmp_path: Path) -> None:
    """The same letters take as long as their sounds, not as they do."""
    spoken = Piper(str(make_voice(tmp_path, alphabet="espeak"))).speak("Though")
    spelt = Piper(str(make_voice(tmp_path, alphabet="text"))).speak("Though")
    assert 0 < spoken.seconds < spelt.seconds


def test_captions_follow_within_a_sentence(tmp_path: Path) -> None:
    voice = str(make_voice(tmp_path))
    long = " ".join(["abcdefghi"] * 20)
    told = speak(f"abc def ghi jkl mno. {long}", "en-us", tmp_path / "a.wav", voice)
    assert told[0].text == "abc def ghi jkl mno."
    assert len(told) == 4
    steps = [after.at_seconds - before.at_seconds for before, after in pairwise(told)]
    assert min(steps) > 1
    assert steps[1] == pytest.approx(steps[2], rel=0.2), "lines as long last as long"


@pytest.mark.parametrize("text", ["...", "?! --", "\n\n", " "])
def test_without_words_there_is_nothing_to_say(tmp_path: Path, text: str) -> None:
    with pytest.raises(VoiceFailed, match="nothing to say") as caught:
        Piper(str(make_voice(tmp_path))).speak(text)
    assert not isinstance(caught.value, VoiceBroken)


def test_nobody_writes_sounds_into_a_text(tmp_path: Path) -> None:
    voice = Piper(str(make_voice(tmp_path, alphabet="espeak")))
    assert voice.speak("[[ˈaː]]").seconds > 0
    with patch.object(voice._voice, "synthesize", return_value=iter(())) as synthesize:
        voice.speak("a [[b]] c")
    synthesize.assert_called_once_with("a [ [b]] c")


# --- what is wrong with a voice ------------------------------------------------------------------


def test_no_setting_is_no_voice() -> None:
    check_piper_voice("")


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = make_voice(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(VoiceBroken, match=r"pip install 'lipstream\[piper\]'"):
        check_piper_voice(str(voice))


@pytest.mark.parametrize("gone", ["voice.onnx", "voice.onnx.json"])
def test_a_missing_file_is_told(tmp_path: Path, gone: str) -> None:
    voice = make_voice(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(VoiceBroken, match=rf"there is no file .*{gone};"):
        Piper(str(voice))


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("voice.onnx", b"", "is no voice of Piper"),
        ("voice.onnx", b"not a network at all", "is no voice of Piper"),
        ("voice.onnx.json", b"", "is no voice of Piper"),
        ("voice.onnx.json", b"[]", "is no voice of Piper"),
        ("voice.onnx.json", b"{}", "is no voice of Piper: 'num_symbols'"),
        ("voice.onnx.json", b"\xff", "is no voice of Piper"),
        ("voice.onnx.json", b'{"phoneme_type": "pinyin"}', "phoneme_type is 'pinyin'"),
    ],
)
def test_a_broken_voice_is_told(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    voice = make_voice(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(VoiceBroken, match=told) as caught:
        Piper(str(voice))
    assert "\n" not in str(caught.value)


def test_a_voice_that_makes_no_numbers_is_told(tmp_path: Path) -> None:
    with pytest.raises(VoiceBroken, match="no numbers"):
        Piper(str(make_voice(tmp_path, value=float("nan")))).speak("abc")


def test_who_posts_a_text_is_not_to_blame_for_the_voice(tmp_path: Path) -> None:
    voice = make_voice(tmp_path)
    voice.write_bytes(b"not a network")
    with pytest.raises(SpeechRefused) as caught:
        speak("abc", "en-us", tmp_path / "a.wav", str(voice))
    assert caught.value.status == 503
