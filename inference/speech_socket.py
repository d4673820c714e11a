"""How web processes reach a face: one line of JSON each way, over a socket beside the encoder's.

::

    {"say": PATH, "interrupt": false, "facts": {}}  the file is ours now; its event has the facts
    {"hush": true}                                  nothing more of what was asked for
    {"ask": true}                                   how much waits
    {"face": PATH}                                  the face it has from now on; "": the presenter
    {"live": RATE, "interrupt": false}              somebody speaks: :mod:`inference.live_link`

The answer has ``ok``; where it is false, ``refused`` says what kind of refusal ``error`` is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference import live_link
from inference.errors import FileRejected, InferenceError, NoFaceFound
from inference.utterances import QueueFull, TooLong, Utterances, name_of
from inference.wardrobe import Wardrobe
from journal import change_name
from logs import carries, event

# Reading a line; what is asked for may take longer.
READ_SECONDS = 3.0
LONGEST_LINE_BYTES = 64 * 1024
# Not accepted yet. Whoever is has a thread: a wish for silence waits for no sound that is decoded,
# and threads of web processes, of which there is a number, are all that connects here.
BACKLOG = 64
# A face is looked at in a second or two, a long sound decoded in as many: what goes on at the end
# is waited for, so that nothing of it comes after the stream has gone.
CLOSE_SECONDS = 30.0

log = logging.getLogger(__name__)


class SpeechSocket:
    """Listens in threads of its own, until it is closed or the process ends.

    Args:
        path: where to listen.
        utterances: of the face; None: the source is none that can be spoken through.
        max_seconds: longest sound file.
        wardrobe: of the face; None: it has none that could be another.
    """

    def __init__(
        self,
        path: Path,
        utterances: Utterances | None,
        max_seconds: int,
        wardrobe: Wardrobe | None = None,
    ) -> None:
        self._path = path
        self._wardrobe = wardrobe
        self._utterances = utterances
        self._max_seconds = max_seconds
        self._decoding = threading.Lock()  # memory for one long file at a time
        self._lock = threading.Lock()
        self._is_closed = False
        self._busy: dict[threading.Thread, socket.socket] = {}

    def start(self) -> None:
        """Begin to listen; first what an earlier worker left unsaid is queued again."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        self._path.chmod(0o600)
        listener.listen(BACKLOG)
        self._begin(self._listen, listener)

    def close(self) -> None:
        """Listen no more, and let go of who is connected; what is under way comes to its end."""
        with self._lock:
            self._is_closed = True
            busy = dict(self._busy)
        for link in busy.values():
            with contextlib.suppress(OSError):  # it has just gone by itself
                link.shutdown(socket.SHUT_RDWR)  # unlike close(), it wakes who waits there
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in busy:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _begin(self, work: Callable[[socket.socket], None], link: socket.socket) -> None:
        """In a thread of its own, which closes the link; unless it is closed here."""

        def whole() -> None:
            try:
                with contextlib.closing(link):
                    work(link)
            finally:
                with self._lock:
                    del self._busy[thread]

        thread = threading.Thread(target=carries(whole), name="speech", daemon=True)
        with self._lock:
            if self._is_closed:
                link.close()
                return
            thread.start()
            self._busy[thread] = link

    def _listen(self, listener: socket.socket) -> None:
        if self._utterances is not None:
            self._utterances.resume(self._max_seconds)
        while True:
            try:
                link, _address = listener.accept()
            except OSError:
                if self._is_closed:
                    return
                raise
            self._begin(self._answer, link)

    def _answer(self, link: socket.socket) -> None:
        try:
            with link.makefile("rb") as lines:
                link.settimeout(READ_SECONDS)
                wish = json.loads(lines.readline(LONGEST_LINE_BYTES))
                if "live" in wish and self._utterances is not None:
                    live_link.serve(link, lines, self._utterances, wish)
                    return
                link.sendall(json.dumps(self._done(wish)).encode() + b"\n")
        except (OSError, ValueError, KeyError, TypeError) as error:
            event(log, "speech_wish_failed", level=logging.WARNING, reason=error)

    def _done(self, wish: dict[str, Any]) -> dict[str, Any]:
        if "face" in wish:
            return self._changed(str(wish["face"]))
        if self._utterances is None:
            return {"ok": False, "refused": "mute", "error": "a camera cannot be spoken through"}
        if "say" in wish:
            return self._say(self._utterances, wish)
        if "hush" in wish:
            dropped = self._utterances.hush()
            return {"ok": True, "dropped": [name_of(number) for number in dropped]}
        return {"ok": True, "queued_seconds": self._utterances.queued_seconds()}

    def _changed(self, image: str) -> dict[str, Any]:
        if self._wardrobe is None:
            error = "the stream's source is no avatar: it has no face that could be another"
            return {"ok": False, "refused": "mute", "error": error}
        try:
            new = self._wardrobe.change(image)
        except NoFaceFound as refused:
            reason = f"{refused.problem}; choose an upright frontal portrait"
            return {"ok": False, "refused": "file", "error": reason}
        except FileRejected as refused:
            reason = f"the picture {refused.problem}; {refused.remedy}"
            return {"ok": False, "refused": "file", "error": reason}
        except InferenceError as refused:
            return {"ok": False, "refused": "engine", "error": str(refused)}
        return {"ok": True, "change": change_name(new.number), "notes": list(new.notes)}

    def _say(self, utterances: Utterances, wish: dict[str, Any]) -> dict[str, Any]:
        try:
            with self._decoding:
                place = utterances.add(
                    Path(wish["say"]),
                    self._max_seconds,
                    wish.get("facts", {}),
                    interrupt=bool(wish.get("interrupt")),
                )
        except QueueFull as error:
            wait = {"wait_seconds": error.wait_seconds}
            return {"ok": False, "refused": "full", "error": str(error)} | wait
        except TooLong as error:
            return {"ok": False, "refused": "long", "error": str(error)}
        except FileRejected as error:
            reason = f"the sound {error.problem}; {error.remedy}"
            return {"ok": False, "refused": "file", "error": reason}
        except InferenceError as error:
            return {"ok": False, "refused": "file", "error": str(error)}
        return {
            "ok": True,
            "utterance": name_of(place.utterance),
            "starts_in_seconds": round(place.starts_in, 3),
            "duration_seconds": round(place.duration, 3),
            "queued_seconds": round(place.queued, 3),
        }
