"""All of it together: choose, follow picture and sound, decode, show, count."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client.errors import CannotCheck, CannotWatch
from client.fetch import Fetch, split
from client.observe import first_answer
from client.reader import is_multivariant, read_multivariant
from client.watching.choice import HIGHEST, Choice, choose
from client.watching.figures import Figures, Spread, frames_per_second
from client.watching.follow import Block, Counts, Follower
from client.watching.recorder import Recorder, check_file
from client.watching.screen import Picture, Screen
from client.watching.track import Track, make_folder
from encoder.ffmpeg import Ffmpeg

_PROGRESS_SECONDS = 0.5
_RETRY_SECONDS = 0.5
_TOTALS = ("failures", "reconnects", "jumps", "lost", "gaps")


@dataclass(frozen=True, slots=True)
class Wish:
    """What to watch and how.

    Attributes:
        seconds: how long, from the first picture on; 0: until it ends.
        timeout_seconds: so long without a picture is the end of it.
        rung: ``highest``, ``lowest`` or a RESOLUTION.
        frames_folder: where each decoded picture is saved as a JPEG; None: nowhere.
        record_file: MP4 to keep what was fetched in; None: none.
    """

    url: str
    seconds: float = 20.0
    timeout_seconds: float = 15.0
    rung: str = HIGHEST
    frames_folder: Path | None = None
    record_file: Path | None = None


class Player:
    """Plays one stream, once.

    Args:
        wish: what to watch.
        ffmpeg: the binary.
        fetch: asks for one file.
        tell: is told how it goes, now and then.
    """

    def __init__(
        self, wish: Wish, ffmpeg: Ffmpeg, fetch: Fetch, tell: Callable[[Player], None]
    ) -> None:
        self.screen = Screen()
        self.counts: list[Counts] = []
        self.began = 0.0
        self.recorder: Recorder | None = None
        self._wish = wish
        self._ffmpeg = ffmpeg
        self._fetch = fetch
        self._tell = tell
        self._tracks: list[Track] = []
        self._followers: list[Follower] = []

    @property
    def total_bytes(self) -> int:
        """Of all bodies that came."""
        return sum(counts.bytes for counts in self.counts)

    def play(self) -> Figures:
        """Watch, until the wish is fulfilled, the stream ends, or Ctrl-C.

        Raises:
            CannotWatch: not one picture was seen.
            CannotKeep: there is no place for the recording or the pictures.
        """
        self._prepare()
        self.began = time.monotonic()
        choice = self._first_choice()
        if self._wish.record_file is not None:
            version = self._ffmpeg.major, self._ffmpeg.minor
            tracks = 2 if choice.sound_url else 1
            path = self._wish.record_file
            self.recorder = Recorder(self._ffmpeg.path, version, path, tracks)
        self._add(choice, "url", self.screen.put, self.screen.finish, self._wish.frames_folder)
        if choice.sound_url:
            self._add(choice, "sound_url", lambda _picture: None, lambda: None, None)
        try:
            for follower in self._followers:
                follower.start()
            self._show()
        except KeyboardInterrupt:
            pass  # the figures of what was seen are what is wanted
        finally:
            until = time.monotonic()
            self._stop()
        return self._figures(choice, until)

    def _prepare(self) -> None:
        if self._wish.record_file is not None:
            check_file(self._wish.record_file)
        if self._wish.frames_folder is not None:
            make_folder(self._wish.frames_folder)

    def _add(
        self,
        choice: Choice,
        which: str,
        show: Callable[[Picture], None],
        end: Callable[[], None],
        folder: Path | None,
    ) -> None:
        def finish() -> None:
            track.finish()
            end()

        def take(block: Block) -> bool:
            if self.recorder is not None:
                self.recorder.take(number, block)
            return track.take(block)

        number = len(self._tracks)
        track = Track(self._ffmpeg.path, show, folder)
        find = self._addresses(choice, which)
        follower = Follower(find, self._fetch, take, finish, lambda: self.screen.is_full)
        self._tracks.append(track)
        self._followers.append(follower)
        self.counts.append(follower.counts)

    def _stop(self) -> None:
        for follower in self._followers:
            follower.stop()
        for track in self._tracks:
            track.stop()
        if self.recorder is not None:
            self.recorder.finish()

    # --- which ----------------------------------------------------------------------------------

    def _first_choice(self) -> Choice:
        """Ask until it answers: a service that only just starts is worth some seconds."""
        try:
            split(self._wish.url)
            while True:
                try:
                    return self._choose()
                except CannotCheck as error:
                    left = self.began + self._wish.timeout_seconds - time.monotonic()
                    if left <= 0 or error.is_lasting:
                        raise
                    time.sleep(min(_RETRY_SECONDS, left))
        except CannotCheck as error:
            raise CannotWatch(error.url, error.reason) from error

    def _choose(self) -> Choice:
        answer = first_answer(self._wish.url, self._fetch)
        found = read_multivariant(answer.body) if is_multivariant(answer.body) else None
        return choose(answer.url, found, self._wish.rung)

    def _addresses(self, choice: Choice, which: str) -> Callable[[], str | None]:
        """Finds a media playlist: as chosen at first, later as it is named by then."""
        known: list[str] = [getattr(choice, which)]

        def find() -> str | None:
            if known:
                return known.pop()
            try:
                found: str | None = getattr(self._choose(), which)
            except (CannotCheck, CannotWatch):
                return None
            return found

        return find

    # --- how ------------------------------------------------------------------------------------

    def _show(self) -> None:
        seen = self.screen.seen
        while not self.screen.is_over:
            now = time.monotonic()
            newest = seen.last_at if seen.shown else self.began
            end = math.inf
            if seen.first_at is not None and self._wish.seconds:
                end = seen.first_at + self._wish.seconds
            if now >= end or now - newest > self._wish.timeout_seconds:
                return
            if not seen.shown and any(each.is_encrypted for each in self._followers):
                return
            self.screen.show(min(end, now + _PROGRESS_SECONDS))
            self._tell(self)

    def _figures(self, choice: Choice, until: float) -> Figures:
        seen, clock = self.screen.seen, self.screen.clock
        if seen.first_at is None:
            raise CannotWatch(self._wish.url, self._reason())
        if not self.screen.is_over:
            clock.end(until)
        picture, *sound = (track.output for track in self._tracks)
        totals = {name: sum(getattr(each, name) for each in self.counts) for name in _TOTALS}
        return Figures(
            url=self._wish.url,
            rendition=choice.told,
            has_sound=choice.sound_url is not None or picture.sound_seconds > 0,
            seconds=until - self.began,
            first_frame_seconds=seen.first_at - self.began,
            pictures_shown=seen.shown,
            pictures_decoded=picture.pictures,
            fps=frames_per_second(seen.shown, seen.first_at, until),
            intervals_ms=Spread.of([1000 * each for each in seen.intervals]),
            stalls=clock.stalls,
            stalled_seconds=clock.stalled_seconds,
            latency_seconds=Spread.of(seen.latencies),
            sound_seconds=float(sum(each.sound_seconds for each in (picture, *sound))),
            total_bytes=self.total_bytes,
            requests=sum(each.requests for each in self.counts),
            discontinuities=self.counts[0].discontinuities,
            decoder_errors=sum(each.errors for each in (picture, *sound)),
            ended=self.screen.is_over,
            last_error=next((each.last_error for each in self.counts if each.last_error), ""),
            **totals,
        )

    def _reason(self) -> str:
        """Why there was no picture."""
        if any(each.is_encrypted for each in self._followers):
            return "it is encrypted (EXT-X-KEY), which is not decoded here"
        if any(track.output.sound_seconds for track in self._tracks):
            return "it has sound, but no picture"
        complaints = [line for track in self._tracks for line in track.output.complaints]
        errors = [counts.last_error for counts in self.counts if counts.last_error]
        told = [*complaints[-1:], *errors[:1]] or ["nothing that could be decoded came"]
        return f"no picture in {time.monotonic() - self.began:.1f} s: {'; '.join(told)}"
