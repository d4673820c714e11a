"""`lipstream watch` against real media: what it counts, keeps and judges."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.watching.decoder import Decoded, Decoder
from config import Settings
from server.cli import main
from server.demo import path_of
from server.tokens import admitted
from tests.browser.folder_site import serve_folder
from tests.clips import FFMPEG, make_clip

pytestmark = pytest.mark.ffmpeg

PICTURES = 50  # two seconds
# Where pictures are counted: how quickly a busy machine shows them is another question, and how
# they are judged tests/unit/test_watching_screen.py sees, on a clock of its own.
LAX = ("--min-fps", "0", "--max-first-frame", "60", "--max-interval", "10000")
# Recorded before Ctrl-C: five seconds; two may lie before what is shown, one is still to come.
RECORDED = 125
KEY = "k" * 16


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Ended streams of one clip: fMP4, MPEG-TS, the same twice, and bytes that are no media."""
    folder = tmp_path_factory.mktemp("site")
    clip = make_clip(folder / "clip.mp4", PICTURES)
    for name, kind in (("fmp4", "fmp4"), ("ts", "mpegts"), ("sound", "fmp4")):
        (folder / name).mkdir()
        cutting = ["-f", "hls", "-hls_segment_type", kind, "-hls_time", "1", "-hls_list_size", "0"]
        keys = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac"]
        keys += ["-vn"] if name == "sound" else []
        stamps = ["-hls_flags", "program_date_time", "-hls_playlist_type", "vod"]
        argv = [FFMPEG, "-loglevel", "error", "-i", str(clip), *keys, *cutting, *stamps]
        subprocess.run([*argv, "index.m3u8"], cwd=folder / name, check=True)
    once = (folder / "fmp4" / "index.m3u8").read_text()
    head, _, body = once.partition("#EXT-X-MAP")
    body = "#EXT-X-MAP" + body.removesuffix("#EXT-X-ENDLIST\n")
    twice = f"{head}{body}#EXT-X-DISCONTINUITY\n{body}#EXT-X-ENDLIST\n"
    (folder / "fmp4" / "twice.m3u8").write_text(twice)
    broken = once.replace("index", "broken")
    (folder / "fmp4" / "broken.m3u8").write_text(broken)
    for name in [line for line in broken.splitlines() if line.startswith("broken")]:
        (folder / "fmp4" / name).write_bytes(b"no media at all" * 100)
    with serve_folder(folder) as url:
        yield url


def watched(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    status = main(["watch", "--json", *arguments])
    out = capsys.readouterr().out
    return status, json.loads(out) if out else {}


def pictures_in(path: Path, *, growing: bool = False) -> int:
    """How many pictures ffmpeg decodes of a file, which may still be written."""
    argv = [FFMPEG, "-nostdin", "-loglevel", "error", "-i", str(path), "-map", "0:v:0"]
    argv += ["-fps_mode", "passthrough", "-f", "framecrc", "-"]
    told = subprocess.run(argv, check=not growing, capture_output=True, text=True).stdout
    return sum(not line.startswith("#") for line in told.splitlines())


def packets(path: Path | str) -> dict[str, str]:
    """A digest of all that is encoded, by track, as it lies in the file."""
    argv = [FFMPEG, "-nostdin", "-loglevel", "error", "-i", str(path), "-map", "0:v", "-map", "0:a"]
    argv += ["-c", "copy", "-f", "streamhash", "-"]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return {kind: digest for _track, kind, digest in (row.split(",") for row in told.split())}


@pytest.mark.parametrize("name", ["fmp4/index", "ts/index"])
def test_every_picture_of_an_ended_stream_is_decoded_and_shown(
    site: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = watched(capsys, f"{site}/{name}.m3u8", "--seconds", "0", *LAX)
    assert status == 0, told
    assert (told["pictures_decoded"], told["pictures_shown"]) == (PICTURES, PICTURES)
    assert told["ended"] is True
    assert told["sound_seconds"] == pytest.approx(2.0, abs=0.1)
    assert told["decoder_errors"] == 0
    assert told["latency_seconds"] is not None


def test_a_discontinuity_a_recording_and_pictures(
    site: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded, folder = tmp_path / "out.mp4", tmp_path / "pictures"
    keep = ("--record-file", str(recorded), "--save-frames", str(folder))
    status, told = watched(capsys, f"{site}/fmp4/twice.m3u8", "--seconds", "0", *keep, *LAX)
    assert status == 0, told
    assert (told["pictures_shown"], told["discontinuities"]) == (2 * PICTURES, 1)
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["out-2.mp4", "out.mp4"]
    assert [pictures_in(path) for path in tmp_path.glob("*.mp4")] == [PICTURES, PICTURES]
    fetched = packets(f"{site}/fmp4/index.m3u8")
    assert set(fetched) == {"v", "a"}
    kept = [packets(path) for path in tmp_path.glob("*.mp4")]
    assert kept == [fetched, fetched], "not encoded again"
    assert len(list(folder.glob("frame-*.jpg"))) == 2 * PICTURES
    assert (folder / "frame-000100.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_decoder_holds_no_picture_back(tmp_path: Path) -> None:
    """What it has been given it shows, also when nothing more comes for a while."""
    clip = make_clip(tmp_path / "clip.mp4", PICTURES, which="v")
    fragmented = tmp_path / "fragmented.mp4"
    flags = ["-c", "copy", "-movflags", "frag_keyframe+empty_moov+default_base_moof"]
    subprocess.run([FFMPEG, "-loglevel", "error", "-i", clip, *flags, fragmented], check=True)
    found: list[Decoded] = []
    decoder = Decoder(FFMPEG, "mov", found.append)
    decoder.start()
    assert decoder.feed(fragmented.read_bytes())
    deadline = time.monotonic() + 20
    while len(found) < PICTURES and time.monotonic() < deadline:
        time.sleep(0.02)
    shown = len(found)
    decoder.finish()
    assert shown == len(found) == PICTURES


def test_a_verdict_that_fails_is_exit_1(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    limits = (*LAX, "--min-fps", "26", "--max-interval", "39")
    status, told = watched(capsys, f"{site}/fmp4/index.m3u8", "--seconds", "1", *limits)
    assert status == 1
    rows = told["verdicts"]
    assert isinstance(rows, list)
    assert [row["name"] for row in rows if not row["passed"]] == ["fps", "mean frame interval"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fmp4/none.m3u8", "the answer was 404"),
        ("fmp4/broken.m3u8", "no picture in"),
        ("sound/index.m3u8", "it has sound, but no picture"),
        ("clip.mp4", "no playlist"),
    ],
)
def test_what_cannot_be_watched_is_exit_2(
    site: str, name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", f"{site}/{name}", "--timeout", "3"]) == 2
    assert told in capsys.readouterr().err


def test_nothing_is_written_over(
    site: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.mp4").write_text("mine")
    url = f"{site}/fmp4/index.m3u8"
    assert main(["watch", url, "--record-file", str(tmp_path / "out.mp4")]) == 2
    assert main(["watch", url, "--save-frames", str(tmp_path)]) == 2
    assert (tmp_path / "out.mp4").read_text() == "mine"
    assert "another" in capsys.readouterr().err


def test_ctrl_c_keeps_the_recording_and_tells_what_was_seen(service: str, tmp_path: Path) -> None:
    recorded = tmp_path / "out.mp4"
    argv = [sys.executable, "-m", "server", "watch", f"{service}/live/demo/index.m3u8"]
    argv += ["--seconds", "0", "--json", "--rung", "lowest", "--record-file", str(recorded)]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not recorded.exists() or pictures_in(recorded, growing=True) < RECORDED:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=20)
    finally:
        child.kill()
    told = json.loads(out)
    assert child.returncode == (0 if told["passed"] else 1)
    assert told["rendition"].startswith("640x360")
    assert told["pictures_shown"] > 40
    assert told["latency_seconds"]["least"] > 0
    assert told["sound_seconds"] > 2
    assert pictures_in(recorded) >= told["pictures_shown"]


def test_a_demo_is_found_by_a_link_where_viewers_need_one() -> None:
    """That it watches itself, tests/ffmpeg/test_documentation.py sees."""
    assert path_of(Settings(stream="mine")) == "/live/mine/index.m3u8"
    path = path_of(Settings(viewer_key=KEY))
    assert admitted(KEY, path, time.time()) == "/live/demo/index.m3u8"


def test_a_demo_that_cannot_start_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--watch", "--width", "1281"]) == 2
    assert "did not start: width is 1281" in capsys.readouterr().err
