"""``PUT /api/streams/<id>/face``: another face for an avatar that is live."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, jsonify, request

from config import Settings
from server.avatars import refusal
from server.errors import UploadRefused, WorkerAway
from server.problems import problem
from server.speech_link import SpeechLink
from server.upload_store import UploadStore

# In place of an upload: the presenter that is drawn without any.
PRESENTER = "presenter"
# How the worker names what it refuses.
_STATUS = {"file": 422, "engine": 409, "mute": 409}


def blueprint(settings: Settings, media_root: Path) -> Blueprint:
    """The route of faces.

    Args:
        settings: the limits.
        media_root: entered already.
    """
    routes = Blueprint("face", __name__)
    face = _Face(settings, media_root)
    routes.add_url_rule("/api/streams/<stream>/face", view_func=face.change, methods=["PUT"])
    return routes


class _Face:
    def __init__(self, settings: Settings, media_root: Path) -> None:
        self._root = media_root
        self._uploads = UploadStore(settings, media_root)

    def change(self, stream: str) -> Response:
        """Have another face put on; when it is seen, an event tells."""
        refused = refusal(
            self._root, stream, over="its face stays as it is", foreign=", and no avatar"
        )
        if refused is not None:
            return refused
        try:
            reply = SpeechLink(self._root, stream).ask({"face": self._image()})
        except UploadRefused as error:
            return problem(error.status, str(error))
        except WorkerAway as error:
            response = problem(503, str(error))
            response.headers["Retry-After"] = "1"
            return response
        if not reply.pop("ok", False):
            return problem(_STATUS[reply["refused"]], str(reply["error"]))
        response = jsonify(reply)
        response.status_code = 202
        return response

    def _image(self) -> str:
        """The file that is wished; empty: the presenter.

        Raises:
            UploadRefused: the body names none.
        """
        body = request.get_json(silent=True)
        image = body.get("image") if isinstance(body, dict) and set(body) == {"image"} else None
        if not isinstance(image, str):
            wanted = f'{{"image": "uploads/<id>"}} or {{"image": "{PRESENTER}"}}'
            raise UploadRefused(400, f"the body must be {wanted}")
        return "" if image == PRESENTER else str(self._uploads.resolve(image, "image"))
