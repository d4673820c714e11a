"""How a web process hands on what somebody says live, over the socket of :mod:`speech_socket`.

::

    {"live": RATE, "interrupt": false}   a line of JSON, as for all other wishes
    {"ok": true, "utterance": NAME, "jitter_ms": 120}
    bytes                                s16le mono at that rate, until that side is shut down
    {"heard": 3.2, "underruns": 2, ...}  now and then, from the worker: what became of the sound
    {"ended": CODE, "reason": WORDS, ..} its last line; CODE: one of a WebSocket's close frame
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import time
from io import BufferedReader
from typing import Any

from inference.floor import FloorTaken
from inference.live import LiveLine, TooFast
from inference.utterances import Utterances, name_of, told_of

# RFC 6455, 7.4, and its registry; 4000 and up is what an application means by it.
NORMAL, TRY_AGAIN_LATER, INTERRUPTED = 1000, 1013, 4409
# More than a reader keeps of what it has read: it never holds back what select() does not see.
_READ_BYTES = 16 * 1024
# In that time the other side has read it.
GOODBYE_SECONDS = 1.0
# What became of the sound is told no more often, and only when there is something to tell.
TELL_SECONDS = 1.0
# Events are kept in a small journal: a bad network must not fill it.
TELL_ALL_SECONDS = 10.0


def serve(
    link: socket.socket, reader: BufferedReader, utterances: Utterances, wish: dict[str, Any]
) -> None:
    """Listen to one speaker until he goes, or must go.

    Args:
        link: to the web process.
        reader: of the link.
        utterances: of the face.
        wish: the line that came.
    """
    try:
        live = utterances.open_live(int(wish["live"]), interrupt=bool(wish.get("interrupt")))
    except FloorTaken as error:
        _send(link, {"ok": False, "refused": "taken", "error": str(error)})
        return
    try:
        jitter_ms = round(utterances.jitter_seconds * 1000)
        _send(link, {"ok": True, "utterance": name_of(live.number), "jitter_ms": jitter_ms})
        link.settimeout(None)  # he may be silent for as long as the web process has patience
        with _Ears(link, reader) as ears:
            live.on_interrupt = ears.close_soon
            code, reason = _listen(ears, link, utterances, live)
    finally:
        utterances.close_live(live)
        utterances.tell_live("live_ended", live)
    _say_goodbye(link, reader, {"ended": code, "reason": reason} | told_of(live))


class _Ears:
    """What comes from the speaker, until another thread has heard enough.

    The link itself stays open for what comes meanwhile: a web process that writes into one that is
    shut never reads our last word.
    """

    def __init__(self, link: socket.socket, reader: BufferedReader) -> None:
        self._reader = reader
        self._enough, self._wake = socket.socketpair()
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(link, selectors.EVENT_READ)
        self._waiting.register(self._enough, selectors.EVENT_READ)

    def __enter__(self) -> _Ears:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.close()
        self._enough.close()
        self._wake.close()

    def close_soon(self) -> None:
        """From any thread, also when nobody listens any more."""
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def hear(self) -> bytes:
        """The next bytes; none: the speaker is through, or it is enough."""
        ready = {key.fileobj for key, _events in self._waiting.select()}
        return b"" if self._enough in ready else self._reader.read1(_READ_BYTES)


def _listen(
    ears: _Ears, link: socket.socket, utterances: Utterances, live: LiveLine
) -> tuple[int, str]:
    telling = _Telling(link, utterances, live)
    rest = b""
    while not live.was_interrupted and (data := ears.hear()):
        whole = len(rest + data) // 2 * 2
        data, rest = (rest + data)[:whole], (rest + data)[whole:]
        try:
            live.hear(data)
        except TooFast as error:
            return TRY_AGAIN_LATER, str(error)
        telling.look()
    if live.was_interrupted:
        return INTERRUPTED, "interrupted: something else is to be said, or nothing"
    return NORMAL, ""


class _Telling:
    """Tells of gaps: the web process soon, everybody now and then."""

    def __init__(self, link: socket.socket, utterances: Utterances, live: LiveLine) -> None:
        self._link, self._utterances, self._live = link, utterances, live
        self._told = live.account
        self._told_at = self._told_all_at = time.monotonic() - TELL_ALL_SECONDS
        self._told_all_underruns = 0

    def look(self) -> None:
        account, now = self._live.account, time.monotonic()
        if now - self._told_at < TELL_SECONDS or account.heard == self._told.heard:
            return
        self._told, self._told_at = account, now
        news = account.underruns > self._told_all_underruns
        if news and now - self._told_all_at >= TELL_ALL_SECONDS:
            self._told_all_underruns, self._told_all_at = account.underruns, now
            self._utterances.tell_live("live_underrun", self._live)
        _send(self._link, told_of(self._live))


def _send(link: socket.socket, message: dict[str, Any]) -> None:
    """Who is not there any more is told nothing."""
    with contextlib.suppress(OSError):
        link.sendall(json.dumps(message).encode() + b"\n")


def _say_goodbye(link: socket.socket, reader: BufferedReader, message: dict[str, Any]) -> None:
    """A link that is closed while it still holds sound would take our last word with it."""
    _send(link, message)
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_WR)
        link.settimeout(GOODBYE_SECONDS)
        while reader.read1(_READ_BYTES):
            pass
