"""A worker: one source, drawn straight into the encoder's memory until told to stop.

It has no clock: it blocks while the encoder holds every slot. It outlives its encoder (and tries
again). As a process of its own it never outlives its parent: standard input at its end means that
the parent is gone. Others share a process: see :mod:`inference.sessions`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import config
import logs
import rawmedia
from inference import lifeline
from inference.devices import Outside
from inference.engines.errors import NetworkFailed
from inference.errors import InferenceError
from inference.heart import Heart
from inference.presenter import Talker
from inference.said import Said
from inference.source import Source, look_ahead_seconds, make_source
from inference.speech_socket import SpeechSocket
from inference.utterances import Utterances
from inference.wardrobe import Wardrobe
from journal import SUFFIX, Journal
from logs import event
from rawmedia import MediaFormat

if TYPE_CHECKING:
    from inference.engines.protocol import Engine

# Who waits for a new stream waits for this too.
SOCKET_POLL_SECONDS = 0.01
BACKOFF_SECONDS = (0.1, 2.0)
REFUSED_SECONDS = 5.0
BAD_INPUT = 2

log = logging.getLogger(__name__)


class BadJob(InferenceError):
    """The line on standard input is not a job."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the parent asks for: a stream, and the socket of its encoder."""

    socket: Path
    id: str
    beats: bool = False  # stdout is a pipe to the parent, which watches it
    settings: Mapping[str, str] | None = None  # as variables of an environment; None: our own

    @classmethod
    def parse(cls, line: bytes) -> Job:
        """Read the one line of JSON.

        Raises:
            BadJob: it is something else.
        """
        try:
            message = json.loads(line)
            socket, name = Path(message["socket"]), str(message["id"])
            return cls(socket, name, bool(message.get("beats", False)), message.get("settings"))
        except (ValueError, TypeError, KeyError) as error:
            wanted = '{"socket": PATH, "id": NAME, "settings": {VARIABLE: TEXT}}'
            raise BadJob(f"standard input is {line[:80]!r}: give one line {wanted}") from error

    @property
    def speech_socket(self) -> Path:
        """Where web processes say what shall be said."""
        return self.socket.with_suffix(rawmedia.SPEECH_SOCKET)

    @property
    def speech_folder(self) -> Path:
        """Where what waits to be said is kept."""
        return self.socket.with_suffix(rawmedia.SPEECH_FOLDER)

    @property
    def worn(self) -> Path:
        """Where the face is kept that was put on last."""
        return self.socket.with_suffix(rawmedia.WORN_FACE)

    @property
    def journal(self) -> Journal:
        """Of the stream's events."""
        return Journal(self.socket.with_suffix(SUFFIX))

    def place(self) -> dict[str, Any]:
        """About where the stream is, as its encoder process tells; nothing while it does not."""
        figures = self._encoder_figures()
        return {key: figures[key] for key in ("msn", "media_seconds") if key in figures}

    def is_overloaded(self) -> bool:
        """Whether its encoder gives up units, as that process tells."""
        return bool(self._encoder_figures().get("overloaded"))

    def _encoder_figures(self) -> dict[str, Any]:
        try:
            figures: dict[str, Any] = json.loads(self.socket.with_suffix(".json").read_text())
        except (OSError, ValueError):
            return {}
        return figures

    def tell_figures(self, figures: dict[str, Any]) -> None:
        """Put them where web processes look; a full disk is no reason to stop."""
        path = self.socket.with_suffix(rawmedia.SOURCE_FIGURES)
        unfinished = path.with_name(f".partial-{path.name}")
        with contextlib.suppress(OSError):
            unfinished.write_text(json.dumps(figures))
            unfinished.rename(path)


@dataclass(frozen=True, slots=True)
class Told:
    """Where a source's events go: to the journal of its stream, and to the log."""

    job: Job
    journal: Journal

    def tell(self, kind: str, **facts: Any) -> None:
        """Add an event; a full disk is no reason to stop."""
        event(log, "source_told", what=kind, **facts)
        with contextlib.suppress(OSError):  # it is kept, and told later
            self.journal.tell(kind, **facts, **self.job.place())

    def tell_of_face(self, figures: dict[str, Any]) -> None:
        """What a talking head tells of its effort."""
        self.job.tell_figures({"face": figures})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker ended: with a status as a process has it, and why, as one line for people."""

    status: int
    words: str = ""
    engine_failed: bool = False  # a network did not run

    @classmethod
    def of(cls, status: int, error: Exception) -> Ended:
        """By an error, of which nothing is kept: its traceback would hold the worker's memory."""
        return cls(status, f"lipstream: {error}", isinstance(error, NetworkFailed))


class Stop:
    """The wish that a worker ends; any thread may have it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wished = threading.Event()
        self._producer: rawmedia.Producer | None = None

    @property
    def is_wished(self) -> bool:
        """Whether it shall end."""
        return self._wished.is_set()

    def wish(self) -> None:
        """It shall end now; who waits for the encoder waits no longer."""
        with self._lock:
            self._wished.set()
            if self._producer is not None:
                self._producer.hang_up()

    def wait(self, seconds: float) -> None:
        """That long, or until it is wished."""
        self._wished.wait(seconds)

    @contextlib.contextmanager
    def ends(self, producer: rawmedia.Producer) -> Iterator[None]:
        """Around the use of a producer: the wish hangs it up."""
        with self._lock:
            self._producer = producer
            if self.is_wished:
                producer.hang_up()
        try:
            yield
        finally:
            with self._lock:
                self._producer = None


class Worker:
    """What makes the media of one stream.

    Args:
        settings: of the stream.
        job: what the parent asks for.
        engine: of networks that others use as well; None: a talking head loads its own.
    """

    def __init__(
        self,
        settings: config.Settings,
        job: Job,
        engine: Callable[[config.Settings], Engine] | None = None,
    ) -> None:
        self._settings = settings
        self._told = Told(job, job.journal)
        self._engine = engine

    def run(self, stop: Stop, heart: Heart, ready: Callable[[], None]) -> Ended:
        """From the making of the source until it is to stop, or cannot go on.

        Args:
            stop: told from elsewhere.
            heart: watches over each picture.
            ready: called when the source is there.
        """
        with contextlib.ExitStack() as closing:
            try:
                media = MediaFormat(**self._settings.media_fields)
                source = self._begun(media, closing)
            except (config.ConfigError, rawmedia.FormatError, InferenceError) as error:
                return Ended.of(BAD_INPUT, error)
            ready()
            try:
                _serve(source, self._told, media, heart, stop)
            except InferenceError as error:
                return Ended.of(1, error)
        return Ended(0)

    def _begun(self, media: MediaFormat, closing: contextlib.ExitStack) -> Source:
        """The source, and what listens for it."""
        settings, told, job = self._settings, self._told, self._told.job
        utterances = _utterances(settings, media, job, told.journal)
        outside = Outside(told.tell, job.tell_figures)
        source = make_source(
            settings, media, utterances=utterances, outside=outside, engine=self._engine
        )
        closing.callback(source.close)
        if isinstance(source, Talker):
            source.tell, source.tell_figures = told.tell, told.tell_of_face
            source.watch.ask_overloaded = job.is_overloaded
        wardrobe = _wardrobe(source, utterances, job)
        speech = SpeechSocket(job.speech_socket, utterances, settings.max_audio_seconds, wardrobe)
        speech.start()
        closing.callback(speech.close)
        event(log, "source_ready")
        return source


def main() -> int:
    """Run until the parent is gone or SIGTERM comes; the value is the exit status."""
    line = _first_line()
    if not line:
        return 0
    try:
        job = Job.parse(line)
        settings = config.load(environ=job.settings)
        logs.configure(settings.log_format)
    except (config.ConfigError, BadJob) as error:
        return _told(Ended.of(BAD_INPUT, error))
    logs.bind(stream=job.id)
    lifeline.end_with(sys.stdin.fileno())
    keep_to_one_core()
    heart = Heart()

    def ready() -> None:
        if job.beats:
            heart.start()

    return _told(Worker(settings, job).run(Stop(), heart, ready))


def _first_line() -> bytes:
    """What to do; while nobody says it, what most sources need is loaded too."""
    if not select.select([sys.stdin], [], [], 0)[0]:
        from inference import character, presenter, sample, testcard  # noqa: F401
    return sys.stdin.buffer.readline()


def _told(ended: Ended) -> int:
    if ended.words:
        sys.stderr.write(f"{ended.words}\n")
    return ended.status


def _utterances(
    settings: config.Settings, media: MediaFormat, job: Job, journal: Journal
) -> Utterances | None:
    """None for a source that has a sound of its own: only an avatar can be spoken through."""
    if settings.source != "avatar":
        return None
    limit = settings.speech_queue_seconds
    jitter = max(settings.live_jitter_ms / 1000, look_ahead_seconds(settings, media))
    return Utterances(media, job.speech_folder, limit, journal, jitter)


def _wardrobe(source: Source, utterances: Utterances | None, job: Job) -> Wardrobe | None:
    """With the source in the face that it wore before; None: it is no face."""
    if not isinstance(source, Talker) or utterances is None:
        return None
    wardrobe = Wardrobe(source, utterances, job.worn)
    wardrobe.begin()
    return wardrobe


def keep_to_one_core() -> None:
    """The encoder needs the other cores more: OpenCV would take them all for each small warp."""
    import cv2  # here, after the settings are checked: a wrong one is told at once

    cv2.setNumThreads(1)


def _serve(source: Source, told: Told, media: MediaFormat, heart: Heart, stop: Stop) -> None:
    """Feed one encoder after the other until it is to stop."""
    wait, said = BACKOFF_SECONDS[0], Said()
    while not stop.is_wished:
        if not told.job.socket.exists():
            stop.wait(SOCKET_POLL_SECONDS)
            continue
        try:
            sent = _serve_once(source, told, media, heart, said, stop)
        except rawmedia.Refused as error:
            event(log, "encoder_refused", level=logging.WARNING, reason=error)
            stop.wait(REFUSED_SECONDS)
            continue
        wait = BACKOFF_SECONDS[0] if sent else min(2 * wait, BACKOFF_SECONDS[1])
        stop.wait(wait)


def _serve_once(
    source: Source, told: Told, media: MediaFormat, heart: Heart, said: Said, stop: Stop
) -> int:
    """Feed one encoder until it hangs up; the value is the number of units it took."""
    sent = 0
    try:
        with rawmedia.connect(told.job.socket, media) as producer, stop.ends(producer):
            event(log, "encoder_connected")
            said.connected()
            while True:
                producer.wait()
                if isinstance(source, Talker):
                    if source.must_stop:
                        recalled = producer.recall()
                        source.go_back(recalled)
                        said.taken_back(recalled)
                    source.waiting_units, source.room_units = producer.waiting(), producer.room
                with producer.unit() as (frame, samples), heart.working():
                    producer.mark(said.drawn(source.render(frame, samples)))
                sent += 1
                told.journal.retry()
    except rawmedia.Disconnected as error:
        if not stop.is_wished:
            event(log, "encoder_lost", level=logging.WARNING, units=sent, reason=error)
    return sent
