"""Trial encodes with a real ffmpeg, and with stand-ins that fail the way drivers do."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from encoder import probe
from encoder.candidates import CANDIDATES, candidates_for
from encoder.errors import EncoderUnavailable
from encoder.ffmpeg import Ffmpeg, find_ffmpeg
from encoder.probe import choose_encoder, trial, trials
from encoder.trial_process import run_to_end

pytestmark = pytest.mark.ffmpeg

SIZE = (320, 180, 25)
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}
X264, NVENC = BY_NAME["libx264"], BY_NAME["h264_nvenc"]
SYSTEM_FFMPEG = shutil.which("ffmpeg")


@pytest.fixture(scope="session")
def real() -> Ffmpeg:
    return find_ffmpeg("")


class StandIn:
    """A shell script in ffmpeg's place. ``$REAL`` is the real one, ``$DIR`` a folder for notes."""

    def __init__(self, folder: Path, real: Ffmpeg) -> None:
        self.folder = folder
        self._real = real

    def install(self, body: str) -> Ffmpeg:
        script = self.folder / "ffmpeg"
        head = f"#!/bin/sh\nREAL='{self._real.path}'\nDIR='{self.folder}'\n"
        version = 'if [ "$1" = -version ]; then exec "$REAL" -version; fi\n'
        script.write_text(head + version + body, "utf-8")
        script.chmod(0o755)
        return find_ffmpeg(str(script))

    def replacing(self, replacements: dict[str, str]) -> Ffmpeg:
        """The real one, but each argument that matches a shell pattern is replaced."""
        cases = " ".join(f'{pattern}) a="{new}";;' for pattern, new in replacements.items())
        return self.install(
            "n=$#\n"
            "while [ $n -gt 0 ]; do\n"
            f'  a=$1; shift; case "$a" in {cases} esac\n'
            '  set -- "$@" "$a"; n=$((n-1))\n'
            "done\n"
            'exec "$REAL" "$@"\n'
        )

    def notes(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text("utf-8").split() if file.exists() else []


@pytest.fixture
def stand_in(tmp_path: Path, real: Ffmpeg) -> StandIn:
    return StandIn(tmp_path, real)


def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


# --- the real one -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1280, 720, 25), (16, 16, 60), (720, 1280, 30), (18, 4096, 1)])
def test_libx264_works(real: Ffmpeg, size: tuple[int, int, int]) -> None:
    found = trial(real, X264, *size)
    assert (found.works, found.reason) == (True, "")


@pytest.mark.skipif(SYSTEM_FFMPEG is None, reason="no ffmpeg on PATH")
def test_libx264_works_in_the_ffmpeg_on_path() -> None:
    found = trial(find_ffmpeg("ffmpeg"), X264, *SIZE)
    assert (found.works, found.reason) == (True, "")


def test_libopenh264_works_or_is_not_built_in(real: Ffmpeg) -> None:
    found = trial(real, BY_NAME["libopenh264"], *SIZE)
    assert found.works or "libopenh264" in found.reason


# Each names what is missing: the driver's library, its device, or the encoder itself.
MISSING = {
    "h264_nvenc": r"libcuda|nvcuda|libnvidia-encode|OpenEncodeSessionEx|[Dd]river|capable",
    "h264_qsv": r"MFX session.*runtime|MFX",
    "h264_amf": r"amfrt64",
    "h264_vaapi": r"render|VA display|VAAPI|entrypoint|profile",
}


@pytest.mark.parametrize("name", [c.name for c in candidates_for(sys.platform) if c.hardware])
def test_hardware_works_or_says_what_is_missing(real: Ffmpeg, name: str) -> None:
    found = trial(real, BY_NAME[name], *SIZE)
    allowed = MISSING.get(name, "") + f"|'{name}' is not recognized"
    assert found.works or re.search(allowed, found.reason), found.reason


def test_an_encoder_of_another_platform_is_not_recognized(real: Ffmpeg) -> None:
    other = "h264_videotoolbox" if sys.platform != "darwin" else "h264_vaapi"
    assert f"'{other}' is not recognized" in trial(real, BY_NAME[other], *SIZE).reason


@pytest.mark.parametrize("name", [c.name for c in candidates_for(sys.platform)])
def test_every_own_option_is_known_to_its_encoder(real: Ffmpeg, name: str) -> None:
    argv = [real.path, "-hide_banner", "-h", f"encoder={name}"]
    help_text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    if f"Encoder {name} " not in help_text:
        pytest.skip(f"this ffmpeg is built without {name}")
    listed = set(re.findall(r"^  -(\S+)", help_text, re.MULTILINE))
    assert {option.split(":")[0] for option in BY_NAME[name].own} <= listed


def test_auto_takes_the_first_that_works(real: Ffmpeg, tmp_path: Path) -> None:
    found = trials(real, *SIZE, cache_dir=cache(tmp_path))
    assert [t.name for t in found] == [c.name for c in candidates_for(sys.platform)]
    first = next(t.name for t in found if t.works)
    assert choose_encoder(real, "auto", *SIZE, cache_dir=tmp_path / "other").name == first


def test_a_forced_encoder_is_taken(real: Ffmpeg, tmp_path: Path) -> None:
    assert choose_encoder(real, "libx264", *SIZE, cache_dir=cache(tmp_path)) is X264


# --- stand-ins: encoders that fail --------------------------------------------------------------

LISTED_BUT_ABSENT = r"""
case "$*" in *h264_nvenc*)
  echo "[h264_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: unsupported device (2)" >&2
  echo "[h264_nvenc @ 0x1] [error] No capable devices found" >&2
  echo "[error] Error while opening encoder - maybe incorrect parameters" >&2
  exit 1;;
esac
exec "$REAL" "$@"
"""


def test_a_listed_encoder_that_fails_is_refused_with_its_reason(
    stand_in: StandIn, tmp_path: Path
) -> None:
    binary = stand_in.install(LISTED_BUT_ABSENT)
    with pytest.raises(EncoderUnavailable) as caught:
        choose_encoder(binary, "h264_nvenc", *SIZE, cache_dir=cache(tmp_path))
    reason = "OpenEncodeSessionEx failed: unsupported device (2)"
    assert caught.value.reasons == {"h264_nvenc": reason}
    assert reason in str(caught.value)
    assert "auto" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_none_works(stand_in: StandIn, tmp_path: Path) -> None:
    binary = stand_in.install("echo no such luck >&2; exit 3\n")
    with pytest.raises(EncoderUnavailable) as caught:
        choose_encoder(binary, "auto", *SIZE, cache_dir=cache(tmp_path))
    assert set(caught.value.reasons) == {c.name for c in candidates_for(sys.platform)}
    assert set(caught.value.reasons.values()) == {"no such luck"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("cat > /dev/null; exit 0\n", "12 frames went in, 0 came out"),
        ("cat > /dev/null; head -c 9000 /dev/zero | tr '\\0' x\n", "no fragmented MP4"),
        ("exit 7\n", "ffmpeg exited with 7"),
        ("kill -SEGV $$\n", "ffmpeg exited with -11"),
    ],
    ids=["silent", "garbage", "wordless", "crash"],
)
def test_output_that_is_no_video(stand_in: StandIn, body: str, reason: str) -> None:
    found = trial(stand_in.install(body), X264, *SIZE)
    assert not found.works
    assert reason in found.reason


@pytest.mark.parametrize(
    ("replacements", "reason"),
    [
        ({"scale=out_color*": "$a,lutyuv=y=0:u=0:v=0"}, "another picture"),
        ({"scale=out_color*": "$a,lutyuv=y=16:u=128:v=128"}, "another picture"),
        ({"scale=out_color*": "$a,hue=s=0"}, "another picture"),
        ({"scale=out_color*": "$a,vflip"}, "another picture"),
        ({"scale=out_color*": "$a,select='not(eq(n,8))'"}, "12 frames went in, 11 came out"),
        ({"expr:not*": "0", "6": "300"}, "frame 6 should be an IDR and is not"),
    ],
    ids=["green", "black", "grey", "flipped", "dropped", "no-idr"],
)
def test_video_that_is_wrong(stand_in: StandIn, replacements: dict[str, str], reason: str) -> None:
    found = trial(stand_in.replacing(replacements), X264, *SIZE)
    assert not found.works
    assert reason in found.reason


def test_an_encoder_that_ignores_the_gop_length_is_kept_on_the_grid(stand_in: StandIn) -> None:
    found = trial(stand_in.replacing({"6": "300"}), X264, *SIZE)
    assert found.works, found.reason


# --- hanging drivers ----------------------------------------------------------------------------

HANG = 'echo $$ >> "$DIR/pids"; tail -f /dev/null & echo $! >> "$DIR/pids"; wait\n'


def assert_gone(pids: list[str]) -> None:
    assert len(pids) >= 2
    for pid in pids:
        try:
            descriptor = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)  # readable when the process has ended
            assert poll.poll(5000), f"{pid} still runs"
        finally:
            os.close(descriptor)


def test_a_hanging_driver_is_killed_with_its_children(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TRIAL_TIMEOUT_SECONDS", 0.3)
    found = trial(stand_in.install("echo waiting for the GPU >&2\n" + HANG), NVENC, *SIZE)
    assert not found.works
    assert found.reason == "no result in 0.3 s, so it was killed; it said: waiting for the GPU"
    assert 300 <= found.milliseconds < 3000
    assert_gone(stand_in.notes("pids"))


def test_auto_does_not_wait_for_a_hanging_lower_choice(
    stand_in: StandIn, real: Ffmpeg, tmp_path: Path
) -> None:
    binary = stand_in.install(
        'case "$*" in\n'
        # x264 in the place of a GPU; it starts only when the other one hangs.
        '  *h264_nvenc*) while [ ! -s "$DIR/pids" ]; do :; done\n'
        '    cat > /dev/null; cat "$DIR/good.mp4";;\n'
        f"  *h264_vaapi*) {HANG.strip()};;\n"
        "  *encoder=*|*h264_*) exit 1;;\n"
        '  *) exec "$REAL" "$@";;\n'
        "esac\n"
    )
    (tmp_path / "good.mp4").write_bytes(encoded_by_x264(real))
    start = time.monotonic()
    chosen = choose_encoder(binary, "auto", *SIZE, cache_dir=cache(tmp_path))
    assert chosen is NVENC
    assert time.monotonic() - start < probe.TRIAL_TIMEOUT_SECONDS / 2
    assert_gone(stand_in.notes("pids"))


def encoded_by_x264(real: Ffmpeg) -> bytes:
    job = probe._job(real, X264, *SIZE)
    frames = (job.pictures.frame(n).data.cast("B") for n in range(job.pictures.frames))
    deadline = time.monotonic() + 10
    return run_to_end(job.encode_argv, frames, deadline, threading.Event()).stdout


# --- cache --------------------------------------------------------------------------------------

COUNTING = 'echo run >> "$DIR/runs"\nexec "$REAL" "$@"\n'


def test_a_cached_choice_runs_no_ffmpeg(stand_in: StandIn, tmp_path: Path) -> None:
    binary = stand_in.install(COUNTING)
    first = choose_encoder(binary, "auto", *SIZE, cache_dir=cache(tmp_path))
    runs = len(stand_in.notes("runs"))
    assert runs >= 2
    assert choose_encoder(binary, "auto", *SIZE, cache_dir=cache(tmp_path)) is first
    assert len(stand_in.notes("runs")) == runs


def test_fresh_another_size_another_binary_and_other_flags_are_tried_again(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = stand_in.install(COUNTING)

    def runs_of(ffmpeg: Ffmpeg, size: tuple[int, int, int], *, fresh: bool = False) -> int:
        before = len(stand_in.notes("runs"))
        choose_encoder(ffmpeg, "libx264", *size, cache_dir=cache(tmp_path), fresh=fresh)
        return len(stand_in.notes("runs")) - before

    assert runs_of(binary, SIZE) == 2  # encode, decode
    assert runs_of(binary, SIZE) == 0
    assert runs_of(binary, SIZE, fresh=True) == 2
    assert runs_of(binary, (320, 182, 25)) == 2
    assert runs_of(binary, (320, 180, 30)) == 2
    assert runs_of(stand_in.install("# a newer build\n" + COUNTING), SIZE) == 2
    assert runs_of(binary, SIZE) == 0
    monkeypatch.setattr(probe, "video_filter", lambda _: "scale=320:180,format=yuv420p")
    assert runs_of(binary, SIZE) == 2


def test_a_cached_failure_keeps_its_reason(stand_in: StandIn, tmp_path: Path) -> None:
    binary = stand_in.install('echo run >> "$DIR/runs"\n' + LISTED_BUT_ABSENT)
    seen = [trials(binary, *SIZE, cache_dir=cache(tmp_path)) for _ in range(2)]
    assert seen[0] == seen[1]
    assert seen[1][0].reason == "OpenEncodeSessionEx failed: unsupported device (2)"


def test_a_trial_itself_never_reads_the_cache(stand_in: StandIn) -> None:
    binary = stand_in.install(COUNTING)
    for expected in (2, 4):
        trial(binary, X264, *SIZE)
        assert len(stand_in.notes("runs")) == expected
