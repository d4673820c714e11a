"""A stream that outlives what it is made of: its encoder breaks, its disk fills up, it goes on.

Each :class:`LiveStream` has one encoder and one set of files. Where either fails for good the next
one takes the playlists over, as a new process takes over from one that was killed: what was listed
stays, an EXT-X-DISCONTINUITY follows (16), the source stays connected all the while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import Settings
from encoder.candidate import Candidate
from encoder.caption_rendition import CAPTIONS
from encoder.captions import Captions
from encoder.errors import (
    EncoderError,
    EncoderGivenUp,
    OutOfResources,
    ParametersChanged,
    StoreUnwritable,
)
from encoder.ffmpeg import Ffmpeg
from encoder.intake import Intake
from encoder.keeping import Keeping, take_up
from encoder.plan import StreamPlan
from encoder.remedies import Record, Remedies
from encoder.store import StreamStore
from encoder.stream import AUDIO, LiveStream, Parts
from encoder.transport import ts_name
from logs import event

BLOCKED = "blocked"
# Of the figures: encoders that have failed for good, for the next process of the stream.
GIVEN_UP = "encoders_given_up"
# Figures that count from the beginning of a stream, whichever of its lives they come from.
_COUNTED = (
    "media_seconds",
    "units_fed",
    "units_repeated",
    "units_skipped",
    "overloads",
)
# Room for so much media must be there before a stream without room goes on, or it would stop and
# go with every file that somebody removes.
ROOM_SEGMENTS = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What all lives of a stream have in common."""

    settings: Settings
    plan: StreamPlan
    ffmpeg: Ffmpeg
    intake: Intake
    id: str
    folder: Path
    candidate: Candidate  # the first to use
    # Finds what else works here; asked once, in a thread, for it may encode a few pictures.
    alternatives: Callable[[], Sequence[Candidate]] = field(default=tuple)
    captions: Captions | None = None
    given_up: frozenset[str] = frozenset()  # names of those that failed in an earlier process


class Succession:
    """One stream from its first picture to its end, through any number of lives."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._candidate = means.candidate
        self._given_up = set(means.given_up)
        self._record = Record()
        self._remedies = self._new_remedies()
        self._store = StreamStore(means.folder, means.plan.bound_bytes)
        self._keeping: Keeping | None = None
        self._live: LiveStream | None = None
        self._last: dict[str, Any] = {"state": "starting"}  # figures of the life before
        self._blocked_by = ""
        self._counted = dict.fromkeys(_COUNTED, 0)
        self._finished = asyncio.Event()
        self._search: asyncio.Future[Sequence[Candidate]] | None = None
        self._forgetting: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Play until :meth:`finish`.

        Raises:
            EncoderError: nothing that could be tried is left.
        """
        try:
            while not self._finished.is_set():
                await self._live_once()
        finally:
            if self._forgetting is not None:
                self._forgetting.cancel()
            if self._ending is not None:  # its last media is still to be kept
                await asyncio.wait([self._ending])
            if self._keeping is not None:
                self._keeping.close()

    def finish(self) -> None:
        """Stop the stream."""
        self._finished.set()
        if self._live is not None:
            self._live.finish()

    async def conclude(self) -> None:
        """End well, with ENDLIST; see :meth:`LiveStream.conclude`."""
        self._finished.set()
        if self._live is not None:
            self._ending = asyncio.ensure_future(self._live.conclude())
            await self._ending

    def delete(self) -> None:
        """Remove all media; call it when :meth:`run` has returned."""
        if self._keeping is not None:
            self._keeping.delete()
        self._store.delete()

    def figures(self) -> dict[str, Any]:
        """Those of the present life, counts summed over all of them."""
        figures = dict(self._last) if self._live is None else self._live.figures()
        figures |= {name: figures.get(name, 0) + sum_ for name, sum_ in self._counted.items()}
        if self._blocked_by:
            figures |= {"state": BLOCKED, "reason": self._blocked_by}
        encoders = {"encoder": self._candidate.name, GIVEN_UP: sorted(self._given_up)}
        return figures | encoders | self._record.shown()

    async def _live_once(self) -> None:
        try:
            live = self._begin_life()
            await live.run()
            self._finished.set()
        except (StoreUnwritable, OutOfResources) as error:
            await self._end_life()
            await self._until_unblocked(error)
        except ParametersChanged as error:
            await self._end_life()
            event(log, "encoder_parameters_changed", level=logging.WARNING, reason=error)
        except EncoderGivenUp as error:
            await self._end_life()
            await self._change_encoder(error)

    def _begin_life(self) -> LiveStream:
        """Take over what the last life, or the last process, left.

        Raises:
            StoreUnwritable: the media root refuses.
        """
        means = self._means
        names = [*(rung.name for rung in means.plan.rungs), AUDIO]
        names += [CAPTIONS] if means.captions is not None else []
        self._store = store = StreamStore(means.folder, means.plan.bound_bytes)
        store.open((*names, *self._transport_folders))
        self._keeping = keeping = take_up(
            means.settings, means.id, means.plan, store, names, time.time()
        )
        self._forget_leftovers_later(keeping)
        self._live = live = LiveStream(
            Parts(
                settings=means.settings,
                plan=means.plan,
                ffmpeg=means.ffmpeg,
                candidate=self._candidate,
                intake=means.intake,
                store=store,
                resume=keeping.resume,
                archive=keeping.archive,
                recorder=keeping.recorder,
                remedies=self._remedies,
                record=self._record,
                when_live=self._when_live,
                captions=means.captions,
            )
        )
        return live

    @property
    def _transport_folders(self) -> list[str]:
        if not self._means.settings.mpegts:
            return []
        return [ts_name(rung.name) for rung in self._means.plan.rungs]

    async def _end_life(self) -> None:
        if self._keeping is not None:  # it waits for a disk
            await asyncio.to_thread(self._keeping.close)
        if self._live is not None:
            self._last = self._live.figures()
            for name in _COUNTED:
                self._counted[name] += self._last.pop(name)
            self._live = None

    def _new_remedies(self) -> Remedies:
        return Remedies(hardware=self._candidate.hardware)

    def _forget_leftovers_later(self, keeping: Keeping) -> None:
        """Rule 30 for the media of an earlier life: it has left the playlist by then."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        segments = self._means.plan.listed_segments + 1
        seconds = float(segments * self._means.plan.timing.segment_seconds)
        loop = asyncio.get_running_loop()
        self._forgetting = loop.call_later(seconds, _forget_leftovers, keeping)

    # --- another encoder --------------------------------------------------------------------------

    def _when_live(self) -> None:
        """Media flows. Where a circuit encodes it, learn now what could take its place."""
        self._blocked_by = ""
        if self._candidate.hardware:
            self._look_for_alternatives()

    def _look_for_alternatives(self) -> asyncio.Future[Sequence[Candidate]]:
        if self._search is None:
            self._search = _in_thread(self._means.alternatives)
            self._search.add_done_callback(self._note_alternatives)
        return self._search

    def _note_alternatives(self, search: asyncio.Future[Sequence[Candidate]]) -> None:
        if not search.cancelled() and search.exception() is None:
            self._remedies.replaceable = bool(self._left(search.result()))

    def _left(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        gone = {*self._given_up, self._candidate.name}
        return [candidate for candidate in candidates if candidate.name not in gone]

    async def _change_encoder(self, error: EncoderGivenUp) -> None:
        """The next one that works; this one is for new streams to try again.

        Raises:
            EncoderGivenUp: there is none.
        """
        search = self._look_for_alternatives()
        stopping = asyncio.ensure_future(self._finished.wait())
        await asyncio.wait((search, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not search.done():  # who stops the stream does not wait for trials
            return
        left = self._left(search.result())
        if not left:
            raise error
        self._given_up.add(self._candidate.name)
        self._candidate = left[0]
        self._remedies = self._new_remedies()
        self._remedies.replaceable = len(left) > 1
        self._record.changes[error.reason] += 1
        event(
            log,
            "encoder_changed",
            level=logging.WARNING,
            gone=error.encoder,
            encoder=self._candidate.name,
            why=error.reason,
            reason=error.last,
        )

    # --- a media root that refuses ----------------------------------------------------------------

    async def _until_unblocked(self, error: EncoderError) -> None:
        """Say so, drop media in its time, and try again each part."""
        began = time.monotonic()
        if not self._blocked_by:
            kind = type(error).__name__
            self._record.blocked[kind] += 1
            event(log, "stream_blocked", level=logging.ERROR, kind=kind, reason=error)
        self._blocked_by = str(error)
        while not self._finished.is_set():
            await self._drop_a_part_of_media()
            try:
                self._store.require_room(self._room_bytes())
                break
            except StoreUnwritable as still:
                self._blocked_by = str(still)
        event(log, "stream_tries_again", seconds=round(time.monotonic() - began, 3))

    def _room_bytes(self) -> int:
        plan = self._means.plan
        segments = 2 * (plan.listed_segments - plan.archived_segments) + ROOM_SEGMENTS
        return plan.bound_bytes * ROOM_SEGMENTS // segments

    async def _drop_a_part_of_media(self) -> None:
        """What the source sends meanwhile has passed when there is room again: time goes on."""
        intake, timing = self._means.intake, self._means.plan.timing
        intake.on_unit = lambda: None
        for _ in range(timing.video.part_frames):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), 1 / timing.fps)
            intake.drop_oldest()


def _forget_leftovers(keeping: Keeping) -> None:
    with contextlib.suppress(StoreUnwritable):  # the next life will find them again
        keeping.remove_leftovers()


def _in_thread(search: Callable[[], Sequence[Candidate]]) -> asyncio.Future[Sequence[Candidate]]:
    """Run it in a thread that does not hold up the end of the process, as an executor's does."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[Candidate]] = loop.create_future()

    def run() -> None:
        try:
            result = search()
        except (EncoderError, OSError) as error:
            event(log, "encoders_unknown", level=logging.WARNING, reason=error)
            result = ()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(_resolve, found, result)

    threading.Thread(target=run, name="encoder-trials", daemon=True).start()
    return found


def _resolve(found: asyncio.Future[Sequence[Candidate]], result: Sequence[Candidate]) -> None:
    if not found.done():
        found.set_result(result)
