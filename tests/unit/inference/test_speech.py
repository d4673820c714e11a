from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from inference import speech
from inference.errors import AudioRejected
from inference.speech import BUILT_IN_SAMPLE, check_clip, load_clip
from rawmedia import MediaFormat

from .conftest import MEDIA


def tone(rate: int, seconds: float = 1.0, channels: int = 1) -> NDArray[np.float32]:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def saved(path: Path, samples: object, rate: int, **how: str) -> Path:
    soundfile.write(path, samples, rate, **how)
    return path


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_becomes_the_streams(tmp_path: Path, rate: int, channels: int) -> None:
    path = saved(tmp_path / "a.wav", tone(rate, 1.0, channels), rate)
    clip = load_clip(path, MEDIA, 600)
    assert clip.units == 25
    assert clip.samples.shape == (48_000, 1)
    assert clip.samples.dtype == np.int16
    spectrum = np.abs(np.fft.rfft(clip.samples[4800:-4800, 0]))
    assert np.argmax(spectrum) * 48_000 / 38_400 == pytest.approx(440, abs=2)
    assert np.abs(clip.samples).max() == pytest.approx(16384, rel=0.05)


def test_stereo_streams_and_other_clocks(tmp_path: Path) -> None:
    media = MediaFormat(64, 64, 30, audio_rate_hz=24_000, audio_channels=2)
    left_only = tone(48_000, 0.5, 2) * (1, 0)
    clip = load_clip(saved(tmp_path / "a.wav", left_only, 48_000), media, 600)
    assert clip.unit(3).shape == (800, 2)
    assert np.abs(clip.samples[:, 0]).max() > 8000 > 100 > np.abs(clip.samples[:, 1]).max()
    mono = load_clip(saved(tmp_path / "b.wav", tone(48_000), 48_000), media, 600)
    assert (mono.samples[:, 0] == mono.samples[:, 1]).all()


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3", "aiff", "wav"])
def test_kinds_of_files(tmp_path: Path, kind: str) -> None:
    clip = load_clip(saved(tmp_path / f"a.{kind}", tone(44_100), 44_100), MEDIA, 600)
    assert 24 <= clip.units <= 28


def test_the_end_is_padded_to_a_whole_unit(tmp_path: Path) -> None:
    clip = load_clip(saved(tmp_path / "a.wav", tone(48_000, 0.05), 48_000), MEDIA, 600)
    assert clip.units == 2
    assert not clip.samples[2400:].any()


def test_overloaded_samples_are_clipped_not_wrapped(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", tone(48_000) * 8, 48_000, subtype="FLOAT")
    samples = load_clip(path, MEDIA, 600).samples[:, 0].astype(int)
    assert samples.max() == 32767
    assert np.abs(np.diff(samples)).max() < 20_000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    samples = tone(48_000)
    samples[30_000] = bad
    path = saved(tmp_path / "a.wav", samples, 48_000, subtype="FLOAT")
    with pytest.raises(AudioRejected, match="NaN or infinite"):
        load_clip(path, MEDIA, 600)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"not sound at all" * 99, b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a", "a.mp3", "a.vox", "a.gsm"])
def test_what_is_no_sound_is_refused(tmp_path: Path, data: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for refuse in (lambda: check_clip(path, 600), lambda: load_clip(path, MEDIA, 600)):
        with pytest.raises(AudioRejected, match="no sound file") as caught:
            refuse()
        assert "\n" not in str(caught.value)


def test_empty_audio(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", tone(48_000)[:0], 48_000)
    with pytest.raises(AudioRejected, match="no samples"):
        check_clip(path, 600)


def test_audio_too_long(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", tone(8_000, 3.0), 8_000)
    with pytest.raises(AudioRejected, match=r"3\.0 s, the limit is 2 s; .*max_audio_seconds"):
        check_clip(path, 2)


def test_the_length_is_counted_whatever_the_header_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.flac", tone(8_000, 3.0), 8_000)
    monkeypatch.setattr(speech, "_check_header", lambda *_: None)
    monkeypatch.setattr(speech, "BLOCK_FRAMES", 4_000)
    with pytest.raises(AudioRejected, match=r"2\.5 s, the limit is 2 s"):
        load_clip(path, MEDIA, 2)


def test_a_damaged_file_is_refused_or_shortened(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.flac", tone(48_000, 2.0), 48_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = b"\0" * 400
    path.write_bytes(data)
    with suppress(AudioRejected):
        assert load_clip(path, MEDIA, 600).units <= 51


def test_impossible_sample_rates(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", tone(8_000), 8_000)
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 3)
    path.write_bytes(data)
    with pytest.raises(AudioRejected, match="3 Hz, the limits are 1000 and 384000"):
        check_clip(path, 600)


def test_missing_file() -> None:
    with pytest.raises(AudioRejected, match="No such file"):
        check_clip(Path("/nonexistent/speech.wav"), 600)


def test_the_built_in_sample_is_small_and_ours() -> None:
    assert BUILT_IN_SAMPLE.stat().st_size < 1_000_000
    assert BUILT_IN_SAMPLE.name in (BUILT_IN_SAMPLE.parent / "SOURCES.md").read_text("utf-8")
