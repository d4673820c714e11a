"""The built-in sample as a line to say: decoded and heard through once, and kept for later."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inference.kept import Array, Shelf, cache_folder, checked, code, key_of_files
from inference.line import Line, emphasis
from inference.mouth import Curve, MouthTrack, mouth_track
from inference.speech import BUILT_IN_SAMPLE, Clip, load_clip
from rawmedia import MediaFormat

# What decides what is made of the sample.
SOURCES = ("line", "mouth", "sample", "speech")
# 3 MB each at 48 kHz.
MOST_KEPT, MOST_KEPT_BYTES = 8, 64_000_000


def repeated_line(path: Path, media: MediaFormat, max_seconds: int) -> Line:
    """A recording to be said again and again.

    Raises:
        AudioRejected: not a sound file, empty, too long, or with NaN or infinite samples.
    """
    clip = load_clip(path, media, max_seconds)
    track = mouth_track(clip.samples, media.audio_rate_hz, media.samples_per_unit)
    return _line(clip, track, emphasis(track.open, media.fps))


def sample_line(media: MediaFormat, max_seconds: int, shelf: Shelf | None = None) -> Line:
    """The built-in sample, as it was kept or as it is made now.

    Args:
        media: of the stream.
        max_seconds: the longest that may be said.
        shelf: None: the user's.

    Raises:
        AudioRejected: it is longer than that.
    """
    if shelf is None:
        shelf = Shelf(cache_folder("samples"), MOST_KEPT, MOST_KEPT_BYTES)
    made_for = (media.fps, media.audio_rate_hz, media.audio_channels, max_seconds)
    return shelf.kept_or_made(
        key_of_files([*code(*SOURCES), BUILT_IN_SAMPLE], np.__version__, repr(made_for)),
        lambda arrays: _restored(arrays, media),
        lambda: repeated_line(BUILT_IN_SAMPLE, media, max_seconds),
        _arrays,
    )


def _line(clip: Clip, track: MouthTrack, loudness: Curve) -> Line:
    # Its ends are its own: a round may follow the one before without a pause.
    return Line(clip, track, loudness, ease=0)


def _arrays(of: Line) -> dict[str, Array]:
    track = of.track
    curves = {"open": track.open, "wide": track.wide, "round": track.round}
    return {"samples": of.clip.samples, "emphasis": of.emphasis, **curves}


def _restored(arrays: dict[str, Array], media: MediaFormat) -> Line:
    units = len(arrays["open"])
    shape = (units * media.samples_per_unit, media.audio_channels)
    clip = Clip(checked(arrays["samples"], np.int16, shape), units)

    def curve(name: str) -> Curve:
        return checked(arrays[name], np.float64, (units,))

    track = MouthTrack(curve("open"), curve("wide"), curve("round"))
    return _line(clip, track, curve("emphasis"))
