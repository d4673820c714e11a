"""The encoder process of a stream, before its stream begins."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

import rawmedia
from config import Settings
from encoder import process as module
from encoder.errors import FfmpegMissing
from encoder.process import StreamProcess, StreamSpec
from rawmedia import MediaFormat

# As long as it can be: for a source that never sends a picture.
SLATE_SECONDS, LIMIT_SECONDS = 60.0, 40.0


def process(folder: Path) -> StreamProcess:
    folder.mkdir()
    spec = StreamSpec("x", str(folder / "x.sock"), str(folder / "x"), str(folder / "x.json"), "any")
    return StreamProcess(spec, Settings(slate_after_seconds=SLATE_SECONDS))


def test_a_missing_ffmpeg_is_told_before_any_picture(
    media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked while the source draws: a stream waits for the longer of the two."""

    def missing(configured: str) -> None:
        raise FfmpegMissing(configured, "there is no such file")

    monkeypatch.setattr(module, "find_ffmpeg", missing)
    with pytest.raises(FfmpegMissing):
        asyncio.run(asyncio.wait_for(process(media_root).run(), LIMIT_SECONDS))
    assert not (media_root / "x.sock").exists()


def test_a_source_is_greeted_before_ffmpeg_has_answered(
    media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted = threading.Event()

    def slow(configured: str) -> None:
        answered = "after the greeting" if greeted.wait(LIMIT_SECONDS / 2) else "before it"
        raise FfmpegMissing(configured, answered)

    def greet() -> None:
        with rawmedia.connect(media_root / "x.sock", MediaFormat(1280, 720, 25)):
            greeted.set()

    async def play() -> None:
        running = asyncio.ensure_future(process(media_root).run())
        while not (media_root / "x.sock").exists():
            await asyncio.sleep(0.01)
        await asyncio.to_thread(greet)
        await running

    monkeypatch.setattr(module, "find_ffmpeg", slow)
    with pytest.raises(FfmpegMissing, match="after the greeting"):
        asyncio.run(asyncio.wait_for(play(), LIMIT_SECONDS))
