"""One live stream: its timeline, its ffmpeg child and its two renditions, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from config import Settings
from encoder.archive import Archive
from encoder.arguments import Pipes, compile_argv
from encoder.candidate import Candidate
from encoder.caption_rendition import CAPTIONS, CaptionRendition
from encoder.captions import Captions
from encoder.child import EncoderChild
from encoder.clock import NANOSECONDS, MediaClock
from encoder.errors import (
    EncoderError,
    EncoderExited,
    EncoderGivenUp,
    ParametersChanged,
    StoreUnwritable,
    StreamBroken,
)
from encoder.feeder import Feeder, slate
from encoder.ffmpeg import Ffmpeg
from encoder.fragments import FragmentReader, Init
from encoder.intake import Intake
from encoder.ledger import Fault, Ledger
from encoder.multivariant import Multivariant
from encoder.offsets import TrackOffset
from encoder.packager import Calendar, Era, Layout, Past, Rendition
from encoder.plan import StreamPlan
from encoder.pulse import Pulse, pulse_of
from encoder.recorder import Recorder
from encoder.remedies import Record, Remedies, failure
from encoder.resume import Resume
from encoder.store import StreamStore
from encoder.transport import TsRendition
from encoder.wall import WallWatch
from logs import event
from rawmedia import Frame

AUDIO = "a0"
# An encoder that gives nothing for so long while frames go in is stuck, and is replaced. With its
# successor's start and a player's own recovery viewers may notice two seconds of it; 1.5 s here
# were 1.2 to 2.2 s there. To be wrong now and then costs a splice that nobody sees.
STUCK_NS = 6 * NANOSECONDS // 5
# One that does no work meanwhile is not slow: it hangs, and nothing is won by waiting. After so
# long without output its work is looked at, and so long after that again; at least so many frames.
SILENT_NS, STILL_NS, STILL_FRAMES = 2 * NANOSECONDS // 5, 3 * NANOSECONDS // 10, 2
# Before its first output it may have a driver to load.
START_NS = 6 * NANOSECONDS
# More than this behind, the timeline gives up what it missed: viewers would get still pictures and
# silence in a burst, and be that much later for ever. A stuck encoder costs less and is caught up.
LONGEST_CATCH_UP_SECONDS = 5
# Our own timers come every few hundredths of a second; so long without one, we were stopped.
ABSENCE_NS = NANOSECONDS // 2
# What an encoder that has ended left in its pipes is read within this.
OUTPUTS_END_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a stream is built of."""

    settings: Settings
    plan: StreamPlan
    ffmpeg: Ffmpeg
    candidate: Candidate
    intake: Intake
    store: StreamStore
    resume: Resume = field(default_factory=Resume)
    remedies: Remedies = field(default_factory=lambda: Remedies(hardware=False))
    record: Record = field(default_factory=Record)
    when_live: Callable[[], None] = lambda: None  # called when the stream can be played
    archive: Archive | None = None
    recorder: Recorder | None = None
    captions: Captions | None = None  # of what is spoken; None: the stream has no such rendition


class LiveStream:
    """Runs from the source's first picture until :meth:`finish`.

    Unit 0 of its timeline lies one segment in the past and is fed as fast as the encoder takes it,
    so the first segment is complete at once and a player need not wait for it.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._media = parts.intake.media
        self._timing = timing = parts.plan.timing
        resume = parts.resume
        # A stream that is taken over has segments already: it goes on from now.
        backlog = 0 if resume.past else timing.segment_frames
        epoch = time.monotonic_ns() - backlog * NANOSECONDS // self._media.fps
        # Part of every URI: no run ever publishes other bytes under an old name.
        self._run_name = f"{int(time.time()):x}{secrets.token_hex(2)}"
        era = Era(resume.first_msn, _wall_ms(epoch), self._run_name)
        self._calendar = Calendar(era, resumed=bool(resume.past))
        layout = Layout(timing, parts.plan.listed_segments)
        shared = (layout, self._calendar, parts.store)
        past, sinks = resume.past, (parts.archive, parts.recorder)
        self._videos = [
            Rendition(rung.name, timing.video, *shared, past.get(rung.name, Past()), *sinks)
            for rung in parts.plan.rungs
        ]
        self._audio = Rendition(AUDIO, timing.audio, *shared, past.get(AUDIO, Past()), *sinks)
        self._renditions = [*self._videos, self._audio]
        self._captions = None
        if parts.captions is not None:
            self._captions = CaptionRendition(
                self._videos[0], parts.captions, *shared, past.get(CAPTIONS, Past()), *sinks
            )
        for rendition in self._listed:
            rendition.peers = [peer for peer in self._listed if peer is not rendition]
        live = Layout(timing, parts.settings.window_segments)  # a longer one is of fMP4 alone
        self._transport = [
            TsRendition(video, self._audio, live, parts.store)
            for video in self._videos
            if parts.settings.mpegts
        ]
        self._multivariant = Multivariant(
            parts.store,
            parts.settings,
            parts.plan,
            self._videos,
            self._audio,
            self._transport,
            self._captions,
        )
        self._init: dict[str, bytes] = {}
        self._offsets: dict[str, TrackOffset] = {}  # of each rendition's present run
        clock = MediaClock(self._media.fps, epoch)
        self._feeder = Feeder(self._media, clock, parts.intake, _first_picture(parts.intake))
        record = parts.record
        self._ledger = Ledger(self._feeder.handed, record.restarts, record.refused)
        self._child: EncoderChild | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._wake_ns = 0  # when that is
        self._finished = asyncio.Event()
        self._error: EncoderError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_output_ns = self._run_began_ns = self._run_began_unit = 0
        self._last_pump_ns = self._slip_shown = self._edge_ns = 0
        self._gave_output = False
        self._suspicion: tuple[int, Pulse] | None = None  # after how long a silence
        self._wall = WallWatch(1000 * timing.target_duration)
        self._state = "starting"
        self._open_outputs = 0
        self._outputs_ended = asyncio.Event()

    @property
    def _listed(self) -> list[Rendition]:
        """All with a playlist of low latency; ffmpeg makes those of ``_renditions``."""
        return [*self._renditions, *([self._captions] if self._captions else [])]

    async def run(self) -> None:
        """Play until :meth:`finish` is called; the child is reaped in any case.

        Raises:
            EncoderError: the stream cannot go on.
        """
        self._parts.intake.on_unit = self._pump_if_due
        self._parts.intake.place = self.place
        try:
            for muxed in self._transport:
                muxed.start()
            await self._start_child()
            await self._finished.wait()
        finally:
            await self._close()
        if self._error is not None:
            raise self._error

    def finish(self, error: EncoderError | None = None) -> None:
        """Stop the stream, because of an error or by wish."""
        self._error = self._error or error
        self._finished.set()

    async def conclude(self) -> None:
        """End well: publish all that was fed, and close the playlists with ENDLIST."""
        self._state = "ending"
        self._finished.set()
        await self._close()
        if self._open_outputs:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._outputs_ended.wait(), OUTPUTS_END_SECONDS)
        for rendition in self._listed:
            rendition.end()
        for muxed in self._transport:
            muxed.end()
        self._multivariant.conclude()
        if self._parts.recorder:
            self._parts.recorder.end()
        self._state = "ended"
        event(log, "stream_ended", folder=self._parts.store.folder)

    def figures(self) -> dict[str, Any]:
        """What the API tells about the stream; times in seconds, sizes in bytes."""
        frame_seconds = self._timing.video.frame_seconds
        return {
            "state": self._state,
            "encoder": self._parts.candidate.name,
            "source": "connected" if self._parts.intake.connected else "waiting",
            "renditions": [
                asdict(rung) | _rates(rendition)
                for rung, rendition in zip(self._parts.plan.rungs, self._videos, strict=True)
            ],
            "sound": {"name": AUDIO} | _rates(self._audio),
            "msn": self._videos[0].segmenter.msn,
            "media_seconds": float(self._videos[0].segmenter.next_frame * frame_seconds),
            "units_fed": self._feeder.counters.fed,
            "units_repeated": self._feeder.counters.repeated,
            "units_dropped": self._parts.intake.dropped,
            "units_skipped": self._feeder.clock.skipped,
            "overloaded": self._feeder.overloaded,
            "overloads": self._feeder.counters.overloads,
            # Monotonic seconds: when its newest part was published.
            "edge": self._edge_ns / NANOSECONDS,
            "sessions": [] if self._child is None else [self._child.pid],
            "disk_bytes": self._parts.store.used_bytes,
            "disk_bound_bytes": self._parts.store.limit_bytes,
            "parts": {rendition.name: rendition.parts for rendition in self._renditions},
            "media_bytes": {
                rendition.name: rendition.media_bytes for rendition in self._renditions
            },
            **self._ledger.figures(),
            "dvr": self._dvr_figures(),
            "recording": self._parts.recorder.figures() if self._parts.recorder else None,
        } | self._parts.record.shown()

    def place(self, unit: int) -> dict[str, Any]:
        """Where a unit stands for who plays the stream: segment, part, wall clock of its date."""
        video = self._timing.video
        index = unit // self._timing.segment_frames
        msn = self._parts.resume.first_msn + index
        in_segment = unit - video.segment_start(index)
        return {
            "media_seconds": round(unit / self._media.fps, 3),
            "msn": msn,
            "part": in_segment // video.part_frames,
            "date_ms": self._calendar.at(msn).anchor_ms + unit * 1000 // self._media.fps,
        }

    def _dvr_figures(self) -> dict[str, Any]:
        archive = self._parts.archive
        listed = float(self._videos[0].listed_seconds)
        return {"listed_seconds": listed, "disk": archive.figures() if archive else None}

    # --- the child -------------------------------------------------------------------------------

    async def _start_child(self) -> None:
        """Start ffmpeg where the published media ends: at the beginning, or after a crash."""
        frames = [rendition.segmenter.next_frame for rendition in self._videos]
        unit = min(frames)
        sound = self._parts.plan.sound
        warm_up = sound.warm_up_frames * sound.frame_samples
        sample = max(0, self._audio.segmenter.next_ticks - warm_up)
        self._run_began_unit = unit
        self._run_began_ns = self._last_output_ns = time.monotonic_ns()
        self._gave_output, self._suspicion = False, None
        child = await EncoderChild.start(
            lambda pipes: self._argv(pipes, unit, [frame - unit for frame in frames]),
            frame_bytes=self._media.frame_bytes,
            on_idle=self._pump_if_due,
            on_video=[
                # A rung that was ahead is given nothing that it has already.
                self._taker(
                    rendition, unit * self._timing.video.frame_ticks, rendition.segmenter.next_ticks
                )
                for rendition in self._videos
            ],
            on_audio=self._taker(
                self._audio,
                sample - sound.delay_samples,
                sample - sound.delay_samples - sound.priming_samples,
            ),
            on_end=self._output_ended,
        )
        self._open_outputs = len(self._renditions)
        self._child = child
        name = self._parts.candidate.name
        event(log, "encoder_started", encoder=name, pid=child.pid, unit=unit)
        self._feeder.begin_run(child.video, child.audio, unit, sample)
        self._pump()

    def _argv(self, pipes: Pipes, first_frame: int, ahead: list[int]) -> list[str]:
        return compile_argv(
            self._parts.ffmpeg.path,
            self._parts.candidate,
            self._media,
            self._timing,
            rungs=self._parts.plan.rungs,
            audio_kbit=self._parts.settings.audio_kbit,
            sound_codec=self._parts.plan.sound,
            pipes=pipes,
            first_frame=first_frame,
            ahead=ahead,
        )

    def _output_ended(self) -> None:
        self._open_outputs -= 1
        if not self._open_outputs:
            self._outputs_ended.set()
        self._replace_child(Fault.ENDED, "its output ended")

    def _replace_child(self, fault: Fault, why: str) -> None:
        """The child is of no use any more: reap it and start another where it left off."""
        child, self._child = self._child, None
        if child is not None and not self._finished.is_set():
            self._feeder.end_run()
            self._ledger.restarts[fault.value] += 1
            task = asyncio.ensure_future(self._restart(child, fault.value, why))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _restart(self, child: EncoderChild, reason: str, detail: str) -> None:
        status = await child.stop(drain=False)
        exited = EncoderExited(child.argv, status, list(child.stderr_tail))
        event(log, "encoder_ended", level=logging.ERROR, why=detail, status=status, reason=exited)
        name, record = self._parts.candidate.name, self._parts.record
        record.failures.append(failure(reason, detail, name, exited))
        gave_media = self._videos[0].segmenter.next_frame > self._run_began_unit
        delay = self._parts.remedies.after_failure(
            self._run_began_ns, time.monotonic_ns(), gave_media=gave_media
        )
        if delay is None:
            self.finish(EncoderGivenUp(name, reason, exited))
            return
        with contextlib.suppress(TimeoutError):  # the end of the stream need not wait for it
            await asyncio.wait_for(self._finished.wait(), delay)
        if self._finished.is_set():
            return
        try:
            await self._start_child()
        except EncoderError as error:
            self.finish(error)

    # --- media -----------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Feed what is due, then sleep until something can change by itself."""
        now = time.monotonic_ns()
        self._forgive_absence(now)
        self._leap_if_far_behind(now)
        self._feeder.pump(now)
        self._show_slip()
        self._sleep(now)

    def _sleep(self, now: int) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake_ns = self._feeder.next_wake_ns(now)
        wait = (self._wake_ns - now) / NANOSECONDS
        self._wake = asyncio.get_running_loop().call_later(wait, self._tick)

    def _pump_if_due(self) -> None:
        """A unit came, or a pipe has room; mostly the timer for the next unit is set already."""
        now = time.monotonic_ns()
        if self._wake is None or self._feeder.clock.owed(now):
            self._tick()
            return
        self._feeder.give_back()
        if self._feeder.next_wake_ns(now) < self._wake_ns:  # it came before it is due
            self._sleep(now)

    def _tick(self) -> None:
        self._pump()
        if self._child is None:
            return
        silent_ns = time.monotonic_ns() - self._last_output_ns
        limit_ns = STUCK_NS if self._gave_output else START_NS
        if silent_ns > limit_ns or (self._gave_output and self._is_still(self._child, silent_ns)):
            self._replace_child(Fault.STUCK, f"no output for {silent_ns / NANOSECONDS:.1f} s")

    def _is_still(self, child: EncoderChild, silent_ns: int) -> bool:
        """Whether it has done nothing for a while, besides giving nothing."""
        frames_ns = STILL_FRAMES * NANOSECONDS // self._media.fps
        if silent_ns <= max(SILENT_NS, frames_ns):
            self._suspicion = None
        elif self._suspicion is None:
            self._suspicion = (silent_ns, pulse_of(child.pid))
        elif silent_ns - self._suspicion[0] > max(STILL_NS, frames_ns):
            earlier, now = self._suspicion[1], pulse_of(child.pid)
            self._suspicion = (silent_ns, now)
            return now.is_still_since(earlier)
        return False

    def _forgive_absence(self, now: int) -> None:
        """While we were stopped ourselves (a suspended machine) nobody can have seen output."""
        absent = now - self._last_pump_ns if self._last_pump_ns else 0
        self._last_pump_ns = now
        if absent > ABSENCE_NS:
            self._last_output_ns = min(now, self._last_output_ns + absent)

    def _leap_if_far_behind(self, now: int) -> None:
        clock = self._feeder.clock
        limit = max(LONGEST_CATCH_UP_SECONDS * self._media.fps, 2 * self._timing.segment_frames)
        owed = clock.owed(now)
        if self._child is not None and owed > limit:
            clock.skip(owed - 1)
            event(log, "time_missed", level=logging.WARNING, units=owed - 1)

    def _taker(
        self, rendition: Rendition, base_ticks: int, first_ticks: int
    ) -> Callable[[bytes], None]:
        """What takes the bytes of one rendition of one encoder run."""
        reader = FragmentReader(base_ticks)
        is_sound = rendition is self._audio
        timing = self._timing.audio if is_sound else self._timing.video
        self._offsets[rendition.name] = TrackOffset(first_ticks, timing)
        return lambda data: self._take(rendition, reader, data)

    def _take(self, rendition: Rendition, reader: FragmentReader, data: bytes) -> None:
        """Bytes of one rendition came out of ffmpeg."""
        if self._error is not None:  # what follows a part that was not written must not be either
            return
        self._last_output_ns, self._gave_output = time.monotonic_ns(), True
        try:
            parts = rendition.parts
            for item in reader.feed(data):
                if isinstance(item, Init):
                    self._take_init(rendition, item)
                    continue
                self._offsets[rendition.name].note(item.dts_ticks)
                if item.dts_ticks >= rendition.segmenter.next_ticks:  # else priming, or known
                    rendition.add(item)
            if rendition is self._videos[0] and rendition.parts > parts:
                self._note_part(rendition)
            self._after_media()
        except (StoreUnwritable, ParametersChanged) as error:
            self.finish(error)
        except StreamBroken as error:
            self._refuse(error)
        except EncoderError as error:
            self._replace_child(Fault.GARBAGE, str(error))

    def _refuse(self, error: StreamBroken) -> None:
        if self._child is None:  # what is left in the pipes of one that was given up already
            return
        self._ledger.refused[error.rule] += 1
        event(log, "media_refused", level=logging.ERROR, rule=error.rule, reason=error)
        self._replace_child(Fault.UNLAWFUL, str(error))

    def _note_part(self, video: Rendition) -> None:
        skew_seconds = float(video.end_seconds - self._audio.end_seconds)
        picture, sound = (self._offsets[each.name].seconds for each in (video, self._audio))
        now_ns, offset = time.monotonic_ns(), float(picture - sound)
        self._edge_ns = now_ns
        self._ledger.published(video.end_frame - 1, now_ns, skew_seconds, offset)

    def _take_init(self, rendition: Rendition, init: Init) -> None:
        known = self._init.setdefault(rendition.name, init.data)
        if known != init.data:
            raise ParametersChanged(self._parts.candidate.name, rendition.name)
        if rendition.track is None:
            rendition.set_init(init.data, init.track, self._run_name)

    def _after_media(self) -> None:
        if (
            self._state == "starting"
            and all(
                rendition.complete_segments and rendition.track for rendition in self._renditions
            )
            and all(muxed.complete_segments for muxed in self._transport)
        ):
            self._state = "live"
            first_msn = self._parts.resume.first_msn
            event(log, "stream_live", folder=self._parts.store.folder, msn=first_msn)
            self._parts.when_live()
            if self._parts.recorder:
                self._parts.recorder.multivariant(self._multivariant.for_recording())
        if self._state == "live":
            self._multivariant.refresh()
        self._check_wall_clock()

    def _show_slip(self) -> None:
        """Units were given up: the wall clock is set right (14, 16), from the first segment on that
        no rendition has begun. That may be a life's first: then it is the same break, not another.
        """
        slip = self._feeder.clock.skipped - self._slip_shown
        if slip >= self._media.fps:
            self._slip_shown += slip
            self._move_anchor(slip * 1000 // self._media.fps)

    def _check_wall_clock(self) -> None:
        now = time.monotonic_ns()
        clock = self._feeder.clock
        said_ms = self._calendar.newest.anchor_ms + (now - clock.epoch_ns) // 1_000_000
        correction_ms = self._wall.correction_ms(now, _wall_ms(now) - said_ms)
        if correction_ms:
            self._move_anchor(correction_ms)

    def _move_anchor(self, by_ms: int) -> None:
        anchor_ms = self._calendar.newest.anchor_ms + by_ms
        first_msn = max(rendition.unbegun_msn for rendition in self._listed)
        self._calendar.begin(Era(first_msn, anchor_ms, self._run_name))
        event(log, "clock_moved", level=logging.WARNING, milliseconds=by_ms, msn=first_msn)

    async def _close(self) -> None:
        self._finished.set()
        self._parts.intake.on_unit = lambda: None
        if self._wake is not None:
            self._wake.cancel()
        self._feeder.end_run()
        for task in list(self._tasks):
            await task
        child, self._child = self._child, None
        if child is not None:
            await child.stop(drain=self._error is None)
        self._feeder.close()


def _rates(rendition: Rendition) -> dict[str, int]:
    """What its listed segments weigh, in bits a second."""
    rates = rendition.meter.window
    return {"peak_bit_s": rates.peak, "average_bit_s": rates.average}


def _wall_ms(monotonic_ns: int) -> int:
    return (time.time_ns() - (time.monotonic_ns() - monotonic_ns)) // 1_000_000


def _first_picture(intake: Intake) -> Frame:
    """The source's first picture where it is there already, else a slate."""
    first = intake.peek()
    return slate(intake.media) if first is None else first.frame.copy()
