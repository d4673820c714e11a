"""The encoder process of one stream: source socket in, files out.

``python -m encoder`` reads its :class:`StreamSpec` as one line of JSON on stdin and its settings
from the environment. stdin stays open as a lifeline: its end means the supervisor is gone. The
line ``end`` ends the stream for its viewers; SIGTERM only ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from config import Settings
from encoder.candidates import CANDIDATES
from encoder.chronicle import Chronicle
from encoder.ffmpeg import find_ffmpeg
from encoder.intake import Intake
from encoder.keeping import Keeping, take_up
from encoder.plan import plan_stream
from encoder.store import StreamStore
from encoder.stream import AUDIO, LiveStream, Parts
from encoder.transport import ts_name
from journal import SUFFIX, Journal
from logs import event

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
        store = StreamStore(Path(self._spec.folder), self._plan.bound_bytes)
        intake = Intake(Path(self._spec.socket), self._plan.media)
        renditions = (*(rung.name for rung in self._plan.rungs), AUDIO)
        keeping = None
        try:
            store.open((*renditions, *self._transport_folders))
            keeping = take_up(self._settings, self._spec.id, self._plan, store, renditions)
            intake.start()
            await self._first_unit(intake)
            await self._play(LiveStream(self._parts(intake, keeping)), keeping)
        finally:
            intake.close()
            if keeping:
                keeping.close()
            Path(self._spec.state).unlink(missing_ok=True)
        if self._ending is not Ending.RESTART:
            keeping.delete()

    @property
    def _transport_folders(self) -> list[str]:
        return [ts_name(rung.name) for rung in self._plan.rungs] if self._settings.mpegts else []

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

    async def _play(self, stream: LiveStream, keeping: Keeping) -> None:
        playing = asyncio.ensure_future(stream.run())
        telling = asyncio.ensure_future(self._tell_for_ever(stream))
        # Rule 30 for the media of a crashed process: it leaves the playlist now.
        segments = self._plan.listed_segments + 1
        kept_seconds = float(segments * self._plan.timing.segment_seconds)
        forgetting = asyncio.get_running_loop().call_later(kept_seconds, keeping.remove_leftovers)
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
            forgetting.cancel()

    async def _conclude(self, stream: LiveStream) -> None:
        """What was live can be watched from its URL for a while, as a recording of its window."""
        self._stop.clear()
        await stream.conclude()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._settings.ended_seconds)

    async def _tell_for_ever(self, stream: LiveStream) -> None:
        media = self._plan.media
        still = {"id": self._spec.id, "width": media.width, "height": media.height}
        still |= {"fps": media.fps, "latency": self._settings.latency}
        timing = self._plan.timing
        part_target = float(timing.part_target) if timing.low_latency else None
        still |= {
            "part_target_seconds": part_target,
            "segment_seconds": float(timing.segment_seconds),
        }
        while True:
            figures = stream.figures()
            write_json(Path(self._spec.state), still | figures | {"at": time.time()})
            self._chronicle.figures(figures)
            await asyncio.sleep(STATE_SECONDS)

    def _parts(self, intake: Intake, keeping: Keeping) -> Parts:
        return Parts(
            settings=self._settings,
            plan=self._plan,
            ffmpeg=find_ffmpeg(self._settings.ffmpeg),
            candidate=next(c for c in CANDIDATES if c.name == self._spec.encoder),
            intake=intake,
            store=keeping.store,
            resume=keeping.resume,
            archive=keeping.archive,
            recorder=keeping.recorder,
            on_moment=self._chronicle.moment,
        )


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a small file atomically; a full disk is no reason to stop a stream."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(json.dumps(value))
        partial.rename(path)
    except OSError as error:
        reason = error.strerror
        event(log, "state_unwritten", level=logging.WARNING, path=path, reason=reason)
