"""Raw pictures from memory through ffmpeg, once, as fast as it goes or in real time.

python -m benchmarks.pipeline_run KIND FRAMES COUNT WIDTHxHEIGHT FPS KBIT FOLDER
    KIND: ours (to complete LL-HLS in the folder), null (the same encode, thrown away), null-lent
    (the pictures are lent to the pipe, as ours are), null-paced (in real time; null-paced:1 with
    ffmpeg on CPU 1 alone), i420 or nv12 (thrown away; the pictures are converted by OpenCV before)

Prints JSON: seconds, CPU seconds of Python and of ffmpeg, parts made; in real time without the
first two seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.frames import extents_of, hum, read_frames
from benchmarks.processes import cpu_seconds
from config import Settings
from encoder.arguments import Pipes, compile_argv
from encoder.candidates import CANDIDATES
from encoder.child import EncoderChild
from encoder.ffmpeg import find_ffmpeg
from encoder.fragments import FragmentReader, Init
from encoder.multivariant import Multivariant
from encoder.packager import Calendar, Era, Layout, Rendition
from encoder.pipes import Extent, widen
from encoder.plan import StreamPlan, plan_stream
from encoder.store import StreamStore
from rawmedia import Frame, MediaFormat

Picture = tuple[Frame, Extent]  # and where it lies in its file
_RUN = "bench"
PACED, LENT = "null-paced", "null-lent"
# In real time, before anything is counted: ffmpeg's start is over.
SETTLE_PICTURES = 50


def argv_of(settings: Settings, plan: StreamPlan, pipes: Pipes) -> list[str]:
    """The command of a stream."""
    candidate = next(c for c in CANDIDATES if c.name == settings.encoder)
    return compile_argv(
        find_ffmpeg(settings.ffmpeg).path,
        candidate,
        plan.media,
        plan.timing,
        rungs=plan.rungs,
        audio_kbit=settings.audio_kbit,
        sound_codec=plan.sound,
        pipes=pipes,
    )


def to_null(argv: list[str], pixels: str = "bgr24") -> list[str]:
    """The same command with its outputs thrown away, for pictures of that pixel format.

    Planar pictures are what the encoder takes: the filter that converts them goes.
    """
    words, made = iter(argv), []
    for word in words:
        if word in ("-movflags", "-flush_packets", "-output_ts_offset"):
            next(words)
        elif word == "-pixel_format":
            next(words)
            made += [word, pixels]
        else:
            made.append("null" if word == "mp4" else word)
    outputs = {word for before, word in pairwise(argv) if before != "-i"}
    made = ["-" if word.startswith("pipe:") and word in outputs else word for word in made]
    if pixels != "bgr24":
        made = [_without_conversion(word) for word in made]
    return made


def _without_conversion(word: str) -> str:
    """In ffmpeg-python's notation of a filter graph."""
    # Named as what the encoder is told, or ffmpeg would convert after all.
    return re.sub(r"scale=out_color_matrix=[^;\[]*", "setparams=colorspace=bt709:range=tv", word)


# --- ours ----------------------------------------------------------------------------------------


class Ours:
    """The encoder's own pieces without its clock and its socket."""

    def __init__(self, settings: Settings, pictures: Iterator[Picture], folder: Path) -> None:
        self._settings, self._pictures = settings, pictures
        self._plan = plan = plan_stream(settings)
        self._sound = hum(plan.media)
        store = StreamStore(folder, plan.bound_bytes)
        store.open((*(rung.name for rung in plan.rungs), "a0"))
        calendar = Calendar(Era(1, time.time_ns() // 1_000_000, _RUN))
        layout = Layout(plan.timing, plan.listed_segments)
        shared = (layout, calendar, store)
        self._videos = [Rendition(rung.name, plan.timing.video, *shared) for rung in plan.rungs]
        self._audio = Rendition("a0", plan.timing.audio, *shared)
        self._all = [*self._videos, self._audio]
        for rendition in self._all:
            rendition.peers = [peer for peer in self._all if peer is not rendition]
        self._index = Multivariant(store, settings, plan, self._videos, self._audio)
        self._child: EncoderChild | None = None
        self._ended = asyncio.Event()
        self._open = len(self._all)

    async def run(self) -> int:
        """Feed all; returns the parts published."""
        delay = self._plan.sound.delay_samples
        child = self._child = await EncoderChild.start(
            lambda pipes: argv_of(self._settings, self._plan, pipes),
            frame_bytes=self._plan.media.frame_bytes,
            on_idle=self._pump,
            on_video=[self._taker(rendition, 0) for rendition in self._videos],
            on_audio=self._taker(self._audio, -delay),
            on_end=self._output_ended,
        )
        self._pump()
        await self._ended.wait()
        await child.stop(drain=True)
        for rendition in self._all:
            rendition.end()
        self._index.conclude()
        return self._videos[0].parts

    def _pump(self) -> None:
        child = self._child
        while child is not None and child.video.idle and child.audio.pending_bytes < 1 << 17:
            picture = next(self._pictures, None)
            if picture is None:
                child.video.close()
                child.audio.close()
                self._child = None
                return
            child.audio.write(self._sound)
            frame, extent = picture
            child.video.write(frame.data, extent)

    def _taker(self, rendition: Rendition, base_ticks: int) -> Callable[[bytes], None]:
        reader = FragmentReader(base_ticks)

        def take(data: bytes) -> None:
            for item in reader.feed(data):
                if isinstance(item, Init):
                    rendition.set_init(item.data, item.track, _RUN)
                elif item.dts_ticks >= rendition.segmenter.next_ticks:
                    rendition.add(item)
            if all(each.complete_segments and each.track for each in self._all):
                self._index.refresh()

        return take

    def _output_ended(self) -> None:
        self._open -= 1
        if not self._open:
            self._ended.set()


class Meter:
    """Time, and CPU seconds of this process and of ffmpeg, from its making on."""

    def __init__(self, ffmpeg: int) -> None:
        self._ffmpeg = ffmpeg
        self._python, self._child = time.process_time(), cpu_seconds([ffmpeg])
        self.began = time.monotonic()

    def read(self) -> dict[str, float]:
        """What was used so far."""
        return {
            "seconds": time.monotonic() - self.began,
            "python": time.process_time() - self._python,
            "ffmpeg": cpu_seconds([self._ffmpeg]) - self._child,
        }


# --- the alternative -----------------------------------------------------------------------------


def run_null(
    settings: Settings,
    pictures: Iterator[Picture],
    pixels: str,
    *,
    paced: bool = False,
    lent: bool = False,
    cpu: str = "",
) -> dict[str, float]:
    """Two threads that do nothing but write into ffmpeg's two pipes.

    Args:
        settings: of the encode.
        pictures: as many as shall be encoded.
        pixels: what they are converted to before.
        paced: in real time.
        lent: not written, but lent to the pipe.
        cpu: the only one of ffmpeg.

    Returns:
        What was used; in real time without the first pictures and the end, as of a live stream.
    """
    plan = plan_stream(settings)
    (video_in, to_video), (audio_in, to_audio) = os.pipe(), os.pipe()
    widen(to_video, plan.media.frame_bytes)
    pipes = Pipes(video_in, audio_in, tuple(50 + n for n in range(len(plan.rungs))), 60)
    argv = to_null(argv_of(settings, plan, pipes), pixels)
    child = subprocess.Popen(argv, pass_fds=(video_in, audio_in), stderr=subprocess.DEVNULL)
    if cpu:
        os.sched_setaffinity(child.pid, {int(cpu)})
    meter = Meter(child.pid)
    os.close(video_in)
    os.close(audio_in)
    # As much sound as there is picture: room for half a second of it, so neither waits for ever.
    ahead = threading.Semaphore(plan.media.fps // 2)
    sound = threading.Thread(target=_write_sound, args=(to_audio, hum(plan.media), ahead))
    sound.start()
    due = time.monotonic()
    for number, (frame, extent) in enumerate(pictures):
        if paced and number == SETTLE_PICTURES:
            meter = Meter(child.pid)
            due = meter.began
        if paced:
            time.sleep(max(0.0, due - time.monotonic()))
            due += 1 / plan.media.fps
        if lent:
            lend_all(to_video, extent, frame.nbytes)
        else:
            write_all(to_video, memoryview(_converted(frame, pixels)).cast("B"))
        ahead.release()
    figures = meter.read()
    os.close(to_video)
    _END.set()
    ahead.release()
    sound.join()
    if child.wait():
        raise SystemExit(f"ffmpeg ended with {child.returncode}: {argv}")
    return figures


_END = threading.Event()


def _write_sound(fd: int, unit: bytes, ahead: threading.Semaphore) -> None:
    while True:
        ahead.acquire()
        if _END.is_set():
            os.close(fd)
            return
        write_all(fd, memoryview(unit))


def write_all(fd: int, data: memoryview) -> None:
    """Write all of it, however long that takes."""
    while data:
        data = data[os.write(fd, data) :]


def lend_all(fd: int, extent: Extent, count: int) -> None:
    """Let a pipe refer to so many bytes of a file, however long that takes."""
    while count:
        lent = os.splice(extent.fd, fd, count, offset_src=extent.offset)
        extent, count = extent.after(lent), count - lent


def _converted(frame: Frame, pixels: str) -> Any:
    if pixels == "bgr24":
        return frame
    planar = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
    if pixels == "yuv420p":
        return planar
    height, width = frame.shape[:2]
    flat = planar.reshape(-1)
    half = width * height // 4
    # OpenCV writes no NV12: the two planes of colour are laced into one.
    colour = flat[width * height :].reshape(2, half)
    return np.concatenate([flat[: width * height], colour.T.reshape(-1)])


def main() -> None:
    kind, path, count, size, fps, kbit, folder = sys.argv[1:]
    width, height = map(int, size.split("x"))
    settings = Settings(
        width=width,
        height=height,
        fps=int(fps),
        video_kbit=int(kbit),
        ladder="single",
        encoder="libx264",
    )
    media = MediaFormat(**settings.media_fields)
    kind, _, cpu = kind.partition(":")
    wanted = int(count) + (SETTLE_PICTURES if kind == PACED else 0)
    frames = read_frames(Path(path), media)
    extents = extents_of(os.open(path, os.O_RDONLY), media)
    pictures = islice(cycle(zip(frames, extents, strict=True)), wanted)
    cv2.setNumThreads(1)
    before, began = time.process_time(), time.monotonic()
    parts, live = 0, {}
    if kind == "ours":
        parts = asyncio.run(_ours(settings, pictures, Path(folder)))
    else:
        pixels = {"i420": "yuv420p", "nv12": "nv12"}.get(kind, "bgr24")
        live = run_null(settings, pictures, pixels, paced=kind == PACED, lent=kind == LENT, cpu=cpu)
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "seconds": time.monotonic() - began,
        "python": time.process_time() - before,
        "ffmpeg": child.ru_utime + child.ru_stime,
    }
    print(json.dumps((live if kind == PACED else figures) | {"parts": parts}))


async def _ours(settings: Settings, pictures: Iterator[Picture], folder: Path) -> int:
    return await Ours(settings, pictures, folder).run()


if __name__ == "__main__":
    main()
