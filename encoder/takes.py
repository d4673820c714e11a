"""Which recording a stream's process writes: a new one, or that of the process it follows."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from config import Settings
from encoder.disk_folder import require_writable
from encoder.errors import FolderUnusable
from encoder.plan import StreamPlan
from encoder.recorder import Recorder, Take
from encoder.resume import Resume
from encoder.store import StreamStore

# Beside the media; no URL has such a name.
_NOTE = ".recording.json"


def check_record_folder(settings: Settings) -> None:
    """See that what is to be recorded can be written.

    Raises:
        FolderUnusable: it cannot.
    """
    if settings.record:
        require_writable("record_folder", _folder(settings))


def open_recorder(
    settings: Settings, stream: str, plan: StreamPlan, store: StreamStore, resume: Resume
) -> Recorder | None:
    """The recorder of a stream, started; None where nothing is to be recorded.

    Args:
        settings: what to record, and where.
        stream: its id.
        plan: of the stream.
        store: of the stream, opened.
        resume: what the process before left.

    Raises:
        FolderUnusable: no folder is given.
    """
    if not settings.record:
        return None
    started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    take = Take(settings.record, str(_folder(settings)), f"{stream}-{started}")
    earlier = _read(store.folder / _NOTE) if resume.past else None
    take = earlier or take
    store.publish(_NOTE, json.dumps(asdict(take)).encode())
    recorder = Recorder(take.writer(plan.timing.target_duration))
    if earlier:
        past = {name: each.segments for name, each in resume.past.items()}
        recorder.resume(past, store.folder)
    recorder.start()
    return recorder


def _folder(settings: Settings) -> Path:
    if not settings.record_folder:
        raise FolderUnusable("record_folder", Path(), f"record is {settings.record}, it is empty")
    return Path(settings.record_folder).resolve()


def _read(path: Path) -> Take | None:
    try:
        return Take(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
