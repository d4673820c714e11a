"""``/api/streams/<id>/pcm``: somebody speaks through a face while it is heard, over a WebSocket.

The view says whether that may be; :mod:`server.live_asgi` speaks the WebSocket. Under the gthread
worker nobody does.
"""

from __future__ import annotations

import re
from pathlib import Path

from flask import Blueprint, Response, jsonify, request

from config import Settings
from inference.live import RATE_LIMITS_HZ
from server.problems import problem
from server.speech import cannot_speak

PATH = re.compile(r"/api/streams/[^/]+/pcm")
# Key in the environment: whoever called speaks the WebSocket himself, and asks whether he may.
SOCKET = "lipstream.live_socket"
USUAL_RATE_HZ = 16_000


def blueprint(settings: Settings, media_root: Path) -> Blueprint:
    """The route of live speech.

    Args:
        settings: which worker class runs it.
        media_root: entered already.
    """
    routes = Blueprint("live", __name__)

    def speak(stream: str) -> Response:
        """What a worker is told of the speaker."""
        if settings.web_worker == "gthread":
            return problem(
                501, "live sound needs the setting web_worker = asgi; here it is gthread"
            )
        refused = cannot_speak(media_root, stream)
        if refused is not None:
            return refused
        rate = request.args.get("rate", str(USUAL_RATE_HZ))
        low, high = RATE_LIMITS_HZ
        if not (rate.isascii() and rate.isdigit() and len(rate) < 6 and low <= int(rate) <= high):
            return problem(400, f"rate is {rate[:20]!r}: give hertz from {low} to {high}")
        if SOCKET not in request.environ:
            response = problem(426, "connect with a WebSocket: see docs/speech.md")
            response.headers["Upgrade"], response.headers["Connection"] = "websocket", "Upgrade"
            return response
        interrupt = request.args.get("interrupt", "0") not in ("", "0", "no", "false")
        return jsonify(stream=stream, live=int(rate), interrupt=interrupt)

    for is_socket in (False, True):  # werkzeug tells them apart by their headers
        routes.add_url_rule("/api/streams/<stream>/pcm", view_func=speak, websocket=is_socket)
    return routes
