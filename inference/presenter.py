"""The presenter: a face that lives, and says what it is given. The face itself is exchangeable.

What a unit shows and sounds like follows from an :class:`Instant` alone. So units that the encoder
gives back can be drawn anew, with another end to what was said, and nothing in them jumps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np

from inference.governor import Effort
from inference.line import EMPHASIS_SECONDS, Line, Spoken, ease_units, eased, faded_out
from inference.motion import Pose, pose
from inference.mouth import REST_SHAPE, MouthShape
from inference.utterances import Utterances
from inference.watch import Watch
from journal import Moment, face_mark, mark_of
from rawmedia import Frame, MediaFormat, Samples

Region = tuple[int, int, int, int]

# Darker than this is the inside of a mouth: lips and skin of the drawn character have a luma beyond
# 100, its mouth's inside one below 60, and 4:2:0 H.264 at 700 kbit/s moves neither by more than 20.
INTERIOR_LUMA = 80
# More units than an encoder holds at once can never be given back.
RECALLABLE = 32


class HasMouth(Protocol):
    """Something whose mouth moves, in frames of one size."""

    @property
    def mouth_region(self) -> Region:
        """(x, y, w, h) of the pixels in which the mouth moves, whatever the head does."""


class Face(HasMouth, Protocol):
    """Something with a mouth, eyes and a head, drawn from their shapes alone."""

    def draw(self, frame: Frame, mouth: MouthShape, pose: Pose) -> None:
        """Draw the whole picture."""


@dataclass(frozen=True, slots=True)
class Instant:
    """One unit of a face's life: all that decides what is seen and heard."""

    index: int = 0  # of the frame, since the face began to live
    line: Spoken | None = None  # what it says
    place: int = 0  # in the line
    cut: int | None = None  # the place at which it was cut off
    born: int = 0  # of all that was asked for, the last that the line belongs to
    pause: int = 0  # units until the repeated line may begin again
    emphasis: float = 0.0

    @property
    def speaks(self) -> bool:
        """Whether there is sound to come that could be cut off."""
        return self.line is not None and self.cut is None and self.place < self.line.units


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face that is ready to be worn: what :meth:`Talker._put_on` of its maker takes."""

    face: Any
    notes: tuple[str, ...] = ()  # what the user should know
    number: int = 0  # of the change


@dataclass(frozen=True, slots=True)
class _Change:
    """Of the face, as long as the units that show it may be given back."""

    new: NewFace
    index: int  # of the first frame
    before: Any  # to be put on again


class Talker(ABC):
    """A source: ``face`` repeats a line with pauses, says what is posted, and lives in between.

    Args:
        face: what is seen.
        media: of the stream.
        repeated: said again and again; None: nothing is.
        pause_units: of rest between two rounds of it.
        utterances: what is posted.
        yields: what is posted ends the repeated line for good; else it comes in its pauses.
        steps: of the diffusion that moves the face; 0: there is none.
    """

    def __init__(
        self,
        face: HasMouth,
        media: MediaFormat,
        repeated: Line | None = None,
        pause_units: int = 0,
        utterances: Utterances | None = None,
        *,
        yields: bool = False,
        steps: int = 0,
    ) -> None:
        self.face = face
        self.repeated = repeated
        self.utterances = utterances
        # Told by who takes the units: those that the encoder has and has not begun to use, and how
        # many of them it has room for.
        self.waiting_units: int | None = None
        self.room_units = 0
        # Who wants to know: an event of the stream, and figures once a second.
        self.tell: Callable[..., None] = lambda _kind, **_facts: None
        self.tell_figures: Callable[[dict[str, Any]], None] = lambda _figures: None
        self.watch = Watch(media.fps, steps)
        self.watch.on_effort = self._effort_changed
        self.watch.on_second = lambda figures: self.tell_figures(figures)
        # From the path of a photo (empty: the drawn presenter) to a face for :meth:`wear`; any
        # thread may ask, one at a time. Raises InferenceError: there is no such face.
        self.make_face: Callable[[str], NewFace] | None = None
        self._wished: SimpleQueue[NewFace] = SimpleQueue()
        self._new_face: NewFace | None = None  # the newest of them
        self._change: _Change | None = None
        self._media = media
        self._pause_units = pause_units
        self._yields = yields
        self._ease = ease_units(media.fps)
        self._next = Instant()
        self._drawn: deque[Instant] = deque(maxlen=RECALLABLE)
        self._obeyed = 0  # the last wish for silence that was seen to
        self._shown: Frame | None = None  # the picture of the unit before, where it was drawn

    def render(self, frame: Frame, samples: Samples) -> int:
        """Fill the next unit in place; returns its mark."""
        now = self._steadied(self._decided(self._next))
        samples[:] = self._heard(now)
        mark = self._mark(now) or self._dressed(now.index)
        self._show(frame, now)
        self._drawn.append(now)
        self._next = self._after(now)
        return mark

    def _show(self, frame: Frame, now: Instant) -> None:
        """Fill the picture: a new one, or the one before it where that would make sound late."""
        repeats = self.watch.repeats(now.index, self.waiting_units, self.room_units)
        before = self._shown if repeats else None
        with self.watch.working(on_a_picture=before is None):
            self._follow(now)
            if before is None:
                self._draw(frame, now)
            else:
                np.copyto(frame, before)
        # Not a copy: an encoder keeps the newest picture until it has another one.
        self._shown = frame
        self.watch.unit_is_over()

    def _follow(self, now: Instant) -> None:  # noqa: B027 - most faces follow from the instant
        """Of a face that moves by itself: see to an instant, whether it is drawn or not."""

    @abstractmethod
    def _draw(self, frame: Frame, now: Instant) -> None:
        """Fill the picture of an instant; after :meth:`go_back` they come again, changed."""

    def wear(self, new: NewFace) -> None:
        """Another face, from the next unit on that has no mark of its own; from any thread.

        Of those that are wished within a second or so only the last may ever be seen.
        """
        self._wished.put(new)

    def begin_with(self, new: NewFace) -> None:
        """The face of the first unit; nobody needs to be told."""
        self._put_on(new.face)

    @abstractmethod
    def _put_on(self, face: Any) -> Any:
        """Draw this face from now on; returns the one before, which may be put on again."""

    @property
    def must_stop(self) -> bool:
        """Whether something is said, or has just been drawn, that is not to be heard any more."""
        if self._hush_below == self._obeyed:
            return False
        return any(self._is_unwanted(each) for each in (*self._drawn, self._next))

    def go_back(self, units: int) -> None:
        """The last units that were drawn will not be shown: what has to stop stops before them."""
        self._obeyed = self._hush_below
        if not units:
            return
        self._shown = None  # it comes not before what is drawn next
        undone = [self._drawn.pop() for _ in range(units)]
        undone.reverse()
        self._next, *later = undone
        self._undressed()
        kept = self._next.line
        for line in {id(each.line): each.line for each in later if each.line}.values():
            if line is not kept and line.number and self.utterances:
                self._give_back(self.utterances, line)

    def close(self) -> None:  # noqa: B027 - most faces hold nothing
        """Give back what the garbage collector does not know."""

    def _effort_changed(self, now: Effort, was: Effort) -> None:
        worse = (now.steps, -now.units_per_picture) < (was.steps, -was.units_per_picture)
        why = "the encoder is overloaded" if self.watch.overloaded else "pictures came late"
        reason = why if worse else "there is room"
        fps = self._media.fps
        self.tell("effort", **now.told(fps), was=was.told(fps), reason=reason)

    def _give_back(self, utterances: Utterances, line: Spoken) -> None:
        if line.number < utterances.hush_below:
            utterances.never_began(line.number)
        else:
            utterances.put_back(line)

    # --- what it looks like ----------------------------------------------------------------------

    def _dressed(self, index: int) -> int:
        """Put on the face that is wished; returns the mark of a unit that begins with it."""
        while not self._wished.empty():
            self._new_face = self._wished.get()
        if self._change is not None and index >= self._change.index + RECALLABLE:
            self._change = None  # and the face before is nobody's any more
        if self._new_face is None or self._change is not None:
            return 0
        new, self._new_face = self._new_face, None
        self._shown = None  # it is of the face before
        self._change = _Change(new, index, self._put_on(new.face))
        return face_mark(new.number)

    def _undressed(self) -> None:
        """Units were given back: if nobody has seen the new face it is put on again, and told."""
        change = self._change
        if change is not None and self._next.index <= change.index:
            self._put_on(change.before)
            self._new_face, self._change = self._new_face or change.new, None

    # --- what happens in a unit ------------------------------------------------------------------

    def _decided(self, now: Instant) -> Instant:
        """What begins or is cut off in this unit."""
        if now.line is None:
            return self._begun(now)
        gives_way = now.line is self.repeated and (
            self._somebody_waits or (self._yields and self._something_waits)
        )
        if now.speaks and (gives_way or self._is_unwanted(now)):
            return replace(now, cut=now.place)
        return now

    def _begun(self, now: Instant) -> Instant:
        line = self.utterances.take() if self.utterances else None
        if line is not None:
            return replace(now, line=line, place=-line.lead, born=line.number)
        if self.repeated is None or now.pause or (self._yields and self._any_was_posted):
            return now
        if self._somebody_waits:
            return now
        return replace(now, line=self.repeated, place=0, born=self._hush_below)

    def _steadied(self, now: Instant) -> Instant:
        """The head follows slow loudness, and never jumps to it."""
        wanted = now.line.emphasised(now.place) if now.line and now.cut is None else 0.0
        most = 1 / (EMPHASIS_SECONDS * self._media.fps)
        return replace(now, emphasis=min(max(wanted, now.emphasis - most), now.emphasis + most))

    def _after(self, now: Instant) -> Instant:
        following = replace(now, index=now.index + 1, pause=max(0, now.pause - 1))
        line = now.line
        if line is None:
            return following
        end = line.units + line.ease if now.cut is None else now.cut + self._ease
        if now.place + 1 < end:
            return replace(following, place=now.place + 1)
        return replace(following, line=None, place=0, cut=None, pause=self._pause_units)

    def _heard(self, now: Instant) -> Samples | int:
        if now.line is None or (now.cut is not None and now.place > now.cut):
            return 0
        samples = now.line.samples(now.place)
        if now.cut is None or isinstance(samples, int):
            return samples
        return faded_out(samples, self._media.audio_rate_hz)

    def _mark(self, now: Instant) -> int:
        """Tell the queue, and by the mark everybody else, how far it is."""
        line, utterances = now.line, self.utterances
        if utterances is None:
            return 0
        left = line.left(now.place) if line and now.cut is None else 0
        is_posted = line is not None and line.number > 0
        utterances.units_left = left if is_posted or not self._yields else 0
        utterances.posted_units_left = left if is_posted else 0
        if line is None:
            return mark_of(0, Moment.FINISHED) if self._ends_a_round() else 0
        moment = _moment(now)
        if moment is None:
            return 0
        if moment is not Moment.STARTED and is_posted:
            utterances.done(line.number)
        if moment is Moment.INTERRUPTED and now.place <= 0:
            if is_posted:
                utterances.never_began(line.number)
            return 0
        return mark_of(line.number, moment)

    def _ends_a_round(self) -> bool:
        """Whether the unit before this silent one was the last of the repeated line."""
        if self.repeated is None or not self._drawn:
            return False
        before = self._drawn[-1]
        return before.line is self.repeated and before.cut is None

    # --- what was asked for ----------------------------------------------------------------------

    def _is_unwanted(self, instant: Instant) -> bool:
        return instant.speaks and instant.born < self._hush_below

    @property
    def _hush_below(self) -> int:
        return self.utterances.hush_below if self.utterances else 0

    @property
    def _something_waits(self) -> bool:
        return self.utterances is not None and self.utterances.waiting

    @property
    def _somebody_waits(self) -> bool:
        """Whether somebody speaks who is not heard yet: that cannot wait for the end of a file."""
        return self.utterances is not None and self.utterances.somebody_waits

    @property
    def _any_was_posted(self) -> bool:
        return self.utterances is not None and self.utterances.any_was_posted


class Presenter(Talker):
    """A talker whose face is drawn from the shapes of mouth and head; see :class:`Talker`."""

    face: Face

    def _put_on(self, face: Face) -> Face:
        before, self.face = self.face, face
        return before

    def _draw(self, frame: Frame, now: Instant) -> None:
        life = pose(now.index, self._media.fps, emphasis=now.emphasis)
        self.face.draw(frame, self._shape(now), life)

    def _shape(self, now: Instant) -> MouthShape:
        if now.line is None:
            return REST_SHAPE
        if now.cut is None:
            return now.line.shape(now.place)
        closed = (now.place - now.cut + 1) / (self._ease + 1)
        return eased(now.line.shape(now.cut - 1), 1 - closed)


def _moment(now: Instant) -> Moment | None:
    assert now.line is not None
    if now.place == now.cut:
        return Moment.INTERRUPTED
    if now.cut is not None:
        return None
    return {0: Moment.STARTED, now.line.units: Moment.FINISHED}.get(now.place)


def mouth_region(source: object) -> Region:
    """Where to measure a talker's mouth: (x, y, w, h) in pixels of its frames.

    Raises:
        TypeError: the source has no mouth that we know of, such as a camera.
    """
    if not isinstance(source, Talker):
        raise TypeError(f"{type(source).__name__} has no known mouth: only a Talker has one")
    return source.face.mouth_region


def mouth_opening(frame: Frame, region: Region) -> int:
    """How far a mouth is open in a picture: the number of dark pixels in its region.

    Works on rendered and on decoded frames alike. A photo may have dark places of its own: compare
    with the value at rest, or correlate, which ignores a constant.
    """
    x, y, width, height = region
    pixels = frame[y : y + height, x : x + width].astype(np.uint16)
    luma = (29 * pixels[..., 0] + 150 * pixels[..., 1] + 77 * pixels[..., 2]) >> 8
    return int((luma < INTERIOR_LUMA).sum())
