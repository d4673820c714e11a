"""One rendition's way from media to frames: a decoder for each stretch, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from client.errors import CannotKeep
from client.watching.decoder import Decoded, Decoder
from client.watching.follow import Block
from client.watching.screen import Picture

PICTURE_NAME = "frame-%06d.jpg"
_TS_SYNC_BYTE = 0x47  # every MPEG-TS packet begins with it


@dataclass(slots=True)
class Output:
    """What was decoded."""

    pictures: int = 0
    sound_seconds: Fraction = Fraction()
    errors: int = 0
    complaints: list[str] = field(default_factory=list)


class Track:
    """Takes the blocks of one rendition.

    Args:
        ffmpeg: path of the binary.
        show: takes each picture that is to be shown.
        folder: where pictures are saved; None: nowhere.
    """

    def __init__(
        self, ffmpeg: str, show: Callable[[Picture], None], folder: Path | None = None
    ) -> None:
        self.output = Output()
        self._ffmpeg = ffmpeg
        self._show = show
        self._folder = folder
        self._decoder: Decoder | None = None
        self._stretch = -1
        self._is_stopped = False

    def take(self, block: Block) -> bool:
        """Decode a block; False: it cannot be, a new beginning is needed."""
        if self._is_stopped:
            return False
        if block.begins or self._decoder is None:
            self.finish()
            self._begin(block)
        assert self._decoder is not None
        return self._decoder.feed(block.data)

    def finish(self) -> None:
        """Decode what was taken to its end."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.finish()
            self._keep_complaints(decoder)

    def stop(self) -> None:
        """End at once; whatever comes later is left."""
        self._is_stopped = True
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.kill()
            self._keep_complaints(decoder)

    def _keep_complaints(self, decoder: Decoder) -> None:
        self.output.errors += decoder.errors
        self.output.complaints = list(decoder.complaints) or self.output.complaints

    def _begin(self, block: Block) -> None:
        self._stretch += 1
        stretch = _Stretch(self._stretch, block, self.output, self._show)
        saving = None
        if self._folder is not None:
            saving = self._folder / PICTURE_NAME, self.output.pictures + 1
        self._decoder = Decoder(self._ffmpeg, demuxer_of(block), stretch.take, saving)
        self._decoder.start()
        if block.init:
            self._decoder.feed(block.init)


class _Stretch:
    """Gives the frames of one decoder their place in time."""

    def __init__(
        self, number: int, block: Block, output: Output, show: Callable[[Picture], None]
    ) -> None:
        self._number = number
        self._block = block
        self._output = output
        self._show = show
        self._zero: Fraction | None = None

    def take(self, frame: Decoded) -> None:
        if not frame.is_video:
            self._output.sound_seconds += frame.duration_seconds
            return
        self._output.pictures += 1
        if self._zero is None:
            self._zero = frame.seconds
        seconds = float(frame.seconds - self._zero)
        if seconds < self._block.skip_seconds:
            return  # decoded since the one to begin with needs it
        wall = self._block.piece.wall
        self._show(
            Picture(
                stretch=self._number,
                seconds=seconds,
                duration_seconds=float(frame.duration_seconds),
                at=frame.at,
                wall=None if wall is None else float(wall) + seconds,
                missing_seconds=self._block.missing_seconds,
            )
        )


def demuxer_of(block: Block) -> str:
    """ffmpeg's name for the container of a block."""
    if block.init:
        return "mov"
    return "mpegts" if block.data[:1] == bytes([_TS_SYNC_BYTE]) else "aac"


def make_folder(path: Path) -> None:
    """Make the folder for pictures.

    Raises:
        CannotKeep: it cannot be made, or has something in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        is_empty = next(path.iterdir(), None) is None
    except OSError as error:
        raise CannotKeep(path, error.strerror or str(error)) from error
    if not is_empty:
        raise CannotKeep(path, "the folder is not empty; give another one")
