from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from encoder.errors import EncoderUnavailable, ImpossibleSize
from encoder.ffmpeg import Ffmpeg
from encoder.probe import Trial, choose_encoder, picture_fault, stream_fault, trials
from encoder.reasons import MAX_REASON_CHARS, telling_line
from encoder.report import encoder_json, encoder_table, first_working
from encoder.trial_cache import FILE_NAME, TrialCache, default_directory, driver_identity
from encoder.trial_picture import TrialPictures

STDERR = Path(__file__).parent / "ffmpeg_stderr"
NOWHERE = Ffmpeg("/nonexistent/ffmpeg", "9.0", 9, 0, "nowhere")

# --- the telling line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "reason"),
    [
        ("h264_nvenc-9.0", "Cannot load libcuda.so.1"),
        ("h264_nvenc-5.1", "Cannot load libcuda.so.1"),
        ("h264_amf-9.0", "DLL libamfrt64.so.1 failed to open"),
        ("h264_vaapi-9.0", "No render device /dev/dri/renderD128"),
        ("h264_vaapi-5.1", "Cannot open DRM render node for device 0."),
        (
            "h264_qsv-9.0",
            "Error creating a MFX session: -9 "
            "(no Intel GPU runtime (libmfx-gen, libmfxhw64) found)",
        ),
        (
            "h264_qsv-5.1",
            "Error initializing an internal MFX session: unsupported (-3) "
            "(no Intel GPU or no runtime for it)",
        ),
    ],
)
def test_telling_line_of_recorded_failures(recorded: str, reason: str) -> None:
    assert telling_line((STDERR / f"{recorded}.txt").read_text("utf-8")) == reason


H100 = """\
[h264_nvenc @ 0x55f4c7] [verbose] Loaded Nvenc version 13.0
[h264_nvenc @ 0x55f4c7] [verbose] Nvenc initialized successfully
[h264_nvenc @ 0x55f4c7] [verbose] 1 CUDA capable devices found
[h264_nvenc @ 0x55f4c7] [error] OpenEncodeSessionEx failed: unsupported device (2): (no details)
[h264_nvenc @ 0x55f4c7] [error] No capable devices found
[vost#0:0/h264_nvenc @ 0x55f4c6] [enc:h264_nvenc @ 0x55f4c5] [error] Error while opening encoder - \
maybe incorrect parameters such as bit_rate, rate, width or height.
[vf#0:0 @ 0x55f4c8] [error] Task finished with error code: -22 (Invalid argument)
[fatal] Conversion failed!
"""
OLD_DRIVER = """\
[h264_nvenc @ 0x1] [error] Driver does not support the required nvenc API version. \
Required: 13.0 Found: 12.1
[h264_nvenc @ 0x1] [error] The minimum required Nvidia driver for nvenc is 570.0 or newer
[error] Error while opening encoder
"""


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (H100, "OpenEncodeSessionEx failed: unsupported device (2): (no details)"),
        (
            OLD_DRIVER,
            "Driver does not support the required nvenc API version. Required: 13.0 Found: 12.1",
        ),
        ("plain words of a wrapper\n", "plain words of a wrapper"),
        ("[fatal] Conversion failed!\n", "Conversion failed!"),
        ("[info] nothing of note\n", ""),
        ("", ""),
        ("frame=1\r[error] after\r\n", "frame=1"),
    ],
)
def test_telling_line(stderr: str, reason: str) -> None:
    assert telling_line(stderr) == reason


def test_telling_line_is_short() -> None:
    assert len(telling_line("x" * 5000)) == MAX_REASON_CHARS


# --- pictures -----------------------------------------------------------------------------------


def downscaled(pictures: TrialPictures, number: int) -> bytes:
    """What an ideal decoder gives: the mean of every cell."""
    frame = pictures.frame(number).astype(np.float64)
    high, wide = pictures.height // pictures.rows, pictures.width // pictures.columns
    cells = frame.reshape(pictures.rows, high, pictures.columns, wide, 3).mean(axis=(1, 3))
    return bytes(cells.round().astype(np.uint8))


PICTURES = TrialPictures(640, 360, frames=12, cut=4)


def test_an_ideal_copy_has_no_fault() -> None:
    decoded = b"".join(downscaled(PICTURES, n) for n in range(12))
    assert max(PICTURES.differences(decoded)) < 1
    assert picture_fault(PICTURES, decoded) == ""


def test_neighbouring_pictures_differ_and_the_cut_is_hard() -> None:
    assert all((PICTURES.frame(n) != PICTURES.frame(n + 1)).any() for n in range(11))
    cut = np.abs(PICTURES.frame(4).astype(int) - PICTURES.frame(3)).mean()
    assert cut > 30


@pytest.mark.parametrize(
    ("name", "colour"), [("black", (0, 0, 0)), ("green", (0, 135, 0)), ("grey", (128, 128, 128))]
)
def test_one_colour_is_another_picture(name: str, colour: tuple[int, int, int]) -> None:
    decoded = bytes(colour) * (PICTURES.rows * PICTURES.columns) * 12
    assert picture_fault(PICTURES, decoded).startswith("it encodes another picture"), name


def test_swapped_colours_are_another_picture() -> None:
    copies = [np.frombuffer(downscaled(PICTURES, n), np.uint8).reshape(-1, 3) for n in range(12)]
    swapped = b"".join(copy[:, ::-1].tobytes() for copy in copies)
    assert picture_fault(PICTURES, swapped).startswith("it encodes another picture")


def test_a_frozen_picture_is_another_picture() -> None:
    assert "frame" in picture_fault(PICTURES, downscaled(PICTURES, 0) * 12)


def test_missing_pictures_are_counted() -> None:
    decoded = b"".join(downscaled(PICTURES, n) for n in range(7))
    assert picture_fault(PICTURES, decoded) == "7 of 12 frames decode"
    assert picture_fault(PICTURES, b"") == "0 of 12 frames decode"


@pytest.mark.parametrize(("width", "height"), [(16, 16), (18, 4096), (1918, 2), (1280, 720)])
def test_frames_have_the_size(width: int, height: int) -> None:
    pictures = TrialPictures(width, height, frames=2, cut=1)
    for number in range(2):
        frame = pictures.frame(number)
        assert frame.shape == (height, width, 3)
        assert frame.dtype == np.uint8


def test_stream_fault_of_what_is_no_mp4() -> None:
    assert stream_fault(b"") == "12 frames went in, 0 came out"
    assert "no fragmented MP4" in stream_fault(b"\0\0\0\1\x67 garbage" * 100)


# --- sizes and names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "name", "words"),
    [
        ((1281, 720, 25), "width", ("1281", "even", "1280")),
        ((1280, 719, 25), "height", ("719", "even", "718")),
        ((8, 720, 25), "width", ("8", "16 to 4096", "16")),
        ((1280, 9999, 25), "height", ("9999", "16 to 4096", "4096")),
        ((1280, 720, 0), "fps", ("0", "1 to 60", "25")),
    ],
)
def test_impossible_sizes(
    tmp_path: Path, size: tuple[int, int, int], name: str, words: tuple[str, ...]
) -> None:
    for ask in (
        lambda: trials(NOWHERE, *size, cache_dir=tmp_path),
        lambda: choose_encoder(NOWHERE, "auto", *size, cache_dir=tmp_path),
    ):
        with pytest.raises(ImpossibleSize) as caught:
            ask()
        assert caught.value.name == name
        assert all(word in str(caught.value) for word in words)
        assert "\n" not in str(caught.value)


def test_unknown_encoder_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable) as caught:
        choose_encoder(NOWHERE, "h264_nvec", 640, 360, 25, cache_dir=tmp_path)
    assert caught.value.wanted == "h264_nvec"
    assert "auto" in str(caught.value)
    assert "h264_nvenc" in str(caught.value)


def test_binary_that_vanished_is_a_reason(tmp_path: Path) -> None:
    found = trials(NOWHERE, 640, 360, 25, cache_dir=tmp_path)
    assert not any(trial.works for trial in found)
    assert all("/nonexistent/ffmpeg cannot run" in trial.reason for trial in found)


# --- cache --------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


GOOD = {"works": True, "reason": "", "milliseconds": 5}
BAD = {"works": False, "reason": "no driver", "milliseconds": 5}


def test_a_failure_is_forgotten_after_ten_minutes_and_a_success_is_not(tmp_path: Path) -> None:
    clock = Clock()
    cache = TrialCache(tmp_path, clock)
    cache.put({"good": GOOD, "bad": BAD})
    clock.seconds += 599
    assert cache.get("bad") is not None
    clock.seconds += 2
    assert cache.get("bad") is None
    clock.seconds += 1e9
    assert cache.get("good") == GOOD | {"at": 1_000_000.0}


def test_a_clock_set_back_does_not_keep_a_failure(tmp_path: Path) -> None:
    clock = Clock()
    cache = TrialCache(tmp_path, clock)
    cache.put({"bad": BAD})
    clock.seconds -= 1000
    assert cache.get("bad") is None


def test_two_processes_keep_each_others_entries(tmp_path: Path) -> None:
    one, other = TrialCache(tmp_path), TrialCache(tmp_path)
    one.put({"a": GOOD})
    other.put({"b": GOOD})
    assert one.get("a")
    assert one.get("b")
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"layout": 1}',
        b'{"layout": 1, "trials": []}',
        b'{"layout": 1, "trials": {"a": {"works": "yes"}}}',
        b'{"layout": 1, "trials": {"a": {"works": true, "reason": 1}}}',
        b'{"layout": 2, "trials": {}}',
    ],
)
def test_a_damaged_file_is_ignored_and_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    cache = TrialCache(tmp_path)
    assert cache.get("a") is None
    cache.put({"a": GOOD})
    assert cache.get("a")
    assert json.loads((tmp_path / FILE_NAME).read_bytes())["layout"] == 1


def test_without_a_writable_folder_it_forgets(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for cache in (TrialCache(blocked / "below"), TrialCache(None)):
        cache.put({"a": GOOD})
        assert cache.get("a") is None


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    cache = TrialCache(tmp_path, clock)
    for number in range(3):
        clock.seconds += 1
        cache.put({f"{number}-{k}": GOOD for k in range(100)})
    assert len(json.loads((tmp_path / FILE_NAME).read_bytes())["trials"]) == 200
    assert cache.get("0-1") is None
    assert cache.get("2-1")


def test_default_folder() -> None:
    assert default_directory({"XDG_CACHE_HOME": "/var/x"}) == Path("/var/x/lipstream")
    below_home = Path.home() / ".cache" / "lipstream"
    assert default_directory({}) == below_home
    assert default_directory({"XDG_CACHE_HOME": "relative"}) == below_home


def test_driver_identity_sees_driver_and_devices(tmp_path: Path) -> None:
    version, devices = tmp_path / "version", tmp_path / "dev"
    (devices / "dri").mkdir(parents=True)
    seen = [driver_identity(version, devices)]
    version.write_text("NVRM version: 570.1")
    seen.append(driver_identity(version, devices))
    version.write_text("NVRM version: 580.2")
    seen.append(driver_identity(version, devices))
    (devices / "nvidia0").touch()
    seen.append(driver_identity(version, devices))
    (devices / "dri" / "renderD128").touch()
    seen.append(driver_identity(version, devices))
    assert len(set(seen)) == len(seen)
    assert driver_identity(version, devices) == seen[-1]
    assert sys.platform in seen[0]


# --- report -------------------------------------------------------------------------------------

FOUND = [
    Trial("h264_nvenc", False, "Cannot load libcuda.so.1", 76),
    Trial("libx264", True, "", 260),
]


def test_table() -> None:
    assert encoder_table(FOUND, "libx264") == (
        "  encoder     works    time  reason\n"
        "  h264_nvenc  no      76 ms  Cannot load libcuda.so.1\n"
        "* libx264     yes    260 ms\n"
    )


def test_json() -> None:
    assert json.loads(json.dumps(encoder_json(FOUND, "libx264"))) == {
        "chosen": "libx264",
        "encoders": [
            {
                "name": "h264_nvenc",
                "works": False,
                "reason": "Cannot load libcuda.so.1",
                "milliseconds": 76,
                "chosen": False,
            },
            {"name": "libx264", "works": True, "reason": "", "milliseconds": 260, "chosen": True},
        ],
    }
    assert encoder_json(FOUND[:1], "")["chosen"] is None


def test_first_working() -> None:
    assert first_working(FOUND) == "libx264"
    assert first_working(FOUND[:1]) == ""


def test_an_encoder_of_another_codec_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match=r"it makes hevc, video_codec is h264; .*libx264"):
        choose_encoder(NOWHERE, "libx265", 640, 360, 25, cache_dir=tmp_path)
    with pytest.raises(EncoderUnavailable, match=r"no AV1 encoder works here: .*libsvtav1"):
        choose_encoder(NOWHERE, "auto", 640, 360, 25, codec="av1", cache_dir=tmp_path)
