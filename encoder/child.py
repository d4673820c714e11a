"""One ffmpeg child: its pipes, its stderr, and an end that always reaps it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence

from encoder.arguments import Pipes
from encoder.candidate import ENVIRONMENT
from encoder.errors import FfmpegMissing, OutOfResources
from encoder.pipes import PipeReader, PipeWriter, widen
from logs import event

# Enough that the cause is still there when each output has complained of it in its turn.
STDERR_LINES_KEPT = 40
# Stop ladder: end of input, SIGTERM, SIGKILL.
STOP_STEP_SECONDS = 0.7

log = logging.getLogger(__name__)


class EncoderChild:
    """A running ffmpeg. Build it with :meth:`start`; end it with :meth:`stop`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        argv: Sequence[str],
        video: PipeWriter,
        audio: PipeWriter,
        readers: Sequence[PipeReader],
    ) -> None:
        self.argv = list(argv)
        self.video = video
        self.audio = audio
        self.stderr_tail: deque[str] = deque(maxlen=STDERR_LINES_KEPT)
        self._process = process
        self._readers = readers
        self._stopping = False
        self._stderr_task = asyncio.ensure_future(self._drain_stderr())

    @classmethod
    async def start(
        cls,
        build_argv: Callable[[Pipes], list[str]],
        *,
        frame_bytes: int,
        on_idle: Callable[[], None],
        on_video: Sequence[Callable[[bytes], None]],
        on_audio: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> EncoderChild:
        """Start ffmpeg on fresh pipes.

        Args:
            build_argv: makes the argv from the child's descriptors.
            frame_bytes: size of a raw frame, for the width of its pipe.
            on_idle: the video pipe has taken everything.
            on_video: take the bytes of each video rendition.
            on_audio: takes the bytes of the audio rendition.
            on_end: called once for each output that ends.

        Raises:
            FfmpegMissing: it cannot be started, or not any more.
            OutOfResources: there is no descriptor or process left for it.
        """
        loop = asyncio.get_running_loop()
        (video_in, to_video), (audio_in, to_audio), *outputs = _pipes(3 + len(on_video))
        # An output is (ours to read, theirs to write).
        widen(to_video, frame_bytes)
        *video_out, audio_out = (theirs for _, theirs in outputs)
        argv = build_argv(Pipes(video_in, audio_in, tuple(video_out), audio_out))
        inherited = (video_in, audio_in, *video_out, audio_out)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=inherited,
                env=os.environ | ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is the supervisor's to hear
            )
        except OSError as error:
            for fd in (to_video, to_audio, *(ours for ours, _ in outputs)):
                os.close(fd)
            if OutOfResources.means(error):
                raise OutOfResources.of("start ffmpeg", error) from error
            raise FfmpegMissing(argv[0], error.strerror or str(error)) from error
        finally:
            for fd in inherited:
                os.close(fd)
        return cls(
            process,
            argv,
            PipeWriter(loop, to_video, on_idle),
            PipeWriter(loop, to_audio, on_idle),
            [
                PipeReader(loop, ours, take, on_end)
                for (ours, _), take in zip(outputs, (*on_video, on_audio), strict=True)
            ],
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def stop(self, *, drain: bool) -> int:
        """End the child and reap it; returns its exit status.

        Args:
            drain: let it finish what it has taken (end of input first), else SIGKILL at once.
        """
        self._stopping = True
        self.video.close()
        self.audio.close()
        steps = (None, self._process.terminate, self._kill)
        for step in steps if drain else steps[2:]:
            if step is not None:
                with contextlib.suppress(ProcessLookupError):
                    step()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_STEP_SECONDS)
                break
        status = await self._process.wait()
        # What it started in its turn (a wrapper's ffmpeg) would hold its pipes open.
        with contextlib.suppress(ProcessLookupError):
            self._kill()
        await self._stderr_task
        if not drain:
            for reader in self._readers:
                reader.close()
        return status

    def _kill(self) -> None:
        """Its whole session; a stopped process dies of this too."""
        os.killpg(self._process.pid, signal.SIGKILL)

    async def _drain_stderr(self) -> None:
        """Always: an undrained pipe stops ffmpeg when it is full."""
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line beyond the reader's limit; drop it, go on
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").strip()
            self.stderr_tail.append(text)
            if not self._stopping:  # what it says of an input that was cut off is no news
                event(log, "ffmpeg_says", line=text)


def _pipes(count: int) -> list[tuple[int, int]]:
    """All of them, or none."""
    pipes: list[tuple[int, int]] = []
    try:
        while len(pipes) < count:
            pipes.append(os.pipe())
    except OSError as error:
        for fd in (fd for pipe in pipes for fd in pipe):
            os.close(fd)
        raise OutOfResources.of("open a pipe to ffmpeg", error) from error
    return pipes
