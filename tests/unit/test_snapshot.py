"""A picture is decoded once a second for each stream, however many ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.snapshot import KEPT_SECONDS, Snapshots


class Decoder:
    """Stands in for ffmpeg: counts, and waits until it may go on."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.gate = threading.Event()
        self.picture: bytes | None = b"a picture"

    def __call__(self, folder: Path) -> bytes | None:
        self.folders.append(folder)
        assert self.gate.wait(5)
        return self.picture


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Decoder:
    made = Decoder()
    monkeypatch.setattr(Snapshots, "_make", lambda _self, folder: made(folder))
    return made


def test_who_asks_together_gets_one_picture(decoder: Decoder) -> None:
    snapshots, folder = Snapshots("ffmpeg", lambda: 100.0), Path("/live/demo")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(snapshots.newest, folder) for _ in range(8)]
        decoder.gate.set()
        assert {future.result(5) for future in asked} == {b"a picture"}
    assert decoder.folders == [folder]


def test_a_picture_is_kept_for_a_moment_and_each_stream_has_its_own(decoder: Decoder) -> None:
    now = [100.0]
    snapshots = Snapshots("ffmpeg", lambda: now[0])
    one, other = Path("/live/one"), Path("/live/other")
    decoder.gate.set()
    for seconds, wanted in ((0.0, 2), (KEPT_SECONDS - 0.01, 2), (KEPT_SECONDS, 4)):
        now[0] = 100 + seconds
        for folder in (one, other):
            assert snapshots.newest(folder) == b"a picture"
        assert len(decoder.folders) == wanted


def test_that_there_is_no_picture_is_not_kept(decoder: Decoder) -> None:
    snapshots, folder = Snapshots("ffmpeg"), Path("/live/demo")
    decoder.gate.set()
    decoder.picture = None
    assert snapshots.newest(folder) is None
    decoder.picture = b"the first"
    assert snapshots.newest(folder) == b"the first"


def test_pictures_of_streams_that_went_do_not_stay(decoder: Decoder) -> None:
    now = [100.0]
    snapshots = Snapshots("ffmpeg", lambda: now[0])
    decoder.gate.set()
    for n in range(50):
        now[0] += KEPT_SECONDS
        snapshots.newest(Path(f"/live/{n}"))
    assert len(snapshots._kept) <= 2
