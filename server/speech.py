"""``/api/streams/<id>/speech``: what the face of a stream shall say, now or after what waits."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request

from config import Settings
from server.avatars import refusal
from server.errors import SpeechRefused, UploadRefused, WorkerAway
from server.problems import problem
from server.speech_intake import Received, check_headers, received
from server.speech_link import SpeechLink
from server.speech_voice import speak

# How the worker names what it refuses.
_STATUS = {"full": 429, "long": 413, "file": 422, "mute": 409}
PATH = re.compile(r"/api/streams/[^/]+/speech")


def blueprint(settings: Settings, media_root: Path) -> Blueprint:
    """The routes of speech.

    Args:
        settings: the limits.
        media_root: entered already.
    """
    routes = Blueprint("speech", __name__)
    speech = _Speech(settings, media_root)
    for method, view in (("GET", speech.show), ("POST", speech.say), ("DELETE", speech.hush)):
        routes.add_url_rule("/api/streams/<stream>/speech", view_func=view, methods=[method])
    return routes


class _Speech:
    def __init__(self, settings: Settings, media_root: Path) -> None:
        self._settings = settings
        self._root = media_root

    def say(self, stream: str) -> Response:
        """Have it said after what waits; with ``?interrupt=1`` at once, in place of it."""
        refused = self._cannot_speak(stream)
        if refused is not None:
            return refused
        link = SpeechLink(self._root, stream)
        interrupt = request.args.get("interrupt", "0") not in ("", "0", "no", "false")
        try:
            check_headers(request, self._settings)
            if interrupt:  # at once: a body takes its time to come, and to be looked at
                hushed = link.ask({"hush": True})
                if not hushed["ok"]:
                    return self._answered(hushed, 202)
            with received(request, link.folder, self._settings) as speech:
                wish = {"say": str(speech.path), "interrupt": interrupt}
                return self._answered(link.ask(wish | self._spoken(speech)), 202)
        except (SpeechRefused, UploadRefused) as error:
            return problem(error.status, str(error))
        except WorkerAway as error:
            return _later(problem(503, str(error)), 1)

    def hush(self, stream: str) -> Response:
        """Nothing more of what was asked for."""
        return self._asked(stream, {"hush": True})

    def show(self, stream: str) -> Response:
        """How much waits."""
        return self._asked(stream, {"ask": True})

    def _asked(self, stream: str, wish: dict[str, Any]) -> Response:
        refused = self._cannot_speak(stream)
        if refused is not None:
            return refused
        try:
            return self._answered(SpeechLink(self._root, stream).ask(wish), 200)
        except WorkerAway as error:
            return _later(problem(503, str(error)), 1)

    def _spoken(self, speech: Received) -> dict[str, Any]:
        """Make a sound of a text; what its event tells of it."""
        if not speech.text:
            return {}
        settings = self._settings
        piper_voice = "" if speech.voice else settings.piper_voice
        cues = speak(speech.text, speech.voice or settings.voice, speech.path, piper_voice)
        return {"facts": {"cues": [asdict(cue) for cue in cues]}}

    def _answered(self, reply: dict[str, Any], status: int) -> Response:
        if reply.pop("ok", False):
            response = jsonify(reply)
            response.status_code = status
            return response
        response = problem(_STATUS[reply["refused"]], str(reply["error"]))
        return _later(response, reply["wait_seconds"]) if "wait_seconds" in reply else response

    def _cannot_speak(self, stream: str) -> Response | None:
        return cannot_speak(self._root, stream)


def cannot_speak(media_root: Path, stream: str) -> Response | None:
    """Why nobody can speak through a stream; None: somebody can."""
    return refusal(
        media_root,
        stream,
        over="nobody speaks in it any more",
        foreign=": only it can speak",
    )


def _later(response: Response, seconds: float) -> Response:
    response.headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return response
