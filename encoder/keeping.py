"""What a stream keeps beyond its live window: older segments on disk, and a recording.

Both belong to one life of a stream, from the taking over of what the life before left to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Settings
from encoder.archive import Archive, Limits
from encoder.disk_folder import archive_folder
from encoder.errors import EncoderError
from encoder.plan import StreamPlan
from encoder.recorder import Recorder
from encoder.resume import Resume, msn_by_clock, take_over
from encoder.store import StreamStore
from encoder.takes import open_recorder

# What waits to be recorded when a stream ends has so long; the supervisor kills after 2 s.
RECORDING_END_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """Threads that write to disk; close them."""

    store: StreamStore
    resume: Resume
    archive: Archive | None = None
    recorder: Recorder | None = None

    def remove_leftovers(self) -> None:
        """Delete what the life before left and nobody lists any more, wherever it is."""
        self.store.remove_leftovers()
        if self.archive:
            self.archive.remove_leftovers()

    def close(self) -> None:
        """End the threads. The media stays."""
        if self.recorder:
            self.recorder.close(RECORDING_END_SECONDS)
        if self.archive:
            self.archive.close()

    def delete(self) -> None:
        """Remove the media, the recording excepted."""
        self.store.delete()
        if self.archive:
            self.archive.delete()


def take_up(
    settings: Settings,
    stream: str,
    plan: StreamPlan,
    store: StreamStore,
    renditions: Sequence[str],
    wall_seconds: float,
) -> Keeping:
    """Begin a life of a stream with what the one before left.

    Args:
        settings: of the stream.
        stream: its id.
        plan: its plan.
        store: its files on tmpfs, opened.
        renditions: names of all of them.
        wall_seconds: since 1970, UTC, now: where nothing was left, segments are numbered by it.

    Raises:
        StoreUnwritable: the media root refuses.
        FolderUnusable: there is no folder for what is to be recorded.
    """
    archive = _open_archive(settings, stream, plan, store, renditions)
    try:
        resume = take_over(store, renditions, plan.timing.segment_seconds, archive)
        if not resume.past:
            resume = Resume(msn_by_clock(wall_seconds))
        recorder = open_recorder(settings, stream, plan, store, resume)
    except EncoderError:
        if archive:
            archive.close()
        raise
    return Keeping(store, resume, archive, recorder)


def _open_archive(
    settings: Settings, stream: str, plan: StreamPlan, store: StreamStore, renditions: Sequence[str]
) -> Archive | None:
    if not plan.archived_segments:
        return None
    folder: Path = archive_folder(settings.disk_folder, stream)
    live_segments = plan.listed_segments - plan.archived_segments
    archive = Archive(store.folder, folder, Limits(live_segments, plan.archive_bound_bytes))
    archive.open(renditions)
    return archive
