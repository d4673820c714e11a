"""What POST /api/streams takes, and what it refuses with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigError, Settings
from server.tokens import STREAM_ID
from server.wishes import read_wish


def uploads(name: str, kind: str) -> str:
    if not name.startswith("uploads/"):
        raise ConfigError(f"source.{kind} is {name!r}: name an upload")
    return f"/files/{name}"


def wished(body: object) -> Settings:
    return read_wish(body, uploads).settings(Settings(image="/operator/face.jpg", fps=30))


def test_an_empty_wish_is_the_presenter_with_the_services_settings() -> None:
    settings = wished({})
    assert (settings.source, settings.image, settings.fps) == ("avatar", "", 30)
    assert STREAM_ID.fullmatch(settings.stream)
    assert settings.stream != wished({}).stream


def test_what_is_said_counts() -> None:
    body = {
        "id": "my-stream",
        "source": {"type": "avatar", "image": "uploads/1", "audio": "uploads/2"},
        "engine": "presenter",
        "latency": "ultra",
        "ladder": "single",
        "segment_seconds": 1,
        "width": 640,
        "height": 360,
    }
    settings = wished(body)
    assert settings.stream == "my-stream"
    assert (settings.image, settings.audio) == ("/files/uploads/1", "/files/uploads/2")
    assert (settings.latency, settings.ladder, settings.width) == ("ultra", "single", 640)
    assert isinstance(settings.segment_seconds, float)


@pytest.mark.parametrize(
    ("source", "setting"),
    [
        ({"type": "ingest"}, "ingest"),
        ({"type": "testcard"}, "testcard"),
        ({"type": "file", "name": "uploads/film.mp4"}, "file:/files/uploads/film.mp4"),
        ({"type": "camera"}, "camera:0"),
        ({"type": "camera", "device": "/dev/video2"}, "camera:/dev/video2"),
        ({"type": "camera", "device": "rtsp://host/1"}, "camera:rtsp://host/1"),
    ],
)
def test_sources(source: dict[str, str], setting: str) -> None:
    assert wished({"source": source}).source == setting


def test_a_cameras_microphone_is_its_own() -> None:
    body = {"source": {"type": "camera", "microphone": "pulse:default"}}
    assert wished(body).microphone == "pulse:default"
    service = Settings(source="camera:0", microphone="alsa:hw:1")
    assert read_wish({"source": {"type": "camera"}}, uploads).settings(service).microphone == ""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "must be a JSON object"),
        ([], "must be a JSON object"),
        ({"widht": 3}, "did you mean 'width'?"),
        ({"api_token": "mine"}, "nothing called 'api_token'"),
        ({"ffmpeg": "/tmp/evil"}, "nothing called 'ffmpeg'"),
        ({"media_root": "/"}, "nothing called 'media_root'"),
        ({"image": "/etc/passwd"}, "nothing called 'image'"),
        ({"id": "../x"}, "small letters"),
        ({"id": 7}, "small letters"),
        ({"id": ""}, "small letters"),
        ({"id": "x" * 64}, "1 to 63"),
        ({"fps": 99}, "from 1 to 60"),
        ({"fps": True}, "whole number"),
        ({"fps": "25"}, "whole number"),
        ({"segment_seconds": float("nan")}, "from 1 to 10"),
        ({"latency": "tiny"}, "choose one of ultra, low, normal"),
        ({"encoder": "lib\0x264"}, "NUL"),
        ({"source": "avatar"}, "must be an object"),
        ({"source": {}}, "choose one of avatar, camera, file, testcard, ingest"),
        ({"source": {"type": "avatar", "device": "0"}}, "nothing called 'device'"),
        ({"source": {"type": "avatar", "image": 3}}, "must be text"),
        ({"source": {"type": "avatar", "image": "/etc/passwd"}}, "name an upload"),
        ({"source": {"type": "camera", "device": "/etc/passwd"}}, "/dev/videoN"),
        ({"source": {"type": "camera", "device": "file:///etc/passwd"}}, "rtsp://"),
        ({"source": {"type": "camera", "device": "rtsp://h/\n1"}}, "rtsp://"),
        ({"source": {"type": "file", "name": "/etc/passwd"}}, "name an upload"),
        ({"source": {"type": "file"}}, "name an upload"),
        ({"source": {"type": "testcard", "name": "x"}}, "nothing called 'name'"),
        ({"source": {"type": "file", "microphone": "alsa:x"}}, "nothing called 'microphone'"),
        ({"engine": "dito"}, "choose one of auto, presenter, ditto"),
        ({"engine": ["auto"]}, "it must be text"),
        ({"preset": "best"}, "choose one of , quality, balanced, latency"),
        ({"fade_in": 5}, "fade_in is for a sound that is known as a whole"),
        ({"fade_out": 5}, "no frame that is known beforehand"),
        ({"control": {"frames": {"12": {"alpha_exp": 0.5}}}}, "no frame that is known beforehand"),
        ({"frames": {"12": {"alpha_exp": 0.5}}}, "asked of every frame is overall_control"),
        ({"ctrl_info": {}}, "as `lipstream render` has it"),
    ],
)
def test_what_is_refused_and_why(body: object, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        wished(body)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 900


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(["id", "source", "engine", "fps", "width", "ladder", "latency"]) | st.text()


@given(st.dictionaries(_keys, _values, max_size=5))
def test_any_json_is_a_stream_or_a_refusal(body: dict[str, Any]) -> None:
    json.dumps(body)
    try:
        settings = wished(body)
    except ConfigError:
        return
    assert STREAM_ID.fullmatch(settings.stream)
