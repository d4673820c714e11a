"""Settings: four places, typed, checked, and an error that names what would be right."""

from __future__ import annotations

import string
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ENVIRONMENT_PREFIX, PART_SECONDS, ConfigError, Settings, even_size, load

NUMBERS = [item for item in fields(Settings) if item.metadata["low"] is not None]
CHOICES = [item for item in fields(Settings) if item.metadata["choices"]]


def by_name(item: Field[Any]) -> str:
    return item.name


def with_value(item: Field[Any], value: Any) -> Settings:
    """The defaults, but for one field."""
    changed: dict[str, Any] = {item.name: value}
    return Settings(**changed)


def toml(folder: Path, text: str) -> Path:
    file = folder / "lipstream.toml"
    file.write_text(text, "utf-8")
    return file


def test_later_places_win(tmp_path: Path) -> None:
    file = toml(tmp_path, 'port = 1\nfps = 30\nwidth = 640\nhost = "from-file"')
    environ = {"LIPSTREAM_PORT": "2", "LIPSTREAM_FPS": "50", "HOME": "/nowhere"}
    found = load(file=file, environ=environ, flags={"port": 3, "host": None})
    assert (found.port, found.fps, found.width, found.height) == (3, 50, 640, 720)
    assert found.host == "from-file"  # a flag that was not given is no wish


def test_nothing_given_is_the_defaults() -> None:
    assert load(environ={}) == Settings()


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTREAM_PORT", "1234")
    assert load().port == 1234


# --- unknown, wrong, out of bounds --------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("segment_secondes", "did you mean 'segment_seconds'"),
        ("with", "did you mean 'width'"),
        ("zzz", "lists all"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_right_one(
    tmp_path: Path, key: str, hint: str
) -> None:
    file = toml(tmp_path, f"{key} = 1")
    with pytest.raises(ConfigError, match=f"{file}: there is no setting '{key}'; .*{hint}"):
        load(file=file, environ={})
    with pytest.raises(ConfigError, match=f"LIPSTREAM_{key.upper()}: .*{hint}"):
        load(environ={f"LIPSTREAM_{key.upper()}": "1"})


@pytest.mark.parametrize("item", NUMBERS, ids=by_name)
def test_limits_are_kept_and_named(item: Field[Any]) -> None:
    low, high = item.metadata["low"], item.metadata["high"]
    for good in (low, high):
        assert getattr(with_value(item, good), item.name) == good
    for bad in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=f"^{item.name} is {bad}: it must be from "):
            with_value(item, bad)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_numbers_that_are_none(bad: str) -> None:
    with pytest.raises(ConfigError, match="segment_seconds is"):
        load(environ={"LIPSTREAM_SEGMENT_SECONDS": bad})


@pytest.mark.parametrize("item", CHOICES, ids=by_name)
def test_choices_are_kept_and_named(item: Field[Any]) -> None:
    for good in item.metadata["choices"]:
        assert getattr(with_value(item, good), item.name) == good
    with pytest.raises(ConfigError, match=f"{item.name} is 'green': choose one of "):
        with_value(item, "green")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("PORT", "eight", "LIPSTREAM_PORT is 'eight': it must be a whole number"),
        ("PORT", "8000.5", "it must be a whole number"),
        ("PORT", "", "it must be a whole number"),
        ("SEGMENT_SECONDS", "two", "it must be a number"),
        ("INSECURE", "maybe", "LIPSTREAM_INSECURE is 'maybe': say yes or no"),
    ],
)
def test_text_of_the_wrong_type(name: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load(environ={ENVIRONMENT_PREFIX + name: text})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('port = "8000"', "port is '8000': it must be a whole number"),
        ("port = true", "port is True: it must be a whole number"),
        ("port = 8000.0", r"port is 8000\.0: it must be a whole number"),
        ("insecure = 1", "insecure is 1: it must be true or false"),
        ("host = 1", "host is 1: it must be text"),
        ("host = []", r"host is \[\]: it must be text"),
        ("[server]\nport = 1", "there is no setting 'server'"),
        ("port = ", "is not TOML"),
    ],
)
def test_toml_of_the_wrong_type(tmp_path: Path, line: str, problem: str) -> None:
    file = toml(tmp_path, line)
    with pytest.raises(ConfigError, match=problem) as caught:
        load(file=file, environ={})
    assert str(file) in str(caught.value)


def test_toml_may_leave_out_a_point(tmp_path: Path) -> None:
    found = load(file=toml(tmp_path, "segment_seconds = 4"), environ={})
    assert isinstance(found.segment_seconds, float)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*: No such file"):
        load(file=tmp_path / "none.toml", environ={})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        load(file=tmp_path / "binary.toml", environ={})


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("YES", True), ("on", True), ("0", False), ("", False)]
)
def test_yes_and_no(text: str, value: bool) -> None:
    assert load(environ={"LIPSTREAM_INSECURE": text}).insecure is value


# --- presets and sizes ---------------------------------------------------------------------------

PRESETS = [
    ("", (1280, 720), 0, "3,5,2"),
    ("quality", (768, 432), 15, "3,5,2"),
    ("balanced", (640, 360), 12, "3,5,2"),
    ("latency", (384, 216), 10, "2,3,2"),
]


def seen(found: Settings) -> tuple[tuple[int, int], int, str]:
    """What a preset decides: size, steps, chunks."""
    media = found.media_fields
    return (media["width"], media["height"]), found.steps, found.chunks


@pytest.mark.parametrize(("preset", "size", "steps", "chunks"), PRESETS)
def test_a_preset_is_three_values_and_each_alone_counts_more(
    preset: str, size: tuple[int, int], steps: int, chunks: str
) -> None:
    assert seen(Settings(preset=preset)) == (size, steps, chunks)
    assert seen(Settings(preset=preset, frame_scale=0.25)) == ((320, 180), steps, chunks)
    assert seen(Settings(preset=preset, sampling_timesteps=7)) == (size, 7, chunks)
    assert seen(Settings(preset=preset, chunk_config="1,4,2")) == (size, steps, "1,4,2")


def test_a_preset_comes_from_any_place_and_a_value_alone_from_another() -> None:
    environ = {"LIPSTREAM_PRESET": "latency"}
    assert seen(load(environ=environ)) == ((384, 216), 10, "2,3,2")
    assert seen(load(environ=environ, flags={"frame_scale": 0.5})) == ((640, 360), 10, "2,3,2")


@pytest.mark.parametrize(
    ("size", "scale", "scaled"),
    [
        ((1280, 720), 0.3, (384, 216)),
        ((1920, 1080), 0.3, (576, 324)),
        ((854, 480), 0.3, (256, 144)),  # 256.2
        ((1000, 562), 0.3, (300, 168)),  # 168.6: 169 would be nearer, and odd
        ((720, 1280), 0.35, (252, 448)),
        ((1080, 1080), 0.65, (702, 702)),
    ],
)
def test_a_scaled_picture_is_even(
    size: tuple[int, int], scale: float, scaled: tuple[int, int]
) -> None:
    found = Settings(width=size[0], height=size[1], frame_scale=scale).media_fields
    assert (found["width"], found["height"]) == scaled


@settings(max_examples=300, deadline=None)
@given(
    st.integers(16, 4096),
    st.integers(16, 4096),
    st.floats(0.0625, 1.0, exclude_max=True),  # the smallest side is a pixel or more
)
def test_any_scaled_picture_is_even_and_keeps_its_aspect_within_a_pixel(
    width: int, height: int, scale: float
) -> None:
    scaled = even_size(width, height, scale)
    for side, whole in zip(scaled, (width, height), strict=True):
        assert side % 2 == 0
        assert side >= 2
        assert abs(side - whole * scale) <= 1 + 1e-9


def test_the_whole_picture_is_left_as_it_is() -> None:
    assert even_size(1281, 719, 1.0) == (1281, 719), "an odd size is refused by name, not changed"


# --- to the child processes ---------------------------------------------------------------------


def values(item: Field[Any]) -> st.SearchStrategy[Any]:
    """Every value that a field may have."""
    low, high = item.metadata["low"], item.metadata["high"]
    if item.metadata["choices"]:
        return st.sampled_from(item.metadata["choices"])
    kinds: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(low, high),
        float: st.floats(low, high),
        str: st.text(string.printable + "äß\U0001f600"),
    }
    return kinds[type(item.default)]


ANY_SETTINGS = st.builds(Settings, **{item.name: values(item) for item in fields(Settings)})


@settings(max_examples=100, deadline=None)
@given(ANY_SETTINGS)
def test_settings_survive_the_environment(given_settings: Settings) -> None:
    environ = given_settings.to_environment()
    assert load(environ=environ) == given_settings
    assert len(environ) == len(asdict(given_settings))


@pytest.mark.parametrize(("latency", "seconds"), PART_SECONDS.items())
def test_latency_profiles(latency: str, seconds: float | None) -> None:
    assert Settings(latency=latency).part_seconds == seconds


def test_every_setting_is_explained() -> None:
    assert all(item.metadata["help"] for item in fields(Settings))
    assert [item.name for item in fields(Settings) if item.metadata["secret"]] == [
        "api_token",
        "viewer_key",
    ]
