"""The control API: what runs, how it is, which encoders work."""

from __future__ import annotations

import hmac
import json
import time
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request

from config import Settings
from encoder.errors import EncoderError
from encoder.ffmpeg import find_ffmpeg
from encoder.ladder import BEST_RUNG
from encoder.media_root import CONTROL, LIVE, RUN
from encoder.multivariant import MULTIVARIANT_NAME
from encoder.packager import PLAYLIST_NAME
from encoder.probe import trials
from encoder.report import encoder_json, first_working
from encoder.timing import Timing
from server.control import send
from server.errors import SupervisorAway
from server.problems import problem
from server.tokens import token_path

# A live stream's newest part is younger than so many part targets.
FRESH_PARTS = 3
# A link to a stream with tokens is valid for a day; `lipstream token` makes others.
LINK_SECONDS = 24 * 3600


def blueprint(settings: Settings, timing: Timing, media_root: Path) -> Blueprint:
    """The routes below ``/api``, and the two health checks.

    Args:
        settings: of the service.
        timing: of its streams.
        media_root: with the folders ``live`` and ``run``.
    """
    routes = Blueprint("api", __name__)
    control = _Control(settings, timing, media_root)
    routes.before_request(control.authorise)
    for rule, view in (
        ("/api/streams", control.streams),
        ("/api/streams/<stream>", control.stream),
        ("/api/encoders", control.encoders),
        ("/healthz", control.healthz),
        ("/readyz", control.readyz),
    ):
        routes.add_url_rule(rule, view_func=view, methods=["GET"])
    routes.add_url_rule("/api/streams/<stream>", view_func=control.end, methods=["DELETE"])
    return routes


class _Control:
    def __init__(self, settings: Settings, timing: Timing, media_root: Path) -> None:
        self._settings = settings
        self._timing = timing
        self._root = media_root

    def authorise(self) -> Response | None:
        """Where a token is set, ``/api`` asks for it; compared in constant time."""
        token = self._settings.api_token
        if not token or not request.path.startswith("/api/"):
            return None
        given = request.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return None
        response = problem(401, "the control API needs the header Authorization: Bearer <token>")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def streams(self) -> Response:
        """All streams."""
        return jsonify({"streams": [self._shown(f) for f in self._figures()]})

    def stream(self, stream: str) -> Response:
        """One stream."""
        for figures in self._figures():
            if figures["id"] == stream:
                return jsonify(self._shown(figures))
        return _no_stream(stream)

    def end(self, stream: str) -> Response:
        """End a stream: its playlists get ENDLIST and stay for a while."""
        if all(figures["id"] != stream for figures in self._figures()):
            return _no_stream(stream)
        try:
            reply = send(self._root / RUN / CONTROL, {"end_stream": stream})
        except SupervisorAway as error:
            return problem(503, str(error))
        if not reply.get("ok"):
            return problem(409, str(reply.get("error")))
        response = jsonify({"id": stream, "state": "ending"})
        response.status_code = 202
        return response

    def encoders(self) -> Response:
        """Every encoder of this ffmpeg, with the result of its trial."""
        s = self._settings
        try:
            results = trials(find_ffmpeg(s.ffmpeg), s.width, s.height, s.fps)
        except EncoderError as error:
            return problem(500, str(error))
        wanted = first_working(results) if s.encoder == "auto" else s.encoder
        return jsonify(encoder_json(results, wanted))

    def healthz(self) -> Response:
        """This web process answers."""
        return jsonify({"status": "ok"})

    def readyz(self) -> Response:
        """Every live stream's newest part is young enough; else which are not."""
        known = self._figures()
        ages = {f["id"]: self._live_edge_age(f["id"]) for f in known if f["state"] != "ended"}
        limit = self._oldest_ready_seconds()
        stale = {name: age for name, age in ages.items() if age is None or age > limit}
        if known and not stale:
            return jsonify({"status": "ready", "live_edge_age_seconds": ages})
        why = "no stream is running" if not known else "the newest media of a stream is too old"
        return problem(503, why, live_edge_age_seconds=ages, limit_seconds=limit)

    def _oldest_ready_seconds(self) -> float:
        unit = (
            self._timing.part_target if self._timing.low_latency else self._timing.segment_seconds
        )
        return float(FRESH_PARTS * unit)

    def _live_edge_age(self, stream: str) -> float | None:
        try:
            changed = (self._root / LIVE / stream / BEST_RUNG / PLAYLIST_NAME).stat().st_mtime
        except OSError:
            return None
        return round(max(0.0, time.time() - changed), 3)

    def _figures(self) -> list[dict[str, Any]]:
        """What the encoder processes last said of themselves."""
        found = []
        for path in sorted((self._root / RUN).glob("*.json")):
            try:
                found.append(json.loads(path.read_text("utf-8")))
            except (OSError, ValueError):
                continue  # it ended just now
        return found

    def _path(self, stream: str) -> str:
        """Where to play; a link that expires where viewers need one."""
        key = self._settings.viewer_key
        if not key:
            return f"/live/{stream}/{MULTIVARIANT_NAME}"
        return token_path(key, stream, int(time.time()) + LINK_SECONDS)

    def _shown(self, figures: dict[str, Any]) -> dict[str, Any]:
        playback = {"hls": self._path(figures["id"])}
        age = self._live_edge_age(figures["id"])
        return figures | {"live_edge_age_seconds": age, "playback": playback}


def _no_stream(stream: str) -> Response:
    return problem(404, f"there is no stream {stream[:64]!r}; /api/streams lists them")
