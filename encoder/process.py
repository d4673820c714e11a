"""The encoder process of one stream: source socket in, files out.

``python -m encoder`` reads its :class:`StreamSpec` as one line of JSON on stdin, and with it its
settings, as variables of an environment; without them it takes its own. stdin stays open as a
lifeline: its end means the supervisor is gone. The line ``end`` ends the stream for its viewers;
SIGTERM only ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from config import Settings
from encoder.candidates import CANDIDATES
from encoder.captions import Captions
from encoder.chronicle import Chronicle
from encoder.ffmpeg import Ffmpeg, find_ffmpeg
from encoder.intake import Intake, queue_units
from encoder.plan import plan_stream
from encoder.probe import AUTO, working_besides
from encoder.succession import BLOCKED, Means, Succession
from journal import SUFFIX, Journal
from logs import event
from rawmedia import SPEECH_FOLDER

STATE_SECONDS = 0.5
# What the supervisor writes to end a stream for its viewers.
END_WORD = b"end"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What the supervisor tells an encoder process beyond the settings."""

    id: str
    socket: str  # where to listen for the source
    folder: str  # <media root>/live/<id>
    state: str  # file for the figures, read by the web processes
    encoder: str  # name of a candidate that has passed its trial
    given_up: Sequence[str] = ()  # those that have failed for good in this stream
    beats: bool = False  # write the figures to stdout too: it is a pipe to the supervisor


class Ending(Enum):
    """Why a stream stops, and so what becomes of its media."""

    RESTART = "restart"  # SIGTERM: it stays, for the viewers and for the next process
    ABANDONED = "abandoned"  # the supervisor is gone: it is removed
    WISHED = "wished"  # ENDLIST, and it stays for a while under the same URL


class StreamProcess:
    """One stream from its folder's making to its removal."""

    def __init__(self, spec: StreamSpec, settings: Settings) -> None:
        self._spec = spec
        self._settings = settings
        self._plan = plan_stream(settings)
        self._stop = asyncio.Event()
        self._ending = Ending.RESTART
        self._chronicle = Chronicle(Journal(Path(spec.state).with_suffix(SUFFIX)))

    def stop(self, ending: Ending) -> None:
        """End the stream; the last word counts."""
        self._ending = ending
        self._stop.set()

    async def run(self) -> None:
        """Play until :meth:`stop`.

        Raises:
            EncoderError: the stream cannot go on. Its media stays, as after SIGTERM.
        """
        ahead = queue_units(self._settings.latency)
        intake = Intake(Path(self._spec.socket), self._plan.media, ahead)
        intake.on_mark = self._chronicle.moment
        try:
            intake.start()
            # Asked for its version while the source draws: the first picture waits for nothing.
            asking = asyncio.to_thread(find_ffmpeg, self._settings.ffmpeg)
            ffmpeg, _ = await asyncio.gather(asking, self._first_unit(intake))
            stream = Succession(self._means(ffmpeg, intake))
            await self._play(stream)
            if self._ending is not Ending.RESTART:
                stream.delete()
        finally:
            intake.close()
            Path(self._spec.state).unlink(missing_ok=True)

    async def _first_unit(self, intake: Intake) -> None:
        """Wait for the source's first picture, but not for ever: then a slate is shown."""
        arrived = asyncio.Event()
        intake.on_unit = arrived.set
        waits = [asyncio.ensure_future(e.wait()) for e in (arrived, self._stop)]
        await asyncio.wait(
            waits,
            timeout=self._settings.slate_after_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for wait in waits:
            wait.cancel()

    async def _play(self, stream: Succession) -> None:
        playing = asyncio.ensure_future(stream.run())
        telling = asyncio.ensure_future(self._tell_for_ever(stream))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
            if self._ending is Ending.WISHED and not playing.done():
                await self._conclude(stream)
            stream.finish()
            await playing
        finally:
            telling.cancel()
            stopping.cancel()

    async def _conclude(self, stream: Succession) -> None:
        """What was live can be watched from its URL for a while, as a recording of its window."""
        self._stop.clear()
        await stream.conclude()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._settings.ended_seconds)

    async def _tell_for_ever(self, stream: Succession) -> None:
        media = self._plan.media
        still = {"id": self._spec.id, "width": media.width, "height": media.height}
        still |= {"fps": media.fps, "latency": self._settings.latency}
        timing = self._plan.timing
        part_target = float(timing.part_target) if timing.low_latency else None
        still |= {
            "part_target_seconds": part_target,
            "segment_seconds": float(timing.segment_seconds),
        }
        beats = Beats(sys.stdout.fileno()) if self._spec.beats else None
        while True:
            figures = still | stream.figures() | {"at": time.time(), "beat": time.monotonic()}
            if beats is not None:
                beats.tell(figures)
            if figures["state"] != BLOCKED:  # then the supervisor tells what no file can
                write_json(Path(self._spec.state), figures)
            self._chronicle.figures(figures)
            await asyncio.sleep(STATE_SECONDS)

    def _means(self, ffmpeg: Ffmpeg, intake: Intake) -> Means:
        media = self._plan.media
        chosen = next(c for c in CANDIDATES if c.name == self._spec.encoder)
        others = partial(working_besides, ffmpeg, chosen, media.width, media.height, media.fps)
        captions = None
        if self._plan.captions:
            folder = Path(self._spec.socket).with_suffix(SPEECH_FOLDER)
            captions = Captions(folder, media.fps)
            intake.on_fed = captions.fed
        return Means(
            captions=captions,
            settings=self._settings,
            plan=self._plan,
            ffmpeg=ffmpeg,
            intake=intake,
            id=self._spec.id,
            folder=Path(self._spec.folder),
            candidate=chosen,
            given_up=frozenset(self._spec.given_up),
            # An encoder that was asked for by name is that one or an error.
            alternatives=others if self._settings.encoder == AUTO else tuple,
        )


class Beats:
    """Lines to the supervisor. One that does not listen is no reason to wait.

    A pipe that is almost full takes a part of a line; the rest of it goes before the next one, so
    that no line is torn.

    Args:
        fd: of a pipe.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._rest = b""

    def tell(self, figures: Mapping[str, Any]) -> None:
        """One line, or nothing where an earlier one has not gone yet."""
        with contextlib.suppress(OSError):
            self._write_rest()
            if not self._rest:
                self._rest = json.dumps(figures).encode() + b"\n"
                self._write_rest()

    def _write_rest(self) -> None:
        while self._rest:
            self._rest = self._rest[os.write(self._fd, self._rest) :]


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a small file atomically; a full disk is no reason to stop a stream."""
    unfinished = path.with_name(f".partial-{path.name}")
    try:
        unfinished.write_text(json.dumps(value))
        unfinished.rename(path)
    except OSError as error:
        reason = error.strerror
        event(log, "state_unwritten", level=logging.WARNING, path=path, reason=reason)
