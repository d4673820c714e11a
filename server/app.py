"""The Flask application: the page, HLS, the control API."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, request, send_from_directory
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkExtension,
    InvalidChunkSize,
    NoMoreData,
)
from werkzeug.exceptions import HTTPException

from config import Settings
from encoder.disk_folder import archive_root
from server import api, events, face, hls, live, openapi, speech, told_limits, uploads
from server.counts import Table
from server.gate import Gate
from server.problems import problem

STATIC = Path(__file__).resolve().parent.parent / "static"
# The page has no inline script or style; hls.js runs its worker from a blob, feeds a blob, and
# makes tracks for captions from an empty data: address; media is never run.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; media-src 'self' blob: data:; worker-src 'self' blob:; "
    "connect-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Of every request but an upload; a longer one is refused while it is read.
MAX_BODY_BYTES = 64 * 1024


def create_app(settings: Settings, media_root: Path, counts: Table | None = None) -> Flask:
    """Build the application.

    Args:
        settings: of the service.
        media_root: with the folders ``live`` and ``run``.
        counts: of the web processes; None: of this application alone.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    older = archive_root(settings.disk_folder) if settings.disk_folder else None
    app.register_blueprint(hls.blueprint(media_root / "live", settings.ffmpeg, older))
    gate = Gate(settings)
    app.register_blueprint(api.blueprint(settings, media_root, counts or Table(), gate))
    app.register_blueprint(face.blueprint(settings, media_root))
    app.register_blueprint(speech.blueprint(settings, media_root))
    app.register_blueprint(live.blueprint(settings, media_root))
    app.register_blueprint(events.blueprint(settings, media_root))
    app.register_blueprint(uploads.blueprint(settings, media_root))
    app.register_blueprint(openapi.blueprint(settings))
    app.register_blueprint(told_limits.blueprint(settings, gate))
    app.before_request(gate.check)
    app.add_url_rule("/", "page", _page)
    app.add_url_rule("/demo", "demo", _page)
    app.add_url_rule("/favicon.ico", "favicon", lambda: _asset("favicon.svg"))
    app.add_url_rule("/static/<path:name>", "asset", _asset)
    app.register_error_handler(HTTPException, _as_problem)
    for broken in (NoMoreData, InvalidChunkSize, InvalidChunkExtension, ChunkMissingTerminator):
        app.register_error_handler(broken, _broken_body)
    app.after_request(_finish)
    return app


def _page() -> Response:
    return _asset("index.html")


def _asset(name: str) -> Response:
    response = send_from_directory(STATIC, name)
    response.headers["Cache-Control"] = "no-cache"  # revalidated: a deploy shows at once
    return response


def _as_problem(error: HTTPException) -> Response:
    response = problem(error.code or 500, error.description or "it failed")
    for name, value in error.get_headers():  # such as Content-Range of a 416, Allow of a 405
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _broken_body(_error: Exception) -> Response:
    """gunicorn's threaded worker finds out while the application reads."""
    response = problem(400, "the body is not as its headers say")
    response.headers["Connection"] = "close"
    return response


def _finish(response: Response) -> Response:
    """Headers that every answer carries."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path.startswith("/live/"):
        return hls.with_cors(response)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
