"""The control API: what runs, how it is, what shall run."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry

from config import ConfigError, Settings
from encoder.errors import EncoderError, EncoderUnavailable
from encoder.ffmpeg import find_ffmpeg
from encoder.media_root import CONTROL, RUN
from encoder.multivariant import MULTIVARIANT_NAME
from encoder.plan import plan_stream
from encoder.probe import choose_encoder, trials
from encoder.report import encoder_json, first_working
from encoder.takes import check_record_folder
from inference.errors import InferenceError
from inference.source import check_source
from rawmedia import RawMediaError
from server.control import Command, send
from server.counts import Table
from server.errors import SupervisorAway, UploadRefused
from server.films import find_film
from server.gate import Gate
from server.listing import is_starting, list_streams, live_edge_age, oldest_ready_seconds
from server.metrics import ServiceCollector, exposition
from server.problems import problem
from server.specs import StreamOrder
from server.tokens import token_path
from server.upload_store import UploadStore
from server.wishes import Wish, read_wish

# A link to a stream with tokens is valid for a day; `lipstream token` makes others.
LINK_SECONDS = 24 * 3600


def blueprint(settings: Settings, media_root: Path, counts: Table, gate: Gate) -> Blueprint:
    """The routes below ``/api``, the two health checks, and the metrics.

    Args:
        settings: of the service.
        media_root: with the folders ``live`` and ``run``.
        counts: of the web processes.
        gate: says who may be told names of streams.
    """
    routes = Blueprint("api", __name__)
    control = _Control(settings, media_root, counts, gate)
    for method, rule, view in (
        ("GET", "/api/streams", control.streams),
        ("POST", "/api/streams", control.start),
        ("GET", "/api/streams/<stream>", control.stream),
        ("DELETE", "/api/streams/<stream>", control.end),
        ("GET", "/api/encoders", control.encoders),
        ("GET", "/healthz", control.healthz),
        ("GET", "/readyz", control.readyz),
        ("GET", "/metrics", control.metrics),
    ):
        routes.add_url_rule(rule, view_func=view, methods=[method])
    return routes


class _Control:
    def __init__(self, settings: Settings, media_root: Path, counts: Table, gate: Gate) -> None:
        self._settings = settings
        self._gate = gate
        self._root = media_root
        self._uploads = UploadStore(settings, media_root)
        self._registry = CollectorRegistry()
        self._registry.register(ServiceCollector(counts, media_root))

    def streams(self) -> Response:
        """All streams."""
        return jsonify({"streams": [self._shown(f) for f in list_streams(self._root).values()]})

    def stream(self, stream: str) -> Response:
        """One stream."""
        figures = list_streams(self._root).get(stream)
        return _no_stream(stream) if figures is None else jsonify(self._shown(figures))

    def start(self) -> Response:
        """Start a stream. Whoever asks for its playlist from now on is held until it is there."""
        try:
            wish = read_wish(_json_body(), self._upload)
            order = self._order(wish)
        except EncoderUnavailable as error:
            return problem(503, str(error))
        except UploadRefused as error:
            return problem(error.status, str(error))
        except (ConfigError, EncoderError, InferenceError, RawMediaError) as error:
            return problem(400, str(error))
        refused = self._tell({"start_stream": asdict(order)})
        if refused is not None:
            return refused
        response = jsonify(
            {"id": order.id, "state": "starting", "playback": self._playback(order.id)}
        )
        response.status_code = 201
        response.headers["Location"] = f"/api/streams/{order.id}"
        return response

    def _order(self, wish: Wish) -> StreamOrder:
        """Find out now what cannot work, so that no process is started for it."""
        settings = wish.settings(self._settings)
        media = plan_stream(settings).media
        check_source(settings, media)
        check_record_folder(settings)
        ffmpeg = find_ffmpeg(settings.ffmpeg)
        size, codec = (media.width, media.height, media.fps), settings.video_codec
        chosen = choose_encoder(ffmpeg, settings.encoder, *size, codec=codec)
        return StreamOrder(wish.id, chosen.name, wish.changes)

    def _upload(self, name: str, kind: str) -> str:
        """Only uploads and films may be named: a path would be one of this machine's files."""
        if kind == "file":
            return str(find_film(self._settings.film_folder, name))
        return str(self._uploads.resolve(name, kind))

    def end(self, stream: str) -> Response:
        """End a stream: its playlists get ENDLIST and stay for a while; again: it goes at once."""
        if stream not in list_streams(self._root):
            return _no_stream(stream)
        refused = self._tell({"end_stream": stream})
        if refused is not None:
            return refused
        response = jsonify({"id": stream, "state": "ending"})
        response.status_code = 202
        return response

    def _tell(self, command: Command) -> Response | None:
        """Have the supervisor do it; a response says why it does not."""
        try:
            reply = send(self._root / RUN / CONTROL, command)
        except SupervisorAway as error:
            return problem(503, str(error))
        return None if reply.get("ok") else problem(int(reply["status"]), str(reply["error"]))

    def encoders(self) -> Response:
        """Every encoder of this ffmpeg, with the result of its trial."""
        s = self._settings
        try:
            ffmpeg = find_ffmpeg(s.ffmpeg)
            results = trials(ffmpeg, s.width, s.height, s.fps, codec=s.video_codec)
        except EncoderError as error:
            return problem(503, str(error))
        wanted = first_working(results) if s.encoder == "auto" else s.encoder
        return jsonify(encoder_json(results, wanted))

    def healthz(self) -> Response:
        """This web process answers."""
        return jsonify({"status": "ok"})

    def readyz(self) -> Response:
        """Every live stream's newest part is young enough; else which are not.

        Anybody may ask. Names of streams are told to those who may list them, others get counts.
        """
        known = list_streams(self._root)
        ages = {name: live_edge_age(self._root, figures) for name, figures in known.items()}
        starting = [name for name, f in known.items() if is_starting(f, ages[name])]
        limits = {
            name: limit
            for name, figures in known.items()
            if name not in starting and (limit := oldest_ready_seconds(figures)) is not None
        }
        stale = [name for name, limit in limits.items() if not _is_young(ages[name], limit)]
        counts = {"streams": len(known), "starting": len(starting), "stale_streams": len(stale)}
        named = {
            "live_edge_age_seconds": {name: ages[name] for name in limits},
            "stale": {
                name: {"live_edge_age_seconds": ages[name], "limit_seconds": limits[name]}
                for name in stale
            },
        }
        told = counts | (named if self._gate.lets_in() else {})
        if stale or len(starting) == len(known):
            return problem(503, _why_unready(len(known), len(stale)), **told)
        return jsonify({"status": "ready", **told})

    def metrics(self) -> Response:
        """For Prometheus."""
        page, content_type = exposition(self._registry, request.headers.get("Accept", ""))
        response = Response(page, content_type=content_type)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _playback(self, stream: str) -> dict[str, str]:
        """Where to play; a link that expires where viewers need one."""
        key = self._settings.viewer_key
        if not key:
            return {"hls": f"/live/{stream}/{MULTIVARIANT_NAME}"}
        return {"hls": token_path(key, stream, int(time.time()) + LINK_SECONDS)}

    def _shown(self, figures: dict[str, Any]) -> dict[str, Any]:
        name = figures["id"]
        age = live_edge_age(self._root, figures)
        return figures | {"live_edge_age_seconds": age, "playback": self._playback(name)}


def _json_body() -> object:
    """What the body holds; None if that is no JSON, or JSON too deep to be read."""
    try:
        return request.get_json(silent=True)
    except RecursionError:
        return None


def _is_young(age: float | None, limit: float) -> bool:
    return age is not None and age <= limit


def _why_unready(known: int, stale: int) -> str:
    if stale:
        return "the newest media of a stream is too old"
    return "no stream is live yet" if known else "no stream is running"


def _no_stream(stream: str) -> Response:
    return problem(404, f"there is no stream {stream[:64]!r}; /api/streams lists them")
