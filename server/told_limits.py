"""What a page must know before it asks: ``/access``, and the limits at ``/api/limits``."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from config import Settings
from server.gate import Gate
from server.speech_voice import LONGEST_TEXT


def blueprint(settings: Settings, gate: Gate) -> Blueprint:
    """The two routes.

    Args:
        settings: of the service.
        gate: says how control is had.
    """
    routes = Blueprint("told_limits", __name__)

    def access() -> Response:
        """Whether control needs a token here. Nothing is told that an attempt would not tell."""
        response = jsonify({"control": gate.control()})
        response.headers["Cache-Control"] = "no-store"
        return response

    def limits() -> Response:
        """The limits of what may be sent, so that nothing is sent in vain."""
        return jsonify(told(settings))

    routes.add_url_rule("/access", view_func=access, methods=["GET"])
    routes.add_url_rule("/api/limits", view_func=limits, methods=["GET"])
    return routes


def told(settings: Settings) -> dict[str, object]:
    """The limits, each under its setting's name where it has one; bytes, pixels, seconds."""
    names = (
        "max_upload_bytes",
        "max_image_pixels",
        "max_audio_seconds",
        "max_speech_bytes",
        "speech_queue_seconds",
        "max_streams",
        "voice",
    )
    return {name: getattr(settings, name) for name in names} | {"text_characters": LONGEST_TEXT}
