"""What the encoder is fed when the source, the encoder or the machine is late.

Time is simulated in steps of a millisecond. Pictures and sounds carry the number of their unit,
and are drawn into slots that are used again, as a real producer does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.clock import NANOSECONDS, MediaClock
from encoder.feeder import HISTORY_SECONDS, SLACK_UNITS, Feeder, SoundHistory, slate
from encoder.intake import QUEUE_UNITS, SLOTS, Intake, Unit, _Connection
from encoder.pipes import Extent, PipeWriter
from rawmedia import Frame, MediaFormat, Samples

MEDIA = MediaFormat(16, 16, 25, audio_rate_hz=8000, audio_channels=1)
FRAME_NS = NANOSECONDS // MEDIA.fps
STEP_NS = 1_000_000
SILENCE = 0
SLATE = -1
NOBODY = cast("_Connection", None)  # the source takes its slots back itself


class Pipe(PipeWriter):
    """The surface of a PipeWriter that the feeder sees; the encoder takes when it likes.

    Args:
        on_take: gets each buffer when the encoder reads it.
        holds: buffers that are in the pipe, which only refers to them.
    """

    def __init__(self, on_take: Callable[[bytes], None], holds: int = 0) -> None:
        self._views: list[memoryview] = []
        self._on_take = on_take
        self._holds = holds
        self._queued = 0

    @property
    def idle(self) -> bool:
        return len(self._views) <= self._holds

    @property
    def is_empty(self) -> bool:
        return not self._views

    @property
    def pending_bytes(self) -> int:
        return sum(len(view) for view in self._views[self._holds :])

    @property
    def queued_bytes(self) -> int:
        return self._queued

    @property
    def taken_bytes(self) -> int:
        return self._queued - sum(len(view) for view in self._views)

    def write(self, data: memoryview | bytes, extent: Extent | None = None) -> None:
        self._views.append(memoryview(data).cast("B"))
        self._queued += len(self._views[-1])

    def take(self) -> None:
        """The encoder reads one buffer: as late as this may it be read."""
        self._on_take(bytes(self._views.pop(0)))


class Source(Intake):
    """An intake whose producer draws unit after unit into ``SLOTS`` slots."""

    def __init__(self) -> None:
        super().__init__(Path("unused"), MEDIA)
        self.made = 0
        self._slots = [(frame(SLATE), samples(SILENCE)) for _ in range(SLOTS)]
        self._free = list(range(SLOTS))

    @property
    def blocked(self) -> bool:
        return not self._free

    def make(self) -> bool:
        """Draw the next unit and send it; False where all slots are taken."""
        if self.blocked:
            return False
        slot = self._free.pop(0)
        self.made += 1
        picture, sound = self._slots[slot]
        picture[:], sound[:] = frame(self.made), samples(self.made)
        self._units.append(Unit(picture, sound, slot, NOBODY))
        return True

    def release(self, unit: Unit) -> None:
        assert unit.slot not in self._free
        self._free.append(unit.slot)


def frame(number: int) -> Frame:
    """A picture that shows its number."""
    made = np.zeros((MEDIA.height, MEDIA.width, 3), np.uint8)
    made[:] = (number & 0xFF, number >> 8 & 0xFF, number >> 16 & 0xFF)
    return made


def samples(number: int) -> Samples:
    """A sound that tells its number."""
    return np.full((MEDIA.samples_per_unit, 1), number, np.int16)


def number_in(picture: bytes) -> int:
    value = int.from_bytes(picture[:3], "little")
    assert picture == picture[:3] * (len(picture) // 3), "a slot was drawn into too early"
    return SLATE if value == 0xFFFFFF else value


@dataclass
class World:
    """A source, a feeder and an encoder in simulated time."""

    preroll_units: int = 0
    source_period_ns: int = FRAME_NS  # 0: as fast as slots come free
    encode_ns: int = STEP_NS
    source_alive: bool = True
    pipe_holds: int = 0  # pictures
    now_ns: int = 0
    pictures: list[int] = field(default_factory=list)
    sound: bytearray = field(default_factory=bytearray)
    ages_ns: list[int] = field(default_factory=list)
    worst_gap_ns: int = 0

    def __post_init__(self) -> None:
        self.source = Source()
        self.clock = MediaClock(MEDIA.fps, -self.preroll_units * FRAME_NS)
        self.feeder = Feeder(MEDIA, self.clock, self.source, frame(SLATE))
        self._next_make_ns = self._encoder_free_ns = self._wake_ns = self._last_fed_ns = 0
        self.timers = 0  # that ran out
        self.begin_run(0, 0)

    def begin_run(self, unit: int, sample: int) -> None:
        self.video = Pipe(lambda data: self.pictures.append(number_in(data)), self.pipe_holds)
        self.audio = Pipe(self.sound.extend)
        self.pictures.clear()
        self.sound.clear()
        self.feeder.begin_run(self.video, self.audio, unit, sample)

    def let_pass(self, seconds: float) -> None:
        end = self.now_ns + round(seconds * NANOSECONDS)
        while self.now_ns < end:
            self.step()
            self.now_ns += STEP_NS

    def run(self, seconds: float) -> None:
        self.let_pass(seconds)
        for pipe in (self.video, self.audio):  # what is on its way arrives
            while not pipe.is_empty:
                pipe.take()
        self.feeder.give_back()

    def step(self) -> None:
        """What happens in this millisecond; the feeder is called as in the real loop."""
        if self.source_alive and self.now_ns >= self._next_make_ns and self.source.make():
            self._next_make_ns = max(self._next_make_ns, self.now_ns) + self.source_period_ns
            self.pump()
        if not self.video.is_empty and self.now_ns >= self._encoder_free_ns:
            was_idle = self.video.idle
            self.video.take()
            self._encoder_free_ns = self.now_ns + self.encode_ns
            if self.video.idle and not was_idle:  # else nobody tells that there is more room
                self.pump()
        while not self.audio.is_empty:
            self.audio.take()
        if self.now_ns >= self._wake_ns:
            self.timers += 1
            self.pump()

    def pump(self) -> None:
        before = self.feeder.counters.fed
        lateness = self.clock.lateness_ns(self.now_ns)
        self.feeder.pump(self.now_ns)
        if self.feeder.counters.fed > before:
            self.worst_gap_ns = max(self.worst_gap_ns, self.now_ns - self._last_fed_ns)
            self._last_fed_ns = self.now_ns
            self.ages_ns.append(lateness)
        self._wake_ns = self.feeder.next_wake_ns(self.now_ns)

    @property
    def sounds(self) -> list[int]:
        """The number that the sound of each unit tells."""
        data = np.frombuffer(bytes(self.sound), np.int16).reshape(-1, MEDIA.samples_per_unit)
        assert (data == data[:, :1]).all()
        return [int(row[0]) for row in data]

    @property
    def units(self) -> list[tuple[int, int]]:
        """What picture and sound of each unit tell."""
        return list(zip(self.pictures, self.sounds, strict=True))

    def check_pairs(self) -> None:
        """Picture and sound of a unit go together, in order, each once; else it is a repeat."""
        shown = SLATE
        for picture, sound in self.units:
            if sound == SILENCE:
                assert picture == shown
            else:
                assert picture == sound
                assert picture > shown
            shown = picture

    @property
    def behind(self) -> int:
        return self.clock.owed(self.now_ns)


def real(units: list[tuple[int, int]]) -> list[int]:
    return [picture for picture, sound in units if sound != SILENCE]


# --- the source ---------------------------------------------------------------------------------


@pytest.mark.parametrize("period_ns", [FRAME_NS, 0], ids=["real time", "as fast as it may"])
def test_units_in_time_are_fed_once_and_in_order(period_ns: int) -> None:
    world = World(source_period_ns=period_ns)
    world.run(4)
    assert real(world.units) == [picture for picture, _sound in world.units]
    assert world.pictures == list(range(1, 101))
    assert world.feeder.counters.repeated == 0
    assert world.source.waiting <= SLOTS


def test_a_source_that_is_silent_does_not_stop_time() -> None:
    world = World()
    world.run(2)
    world.source_alive = False
    world.run(3)
    assert world.units[-70:] == [(50, SILENCE)] * 70
    assert world.behind <= 2
    assert world.worst_gap_ns <= 2.5 * FRAME_NS + 5 * STEP_NS
    world.source_alive = True
    world.run(2)
    world.check_pairs()
    assert world.units[-1][0] == world.units[-1][1] > 90
    assert world.clock.skipped == world.source.dropped == 0


def test_a_unit_may_come_a_frame_and_a_half_late() -> None:
    """Else each short stall of a busy machine would be heard as a gap."""
    world = World()
    world.run(1)
    world._next_make_ns += 55_000_000
    world.run(1)
    assert world.feeder.counters.repeated == 0
    world._next_make_ns += 120_000_000
    world.run(1)
    assert world.feeder.counters.repeated > 0
    world.check_pairs()


@pytest.mark.parametrize("late_ns", [STEP_NS, FRAME_NS // 2, FRAME_NS - STEP_NS])
def test_a_unit_that_comes_when_it_is_due_or_later_needs_no_timer(late_ns: int) -> None:
    """Its arrival wakes us; to look for it before costs a wake-up for each picture."""
    world = World()
    world._next_make_ns = late_ns
    world.run(4)
    assert world.timers <= 2
    assert world.feeder.counters.fed >= 98
    assert world.feeder.counters.repeated == 0
    world.check_pairs()


def test_a_unit_that_waits_is_fed_when_it_is_due() -> None:
    world = World(source_period_ns=0)
    world.run(4)
    assert set(world.ages_ns) == {0}
    assert world.timers >= 98


def test_what_a_start_owes_is_filled_at_once_and_the_source_is_not_interrupted() -> None:
    world = World(preroll_units=50, encode_ns=0)
    world.run(0.1)
    assert len(world.pictures) >= 50
    world.run(2)
    first = world.units.index((1, 1))
    assert world.units[:first] == [(SLATE, SILENCE)] * first
    assert 46 <= first <= 51
    assert real(world.units[first:]) == list(range(1, len(world.units) - first + 1))


def test_the_slate_is_shown_until_the_source_sends() -> None:
    world = World(source_alive=False)
    world.run(1)
    assert set(world.units) == {(SLATE, SILENCE)}
    assert world.behind <= 2


# --- the encoder --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    back=st.integers(0, 45),
    samples_back=st.integers(0, 2 * 8000),
    pause=st.just(0.0) | st.floats(0, 2),
    alive=st.booleans(),
    period_ns=st.sampled_from([FRAME_NS, 0]),
)
def test_a_new_encoder_hears_the_same_sound_again_and_goes_on(
    back: int, samples_back: int, pause: float, alive: bool, period_ns: int
) -> None:
    world = World(source_period_ns=period_ns)
    world.run(4)
    world.source_alive = alive
    world.feeder.end_run()
    world.run(pause)
    heard, fed = bytes(world.sound), world.clock.next_unit
    unit, sample = fed - back, fed * MEDIA.samples_per_unit - samples_back
    world.begin_run(unit, sample)
    world.run(3)
    again = bytes(world.sound)
    assert len(again) == 2 * (world.clock.next_unit * MEDIA.samples_per_unit - sample)
    assert again[: 2 * samples_back] == heard[2 * sample :]
    assert world.pictures[:back] == [100] * back  # pictures are not kept: the last one again
    assert len(world.pictures) == world.clock.next_unit - unit
    assert world.behind <= 2
    assert world.clock.skipped == world.source.dropped == 0
    after = np.frombuffer(again[2 * samples_back :], np.int16)[:: MEDIA.samples_per_unit]
    told = [int(n) for n in after if n != SILENCE]
    assert told == list(range(101, 101 + len(told)))  # nothing of the source is lost
    assert bool(told) == (alive or world.source.made > 100)


@pytest.mark.parametrize("delay_seconds", [0.3, 1.0, 1.9])
def test_an_encoder_that_starts_slowly_is_not_overloaded(delay_seconds: float) -> None:
    world = World(preroll_units=50)
    world._encoder_free_ns = round(delay_seconds * NANOSECONDS)
    world.run(5)
    assert world.behind <= 1
    assert world.clock.skipped == world.source.dropped == 0
    world.check_pairs()


def overloaded(period_ns: int) -> World:
    """An encoder that takes 15 of 25 units a second, for twenty seconds."""
    world = World(source_period_ns=period_ns, encode_ns=NANOSECONDS // 15)
    world.run(20)
    return world


@pytest.mark.parametrize("period_ns", [FRAME_NS, 0], ids=["real time", "as fast as it may"])
def test_overload_costs_whole_units_and_no_delay(period_ns: int) -> None:
    world = overloaded(period_ns)
    assert world.feeder.overloaded
    assert world.feeder.counters.overloads == 1
    assert world.feeder.counters.fed == 300  # all that it can take
    assert world.clock.next_unit + world.clock.skipped + world.behind == 25 * 20 + 1
    assert world.source.dropped == world.clock.skipped
    # The age of the unit fed: what patience lets through at first, then never more than a few.
    assert max(world.ages_ns) < (SLACK_UNITS + 25) * FRAME_NS
    assert max(world.ages_ns[-200:]) <= (QUEUE_UNITS + 1) * FRAME_NS
    world.check_pairs()
    steady = world.units[-100:]
    assert len(real(steady)) == 100  # what can be encoded is the source's, and no silence


@pytest.mark.parametrize("period_ns", [FRAME_NS, 0], ids=["real time", "as fast as it may"])
def test_overload_ends_where_the_encoder_keeps_up_again(period_ns: int) -> None:
    world = overloaded(period_ns)
    skipped, repeated = world.clock.skipped, world.feeder.counters.repeated
    world.encode_ns = STEP_NS
    world.run(10)
    assert not world.feeder.overloaded
    assert world.behind <= 1
    assert world.clock.skipped - skipped <= QUEUE_UNITS
    assert world.feeder.counters.repeated - repeated <= QUEUE_UNITS
    last = real(world.units)[-100:]
    assert last == list(range(last[0], last[0] + 100))


def test_a_source_that_dies_in_an_overload_does_not_stop_time() -> None:
    world = overloaded(FRAME_NS)
    world.source_alive = False
    world.encode_ns = STEP_NS
    fed, world.worst_gap_ns = world.feeder.counters.fed, 0
    world.run(4)
    assert world.feeder.counters.fed - fed >= 4 * 25 - QUEUE_UNITS - 2
    assert world.worst_gap_ns <= 2.5 * FRAME_NS + 5 * STEP_NS


def test_a_short_stall_of_the_encoder_is_caught_up() -> None:
    world = World()
    world.run(2)
    world._encoder_free_ns = world.now_ns + NANOSECONDS
    world.run(3)
    assert world.behind <= 1
    assert world.clock.skipped == world.source.dropped == 0
    world.check_pairs()


@pytest.mark.parametrize("period_ns", [FRAME_NS, 0], ids=["real time", "as fast as it may"])
@pytest.mark.parametrize("encode_ns", [0, STEP_NS, FRAME_NS, FRAME_NS + STEP_NS])
def test_a_slot_is_lent_until_the_encoder_has_read_it(period_ns: int, encode_ns: int) -> None:
    """The pipe refers to the pictures in it; a slot that is drawn into too early is told."""
    world = World(source_period_ns=period_ns, encode_ns=encode_ns, pipe_holds=2)
    world.run(4)
    world.check_pairs()
    assert len(real(world.units)) > 90
    world.source_alive = False
    world.run(0.2)
    shown, waiting = 1, world.source.waiting
    assert len(world.source._free) == SLOTS - shown - waiting


def test_what_an_encoder_had_not_read_when_it_died_goes_back_with_the_next_one() -> None:
    world = World(encode_ns=60 * NANOSECONDS, pipe_holds=2)
    world.let_pass(1)
    lent = SLOTS - len(world.source._free) - world.source.waiting - 1
    assert lent > 0
    world.feeder.end_run()
    assert len(world.source._free) == SLOTS - world.source.waiting - 1 - lent
    world.encode_ns = world._encoder_free_ns = 0
    world.begin_run(0, 0)
    world.run(2)
    assert world.units[-1][0] == world.units[-1][1] > 10


def test_at_the_end_the_source_has_all_its_slots_again() -> None:
    """Another life of the stream has the same source, and another feeder."""
    world = World(pipe_holds=1)
    world.run(1)
    world.source_alive = False
    world.feeder.end_run()
    world.feeder.close()
    world.feeder.close()  # it may come twice
    assert len(world.source._free) == SLOTS - world.source.waiting


def test_nothing_is_fed_while_a_second_of_sound_waits() -> None:
    """Sound can run ahead of pictures that are taken; it may not pile up."""
    world = World()
    world.audio.write(bytes(MEDIA.samples_bytes * MEDIA.fps))
    world.now_ns = 10 * FRAME_NS
    world.source.make()
    world.pump()
    assert world.feeder.counters.fed == 0
    world.audio.take()
    world.pump()
    assert world.feeder.counters.fed > 0


# --- everything at once -------------------------------------------------------------------------

PHASES = st.lists(
    st.tuples(
        st.floats(0.1, 3),
        st.booleans(),
        st.sampled_from([FRAME_NS, 0, FRAME_NS * 3 // 2]),
        st.sampled_from([0, STEP_NS, FRAME_NS, FRAME_NS * 2, FRAME_NS * 12]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2), PHASES)
def test_any_schedule(
    preroll: int, pipe_holds: int, phases: list[tuple[float, bool, int, int]]
) -> None:
    world = World(preroll_units=preroll, pipe_holds=pipe_holds)
    for seconds, alive, period_ns, encode_ns in phases:
        world.source_alive, world.source_period_ns, world.encode_ns = alive, period_ns, encode_ns
        world.run(seconds)
    world.check_pairs()
    due = world.now_ns * MEDIA.fps // NANOSECONDS + 1 + preroll
    assert abs(world.clock.next_unit + world.clock.skipped + world.behind - due) <= 1
    assert world.source.dropped <= world.clock.skipped
    world.source_alive, world.source_period_ns, world.encode_ns = True, FRAME_NS, STEP_NS
    world.run(9)
    world.check_pairs()
    assert world.behind <= 2
    assert not world.feeder.overloaded
    last = real(world.units[-50:])
    assert last == list(range(last[0], last[0] + 50))


# --- the parts ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=30), st.data())
def test_history_keeps_the_last_four_seconds_by_number(
    lengths: list[int], data: st.DataObject
) -> None:
    history = SoundHistory(MEDIA)
    everything = np.arange(sum(lengths), dtype=np.int16)
    at = 0
    for length in lengths:
        history.append(everything[at : at + length].tobytes())
        at += length
    assert history.end == len(everything)
    assert history.start <= max(0, history.end - HISTORY_SECONDS * MEDIA.audio_rate_hz)
    assert history.end - history.start <= 2 * HISTORY_SECONDS * MEDIA.audio_rate_hz
    first = data.draw(st.integers(history.start, history.end))
    end = data.draw(st.integers(first, history.end))
    assert history.between(first, end) == everything[first:end].tobytes()


def test_slate_is_a_picture_of_the_right_size() -> None:
    media = MediaFormat(320, 180, 25)
    picture = slate(media)
    assert picture.shape == (180, 320, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert len(np.unique(picture[:, 0, 0])) > 10
