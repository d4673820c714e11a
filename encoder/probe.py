"""Which encoder works here: trial encodes, and the choice made from them.

An encoder counts only after it has encoded real pictures at the stream's size, with the stream's
own arguments, into something that decodes to those pictures. Being listed by ``ffmpeg -encoders``
proves nothing: an H100 lists h264_nvenc and has no such circuit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ffmpeg as argv_compiler

from encoder.boxes import Sample
from encoder.candidate import Candidate, RateControl
from encoder.candidates import CANDIDATES, candidates_for, video_arguments, video_filter
from encoder.codecs import is_random_access
from encoder.errors import BadBox, EncoderUnavailable, ImpossibleSize
from encoder.ffmpeg import Ffmpeg
from encoder.fragments import FragmentReader, Init
from encoder.reasons import LOG_LEVEL, telling_line
from encoder.trial_cache import Entry, TrialCache, default_directory, driver_identity
from encoder.trial_picture import TrialPictures
from encoder.trial_process import Finished, GaveUp, run_to_end
from logs import event

log = logging.getLogger(__name__)

AUTO = "auto"  # the wish for the first encoder that works
TRIAL_TIMEOUT_SECONDS = 10.0  # a hanging driver must not hang us
TRIAL_FRAMES = 12
TRIAL_GOP_FRAMES = 6  # two GOPs: the second shows that IDR frames come when asked for
TRIAL_CUT_FRAME = 4  # a new scene in the middle of a GOP
MAX_DIFFERENCE = 16.0  # of 255. libx264 stays below 3; grey is at 40, green at 100, black at 127.
_QUIET = ("-hide_banner", "-nostats", "-loglevel", LOG_LEVEL)  # stderr holds reasons only
_ENTRIES = {"h264": "avc1", "hevc": "hvc1", "av1": "av01"}  # as Apple wants them
_SOFTWARE = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
SIZE_LIMITS = (16, 4096)
FPS_LIMITS = (1, 60)


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one trial encode. ``reason`` is empty if it works."""

    name: str
    works: bool
    reason: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that decides a trial's result, but for the driver."""

    ffmpeg: Ffmpeg
    candidate: Candidate
    pictures: TrialPictures
    fps: int

    @property
    def encode_argv(self) -> list[str]:
        """From BGR24 on stdin to fragmented MP4 on stdout, as the live stream does."""
        pictures, fps = self.pictures, self.fps
        # A generous tenth of a bit per pixel: the trial asks "is it the picture?", not "how fine?".
        kbit = max(100, pictures.width * pictures.height * fps // 10_000)
        source = argv_compiler.input(
            "pipe:",
            format="rawvideo",
            pix_fmt="bgr24",
            video_size=(pictures.width, pictures.height),
            framerate=fps,
        )
        output = argv_compiler.output(
            source,
            "pipe:",
            format="mp4",
            movflags="+cmaf+frag_every_frame+frag_discont+skip_trailer",
            fps_mode="passthrough",  # one frame out for each in; a missing one must show
            vf=video_filter(self.candidate),
            **video_arguments(self.candidate, RateControl.constant(kbit), TRIAL_GOP_FRAMES, fps),
        ).global_args(
            "-hide_banner", "-nostats", "-loglevel", LOG_LEVEL, *self.candidate.global_arguments
        )
        return [self.ffmpeg.path, *argv_compiler.get_args(output)]

    @property
    def decode_argv(self) -> list[str]:
        """From that MP4 on stdin to one BGR24 pixel per cell on stdout."""
        # Cells are averaged; full_chroma_int: else two neighbours would share one colour.
        flags = "area+full_chroma_int+accurate_rnd"
        small = f"scale={self.pictures.columns}:{self.pictures.rows}:flags={flags}"
        output = argv_compiler.output(
            argv_compiler.input("pipe:", format="mp4"),
            "pipe:",
            format="rawvideo",
            pix_fmt="bgr24",
            fps_mode="passthrough",
            vf=small,
        ).global_args(*_QUIET)
        return [self.ffmpeg.path, *argv_compiler.get_args(output)]

    def key(self, driver: str) -> str:
        """Names the result in the cache: another flag, size, ffmpeg or driver is another key."""
        facts = [self.ffmpeg.identity, driver, self.encode_argv[1:], self.decode_argv[1:]]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def trial(ffmpeg: Ffmpeg, candidate: Candidate, width: int, height: int, fps: int) -> Trial:
    """Encode a few real pictures and look at the result; the cache is left alone.

    Raises:
        ImpossibleSize: odd, or beyond the limits of a stream.
    """
    return _run(_job(ffmpeg, candidate, width, height, fps), threading.Event())


def trials(
    ffmpeg: Ffmpeg,
    width: int,
    height: int,
    fps: int,
    *,
    codec: str = "h264",
    cache_dir: Path | None = None,
    fresh: bool = False,
) -> list[Trial]:
    """Try every candidate of this platform for a codec, in order of preference.

    Args:
        ffmpeg: the binary.
        width: of the stream.
        height: of the stream.
        fps: of the stream.
        codec: h264, hevc or av1.
        cache_dir: folder of the cached results; None: the user's cache folder.
        fresh: run them all, whatever is cached.

    Raises:
        ImpossibleSize: odd, or beyond the limits of a stream.
    """
    jobs = [_job(ffmpeg, c, width, height, fps) for c in candidates_for(sys.platform, codec)]
    with _Session(jobs, cache_dir, fresh) as session:
        return [session.result(job) for job in jobs]


def choose_encoder(
    ffmpeg: Ffmpeg,
    wanted: str,
    width: int,
    height: int,
    fps: int,
    *,
    codec: str = "h264",
    cache_dir: Path | None = None,
    fresh: bool = False,
) -> Candidate:
    """The encoder to use.

    Args:
        ffmpeg: the binary.
        wanted: "auto" for the first that works, or a name: that one and no other.
        width: of the stream.
        height: of the stream.
        fps: of the stream.
        codec: h264, hevc or av1; a wanted name must be one of its encoders.
        cache_dir: folder of the cached results; None: the user's cache folder.
        fresh: run trials, whatever is cached.

    Raises:
        EncoderUnavailable: the wanted one does not work or does not exist, or none works.
        ImpossibleSize: odd, or beyond the limits of a stream.
    """
    jobs = [_job(ffmpeg, c, width, height, fps) for c in _named(wanted, codec)]
    reasons = {}
    with _Session(jobs, cache_dir, fresh) as session:
        for job in jobs:
            found = session.result(job)
            if found.works:
                event(log, "encoder_chosen", encoder=found.name, wanted=wanted)
                return job.candidate
            reasons[found.name] = found.reason
    raise EncoderUnavailable(wanted, reasons, _remedy(wanted, jobs[0].candidate), codec)


def working_besides(
    ffmpeg: Ffmpeg, chosen: Candidate, width: int, height: int, fps: int
) -> list[Candidate]:
    """The other encoders that work, best first: what could take the place of a broken one."""
    others = [c for c in candidates_for(sys.platform, chosen.codec) if c.name != chosen.name]
    jobs = [_job(ffmpeg, candidate, width, height, fps) for candidate in others]
    with _Session(jobs, None, fresh=False) as session:
        return [job.candidate for job in jobs if session.result(job).works]


def _named(wanted: str, codec: str) -> tuple[Candidate, ...]:
    if wanted == AUTO:
        return candidates_for(sys.platform, codec)
    chosen = tuple(c for c in CANDIDATES if c.name == wanted)
    names = ", ".join(c.name for c in CANDIDATES if c.codec == codec)
    if chosen and chosen[0].codec != codec:
        reason = f"it makes {chosen[0].codec}, video_codec is {codec}"
        raise EncoderUnavailable(wanted, {wanted: reason}, f"choose auto or one of {names}")
    if not chosen:
        raise EncoderUnavailable(wanted, {wanted: "unknown"}, f"choose auto or one of {names}")
    return chosen


def _remedy(wanted: str, candidate: Candidate) -> str:
    if wanted == AUTO:
        return f"use an ffmpeg that has {_SOFTWARE[candidate.codec]}, such as the bundled one"
    return f"it needs {candidate.needs}; `auto` takes the first that works"


def _job(ffmpeg: Ffmpeg, candidate: Candidate, width: int, height: int, fps: int) -> _Job:
    for name, value in (("width", width), ("height", height)):
        low, high = SIZE_LIMITS
        if not low <= value <= high or value % 2:
            near = min(high, max(low, value - value % 2))
            limit = f"an even number from {low} to {high}"  # chroma of 4:2:0 covers two pixels
            raise ImpossibleSize(name, value, limit, f"try {near}")
    if not FPS_LIMITS[0] <= fps <= FPS_LIMITS[1]:
        limit = f"from {FPS_LIMITS[0]} to {FPS_LIMITS[1]}"
        raise ImpossibleSize("fps", fps, limit, "try 25")
    pictures = TrialPictures(width, height, TRIAL_FRAMES, TRIAL_CUT_FRAME)
    return _Job(ffmpeg, candidate, pictures, fps)


class _Session:
    """One round of trials: hardware ones at once in threads, what is cached not at all.

    Absent hardware is told in milliseconds and costs no CPU time, so those trials may overlap;
    a software trial is run when it is asked for, and often nobody asks.
    """

    def __init__(self, jobs: Sequence[_Job], cache_dir: Path | None, fresh: bool) -> None:
        self._jobs = jobs
        self._fresh = fresh
        self._cache = TrialCache(cache_dir or default_directory())
        self._driver = driver_identity()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=len(CANDIDATES))
        self._running: dict[str, Future[Trial]] = {}
        self._new: dict[str, Entry] = {}

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()  # what nobody waited for is killed and leaves no result
        self._pool.shutdown()
        self._cache.put(self._new)

    def result(self, job: _Job) -> Trial:
        """From the cache, or from a trial."""
        if cached := self._cached(job):
            return cached
        if not job.candidate.hardware:
            return self._measure(job)
        if job.candidate.name not in self._running:
            self._start_hardware()
        return self._running[job.candidate.name].result()

    def _start_hardware(self) -> None:
        for job in self._jobs:
            if job.candidate.hardware and not self._cached(job):
                self._running[job.candidate.name] = self._pool.submit(self._measure, job)

    def _cached(self, job: _Job) -> Trial | None:
        entry = None if self._fresh else self._cache.get(job.key(self._driver))
        return Trial(job.candidate.name, **_without_age(entry)) if entry else None

    def _measure(self, job: _Job) -> Trial:
        found = _run(job, self._stop)
        if not self._stop.is_set():
            entry = asdict(found)
            del entry["name"]
            self._new[job.key(self._driver)] = entry
        return found


def _run(job: _Job, stop: threading.Event) -> Trial:
    start = time.perf_counter()
    deadline = time.monotonic() + TRIAL_TIMEOUT_SECONDS
    try:
        reason = _fault(job, stop, deadline)
    except GaveUp as killed:
        said = telling_line(killed.stderr)
        limit = f"no result in {TRIAL_TIMEOUT_SECONDS:g} s, so it was killed"
        reason = f"{limit}; it said: {said}" if said else limit
    except OSError as error:
        reason = f"{job.ffmpeg.path} cannot run: {error.strerror}"
    milliseconds = round((time.perf_counter() - start) * 1000)
    return Trial(job.candidate.name, not reason, reason, milliseconds)


def _fault(job: _Job, stop: threading.Event, deadline: float) -> str:
    """What is wrong with this encoder; empty if nothing is."""
    frames = (job.pictures.frame(n).data.cast("B") for n in range(job.pictures.frames))
    encoded = run_to_end(job.encode_argv, frames, deadline, stop)
    if encoded.returncode:
        return _exit_reason(job, encoded, deadline, stop)
    if fault := stream_fault(encoded.stdout, job.candidate.codec):
        return fault
    decoded = run_to_end(job.decode_argv, [encoded.stdout], deadline, stop)
    if decoded.returncode:
        return f"its output does not decode: {telling_line(decoded.stderr)}"
    return picture_fault(job.pictures, decoded.stdout)


def _exit_reason(job: _Job, encoded: Finished, deadline: float, stop: threading.Event) -> str:
    reason = telling_line(encoded.stderr) or f"ffmpeg exited with {encoded.returncode}"
    if not reason.startswith("Unrecognized option"):
        return reason
    # ffmpeg looks at the options first. Where it lacks the encoder, that is the thing to say.
    argv = [job.ffmpeg.path, "-hide_banner", "-h", f"encoder={job.candidate.name}"]
    asked = run_to_end(argv, [], deadline, stop)
    said = asked.stdout.decode("utf-8", "replace") + asked.stderr  # 9 writes it to stdout
    unknown = (line for line in said.splitlines() if "is not recognized by" in line)
    return next(unknown, reason)


def stream_fault(data: bytes, codec: str = "h264") -> str:
    """What the live stream could not use in a trial's MP4; empty if nothing."""
    reader = FragmentReader(base_ticks=0)
    try:
        items = list(reader.feed(data))
    except BadBox as error:
        return f"its output is no fragmented MP4: {error}"
    samples = [item for item in items if isinstance(item, Sample)]
    entry = next((item.track.codecs for item in items if isinstance(item, Init)), "")
    if len(samples) != TRIAL_FRAMES:
        return f"{TRIAL_FRAMES} frames went in, {len(samples)} came out"
    if entry[:4] != _ENTRIES[codec]:
        return f"its sample entry is {entry[:4]}, not {_ENTRIES[codec]}"
    for number in range(0, TRIAL_FRAMES, TRIAL_GOP_FRAMES):
        if not (samples[number].is_sync and is_random_access(entry, samples[number].data)):
            return f"frame {number} should be an IDR and is not"
    return ""


def picture_fault(pictures: TrialPictures, decoded: bytes) -> str:
    """How the decoded pictures differ from what went in; empty if they are the same."""
    differences = pictures.differences(decoded)
    if len(differences) != pictures.frames:
        return f"{len(differences)} of {pictures.frames} frames decode"
    worst = max(differences)
    if worst > MAX_DIFFERENCE:
        number = differences.index(worst)
        return (
            f"it encodes another picture: frame {number} is off by {worst:.0f} of 255 "
            f"(limit {MAX_DIFFERENCE:g})"
        )
    return ""


def _without_age(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "at"}
