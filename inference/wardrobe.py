"""Another face for an avatar that is live: made beside the stream, put on between two pictures.

What was put on last is kept as a file, a link to the picture: a worker that is started anew goes on
with it. The file is empty for the drawn presenter.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

from inference.errors import ImageRejected, InferenceError
from inference.presenter import NewFace, Talker
from inference.utterances import Utterances
from logs import event

log = logging.getLogger(__name__)


class Wardrobe:
    """The faces of one talker.

    Args:
        talker: who wears them.
        utterances: of the same stream; they number the changes.
        worn: the file of what was put on last.
    """

    def __init__(self, talker: Talker, utterances: Utterances, worn: Path) -> None:
        self._talker = talker
        self._utterances = utterances
        self._worn = worn
        self._changing = threading.Lock()  # memory for one large photo at a time

    def change(self, image: str) -> NewFace:
        """Make a face and have it put on; picture and sound go on meanwhile.

        Args:
            image: path of a photo; empty: the drawn presenter.

        Raises:
            InferenceError: there is no such face here; the one before stays.
        """
        with self._changing:
            new = replace(self._made(image), number=self._utterances.number())
            self._keep(image)
            self._talker.wear(new)
        event(log, "face_wished", image=Path(image).name or "presenter", notes=new.notes)
        return new

    def begin(self) -> None:
        """Before the first picture: put on what a worker before this one wore last."""
        if not self._worn.exists():
            return
        try:
            self._talker.begin_with(
                self._made(str(self._worn) if self._worn.stat().st_size else "")
            )
        except InferenceError as error:
            event(log, "face_lost", level=logging.WARNING, reason=error)

    def _made(self, image: str) -> NewFace:
        assert self._talker.make_face is not None
        return self._talker.make_face(image)

    def _keep(self, image: str) -> None:
        unfinished = self._worn.with_name(f".partial-{self._worn.name}")
        try:
            unfinished.unlink(missing_ok=True)
            if image:
                os.link(image, unfinished)
            else:
                unfinished.touch()
            unfinished.rename(self._worn)
            unfinished.unlink(missing_ok=True)  # two links to one file are not renamed
        except OSError as error:
            problem = f"cannot be kept: {error.strerror}"
            raise ImageRejected(Path(image), problem, "upload it again") from error
