"""Recordings: valid at every moment, never over an old one, never in the stream's way."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.boxes import SampleDefaults, children, find, read_fragment, unpack, write_fragment
from encoder.errors import BadBox
from encoder.playlist import SegmentEntry
from encoder.playlist_reader import read_segments
from encoder.record_hls import HlsWriter
from encoder.record_mp4 import Mp4Writer, movie_header
from encoder.recorder import QUEUE_ITEMS, Recorder
from tests.unit.mounts import small_tmpfs
from tests.unit.samples import avc1, boxes, init, mp4a, pictures, sound

STEM = "demo-20260701T120000Z"
TICKS = 3600
VIDEO_INIT, AUDIO_INIT = init(avc1(), 90_000), init(mp4a(), 48_000)


def entry(msn: int, *, run: str = "ab", broken: bool = False, gap: bool = False) -> SegmentEntry:
    wall = 1_790_000_000_000 + msn * 1000
    return SegmentEntry(
        msn, f"{run}-{msn}.m4s", Fraction(1), f"{run}-init.mp4", wall, broken, (), gap
    )


def video(msn: int) -> bytes:
    """Segment ``msn``, from 1: 25 pictures in five fragments."""
    every = list(pictures(25 * msn, 25, TICKS))[25 * (msn - 1) :]
    return b"".join(write_fragment(n, every[n : n + 5], TICKS) for n in range(0, 25, 5))


def audio(msn: int) -> bytes:
    return write_fragment(msn, [sound(n) for n in range(47 * (msn - 1), 47 * msn)], 1024)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def until_full(write: Callable[[int], object], first: int) -> int:
    """Write segments until the disk is full; returns the last one that it took."""
    for msn in range(first, 200):
        try:
            write(msn)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return msn - 1
    raise AssertionError("it never was full")


# --- hls ----------------------------------------------------------------------------------------


def fill(
    writer: HlsWriter, first: int, last: int, run: str = "ab", *, broken: bool = False
) -> None:
    writer.init("v0", f"{run}-init.mp4", b"init")
    for msn in range(first, last + 1):
        made = entry(msn, run=run, broken=broken and msn == first)
        writer.segment("v0", made, f"<{run}{msn}>".encode())


def listed(folder: Path) -> list[SegmentEntry]:
    text = (folder / "v0/media.m3u8").read_text("utf-8")
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert text.count("#EXT-X-ENDLIST") == text.count("#EXT-X-PLAYLIST-TYPE:EVENT") == 1
    return list(read_segments(text)[1])


def test_a_folder_is_whole_after_every_segment(tmp_path: Path) -> None:
    writer = HlsWriter(tmp_path, STEM, 1)
    writer.init("v0", "ab-init.mp4", b"init")
    for msn in range(1, 9):
        writer.segment("v0", entry(msn), b"<%d>" % msn)
        found = listed(writer.path)
        assert found == [entry(n) for n in range(1, msn + 1)]
        for each in found:
            assert (writer.path / "v0" / each.uri).read_bytes() == b"<%d>" % each.msn
            assert (writer.path / "v0" / each.map_uri).exists()
    writer.end()
    assert len(listed(writer.path)) == 8


def test_playlists_of_key_frames_are_left_out(tmp_path: Path) -> None:
    writer = HlsWriter(tmp_path, STEM, 1)
    writer.multivariant('#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:URI="v0/i.m3u8"\nv0/media.m3u8\n')
    assert (tmp_path / STEM / "index.m3u8").read_text() == "#EXTM3U\nv0/media.m3u8\n"


def test_an_older_recording_is_never_touched(tmp_path: Path) -> None:
    for number, name in enumerate((STEM, f"{STEM}-2", f"{STEM}-3"), 1):
        writer = HlsWriter(tmp_path, STEM, 1)
        fill(writer, 1, number)
        assert writer.path == tmp_path / name
        assert len(listed(writer.path)) == number
    assert len(listed(tmp_path / STEM)) == 1


@pytest.mark.parametrize(
    "torn",
    ["", "#EXT-X-PROGRAM-DATE-TIME:2026", "#EXT-X-PROGRAM-DATE-TIME:x\n#EXTINF:1.00000,\nab-4.m"],
)
def test_a_next_process_goes_on_behind_a_discontinuity(tmp_path: Path, torn: str) -> None:
    first = HlsWriter(tmp_path, STEM, 1)
    fill(first, 1, 3)
    path = tmp_path / STEM / "v0/media.m3u8"
    if torn:
        path.write_text(path.read_text().replace("#EXT-X-ENDLIST\n", torn))
    second = HlsWriter(tmp_path, STEM, 1)
    assert second.resume() == {"v0": 3}
    fill(second, 5, 6, "cd", broken=True)
    made = [*(entry(n) for n in (1, 2, 3)), entry(4, run="cd", broken=True), entry(5, run="cd")]
    found = listed(tmp_path / STEM)
    assert [each.map_uri for each in found] == [each.map_uri for each in made]
    assert [each.discontinuity for each in found] == [each.discontinuity for each in made]
    assert [each.uri for each in found][-2:] == ["cd-5.m4s", "cd-6.m4s"]


def test_what_was_listed_but_not_recorded_is_brought_in(tmp_path: Path) -> None:
    live = tmp_path / "live"
    (live / "v0").mkdir(parents=True)
    (live / "v0/ab-3.m4s").write_bytes(b"<three>")
    first = HlsWriter(tmp_path, STEM, 1)
    fill(first, 1, 2)
    recorder = Recorder(HlsWriter(tmp_path, STEM, 1))
    recorder.resume({"v0": (entry(1), entry(2), entry(3), entry(4))}, live)
    recorder.start()
    recorder.close(5)
    found = listed(tmp_path / STEM)
    assert found == [entry(1), entry(2), entry(3), entry(4, gap=True)]
    assert (tmp_path / STEM / "v0/ab-3.m4s").read_bytes() == b"<three>"
    assert recorder.figures()["bytes"] > 0


def test_a_full_disk_leaves_a_folder_that_plays(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "mount") as disk:
        writer = HlsWriter(disk, STEM, 1)
        writer.init("v0", "ab-init.mp4", b"init")
        written = until_full(lambda msn: writer.segment("v0", entry(msn), b"a" * 4096), 1)
        assert written > 5
        assert [each.msn for each in listed(writer.path)] == list(range(1, written + 1))
        assert not list(writer.path.rglob(".partial-*"))
        writer.end()


@pytest.mark.parametrize("cut", [0, 3, 40])
def test_no_room_for_a_line_leaves_the_list_as_it_was(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = HlsWriter(tmp_path, STEM, 1)
    fill(writer, 1, 3)
    before = (writer.path / "v0/media.m3u8").read_bytes()
    pwrite, left = os.pwrite, [cut]

    def full(handle: int, data: bytes, at: int) -> int:
        """Takes so many bytes behind the old end, then none."""
        if at + len(data) <= len(before):
            return pwrite(handle, data, at)
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(handle, data[: left.pop()], at)

    monkeypatch.setattr("encoder.recording_files.os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        writer.segment("v0", entry(4), b"<4>")
    assert (writer.path / "v0/media.m3u8").read_bytes() == before


# --- mp4 ----------------------------------------------------------------------------------------


def mp4(folder: Path, segments: int) -> Mp4Writer:
    writer = Mp4Writer(folder, STEM)
    writer.init("v0", "ab-init.mp4", VIDEO_INIT)
    writer.init("v1", "ab-init.mp4", VIDEO_INIT)
    writer.init("a0", "ab-init.mp4", AUDIO_INIT)
    for msn in range(1, segments + 1):
        writer.segment("v0", entry(msn), video(msn))
        writer.segment("v1", entry(msn), video(msn))
        writer.segment("a0", entry(msn), audio(msn))
    return writer


def samples(path: Path) -> dict[int, list[bytes]]:
    """All samples by track, in the order of the file; times checked on the way."""
    found: dict[int, list[bytes]] = {1: [], 2: []}
    data = path.read_bytes()
    moof, sequences = None, []
    for each in boxes(data):
        if each.kind == "moof":
            moof = each
            sequences.append(unpack("2I", find(each, "mfhd"))[1])
        elif each.kind == "mdat":
            assert moof is not None
            (_flags, track) = unpack("2I", find(moof, "traf/tfhd"))[:2]
            ticks = TICKS if track == 1 else 1024
            for sample in read_fragment(moof, each, SampleDefaults(ticks, 0, 0)):
                assert sample.dts_ticks == ticks * len(found[track])
                found[track].append(sample.data)
    assert sequences == list(range(1, len(sequences) + 1))
    return found


def test_one_file_of_two_tracks_with_every_sample(tmp_path: Path) -> None:
    writer = mp4(tmp_path, 4)
    assert samples(writer.path)[1] == [each.data for each in pictures(100, 25, TICKS)]
    writer.end()
    found = samples(writer.path)
    assert found[1] == [each.data for each in pictures(100, 25, TICKS)]
    assert found[2] == [sound(n).data for n in range(4 * 47)]
    kinds = [each.kind for each in boxes(writer.path.read_bytes())]
    assert kinds[:2] == ["ftyp", "moov"]
    assert kinds[-1] == "mfra"
    assert [path.name for path in tmp_path.iterdir()] == [f"{STEM}.mp4"]


def test_the_index_names_each_key_frame_and_the_duration_is_there(tmp_path: Path) -> None:
    writer = mp4(tmp_path, 3)
    writer.end()
    data = writer.path.read_bytes()
    every = {each.offset: each for each in boxes(data)}
    moov = next(each for each in every.values() if each.kind == "moov")
    mfra = next(each for each in every.values() if each.kind == "mfra")
    tfra = find(mfra, "tfra")
    assert unpack("4I", tfra) == (1 << 24, 1, 0, 3)
    for n in range(3):
        time_ticks, place = unpack("2Q", tfra, 16 + 19 * n)
        assert time_ticks == 25 * TICKS * n
        assert every[place].kind == "moof"
        assert unpack("Q", find(every[place], "traf/tfdt"), 4)[0] == time_ticks
    assert unpack("I", find(mfra, "mfro"), 4)[0] == len(mfra.raw)
    (timescale,) = unpack("I", find(moov, "mvhd"), 12)
    assert unpack("IQ", find(moov, "mvex/mehd")) == (1 << 24, 3 * timescale)


def test_the_header_has_both_tracks(tmp_path: Path) -> None:
    head, place, _timescale = movie_header(VIDEO_INIT, AUDIO_INIT)
    moov = next(each for each in boxes(head) if each.kind == "moov")
    assert [each.kind for each in children(moov)] == ["mvhd", "trak", "trak", "mvex"]
    ids = [unpack("I", find(trak, "tkhd"), 12)[0] for trak in children(moov) if trak.kind == "trak"]
    assert ids == [1, 2]
    assert unpack("I", find(moov, "mvhd"), 96)[0] == 3
    assert head[place + 4 : place + 8] == b"free"
    with pytest.raises(BadBox):
        movie_header(VIDEO_INIT, b"\0\0\0\x08ftyp")


@pytest.mark.parametrize("cut", [1, 9, 200, 1000])
def test_half_a_write_is_a_box_that_players_skip(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGKILL: the cover is there, some of the fragment, and nothing more."""
    writer = mp4(tmp_path, 2)
    whole = writer.path.read_bytes()

    def killed(handle: int, data: bytes, at: int) -> None:
        os.pwrite(handle, data[:cut], at)
        raise KeyboardInterrupt

    monkeypatch.setattr("encoder.record_mp4.write_at", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.segment("v0", entry(3), video(3))
    torn = writer.path.read_bytes()
    assert torn[: len(whole)] == whole
    assert len(torn) == len(whole) + cut
    assert cut < 8 or torn[len(whole) + 4 : len(whole) + 8] == b"free"
    assert len(samples(writer.path)[1]) == 50


def test_other_parameters_begin_another_file(tmp_path: Path) -> None:
    writer = mp4(tmp_path, 2)
    writer.init("v0", "cd-init.mp4", VIDEO_INIT)
    assert writer.segment("v0", entry(3), video(3)) > 0
    assert writer.path.name == f"{STEM}.mp4"
    writer.init("v0", "ef-init.mp4", init(avc1(width=640), 90_000))
    writer.segment("v0", entry(1), video(1))
    writer.end()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{STEM}-2.mp4", f"{STEM}.mp4"]
    assert len(samples(tmp_path / f"{STEM}.mp4")[1]) == 75
    assert len(samples(tmp_path / f"{STEM}-2.mp4")[1]) == 25


def test_a_full_disk_leaves_a_file_that_plays(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "mount") as disk:
        writer = mp4(disk, 2)
        written = until_full(lambda msn: writer.segment("v0", entry(msn), video(msn)), 3)
        assert len(samples(writer.path)[1]) == 25 * written
        assert written > 3
        assert boxes(writer.path.read_bytes())[-1].kind == "mdat"


# --- the thread ---------------------------------------------------------------------------------


class SlowWriter:
    """A disk that hangs until it is let go."""

    path = Path("/nowhere")

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.written: list[int] = []

    def resume(self) -> dict[str, int]:
        return {}

    def init(self, name: str, uri: str, data: bytes) -> int:
        return 0

    def segment(self, name: str, entry: SegmentEntry, data: bytes) -> int:
        self.begun.set()
        self.go_on.wait(10)
        self.written.append(entry.msn)
        return len(data)

    def multivariant(self, text: str) -> int:
        return 0

    def end(self) -> int:
        return 0


def test_a_disk_that_is_too_slow_ends_the_recording_not_the_stream() -> None:
    slow = SlowWriter()
    recorder = Recorder(slow)
    recorder.start()
    recorder.segment("v0", entry(1), b"media")
    assert slow.begun.wait(20), "its thread runs"
    began = time.monotonic()
    for msn in range(1, QUEUE_ITEMS + 9):
        recorder.segment("v0", entry(msn), b"media")
    assert time.monotonic() - began < 1
    assert recorder.figures()["state"] == "stopped"
    assert recorder.figures()["reason"] == "the disk is slower than the stream"
    slow.go_on.set()
    recorder.close(5)
    assert slow.written == [1], "nothing behind a hole"
    assert recorder.figures()["state"] == "stopped"


def test_states(tmp_path: Path) -> None:
    recorder = Recorder(HlsWriter(tmp_path, STEM, 1))
    assert recorder.figures()["state"] == "waiting"
    recorder.start()
    recorder.segment("v0", entry(1), b"media")
    until(lambda: recorder.figures()["state"] == "recording")
    recorder.end()
    until(lambda: recorder.figures()["state"] == "ended")
    figures = recorder.figures()
    assert figures["path"] == str(tmp_path / STEM)
    assert figures["bytes"] > 5
    recorder.segment("v0", entry(2), b"media")
    recorder.close(1)
    assert len(listed(tmp_path / STEM)) == 1


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "mount") as disk:
        recorder = Recorder(HlsWriter(disk, STEM, 1))
        recorder.start()
        for msn in range(1, 20):
            recorder.segment("v0", entry(msn), b"a" * 8192)
        until(lambda: recorder.figures()["state"] == "stopped")
        assert "No space left" in recorder.figures()["reason"]
        recorder.close(5)


def test_media_that_is_no_fmp4_ends_the_recording(tmp_path: Path) -> None:
    recorder = Recorder(Mp4Writer(tmp_path, STEM))
    recorder.start()
    recorder.init("v0", "i", VIDEO_INIT)
    recorder.init("a0", "i", AUDIO_INIT)
    recorder.segment("v0", entry(1), b"\x47" * 188)
    until(lambda: recorder.figures()["state"] == "stopped")
    assert "box" in recorder.figures()["reason"]
    recorder.close(5)
