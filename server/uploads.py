"""``/api/uploads``: pictures and sounds that streams can be started with."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import IO, Any, cast

from flask import Blueprint, Request, Response, jsonify, request
from werkzeug.exceptions import BadRequest, ClientDisconnected
from werkzeug.formparser import FormDataParser

from config import Settings
from server.bodies import timed
from server.errors import UploadRefused
from server.problems import problem
from server.upload_store import Sink, Upload, UploadStore

PATHS = ("/api/uploads", "/upload")
FIELDS = ("file", "image", "audio")
# Of one web process; each has a thread, and a file in memory.
AT_ONCE = 4
SWEEP_SECONDS = 30.0
# What stands around the file in a form: boundaries, headers, a few small fields.
FORM_BYTES = 16 * 1024
_PARTS = 8
_PIECE_BYTES = 64 * 1024
# What the parser of forms may hold: a piece, the rest of the one before, and the small fields.
_PARSER_BYTES = 4 * _PIECE_BYTES


def blueprint(settings: Settings, media_root: Path) -> Blueprint:
    """The routes of uploads.

    Args:
        settings: the limits.
        media_root: entered already.
    """
    routes = Blueprint("uploads", __name__)
    uploads = _Uploads(settings, UploadStore(settings, media_root))
    for path in PATHS:
        routes.add_url_rule(path, "take", uploads.take, methods=["POST"])
    for method, view in (("GET", uploads.show), ("DELETE", uploads.remove)):
        routes.add_url_rule("/api/uploads/<upload>", view_func=view, methods=[method])
    return routes


class _Uploads:
    def __init__(self, settings: Settings, store: UploadStore) -> None:
        self._settings = settings
        self._store = store
        self._at_once = threading.BoundedSemaphore(AT_ONCE)
        self._sweeping = threading.Lock()

    def take(self) -> Response:
        """Receive one file, find out what it is, keep it."""
        if not self._at_once.acquire(blocking=False):
            response = problem(503, f"{AT_ONCE} uploads are under way here; ask again in a second")
            response.headers["Retry-After"] = "1"
            return response
        try:
            upload = self._take()
        except UploadRefused as error:
            return problem(error.status, str(error))
        finally:
            self._at_once.release()
        self._sweep_from_now_on()
        response = jsonify(upload.told())
        response.status_code = 201
        response.headers["Location"] = f"{PATHS[0]}/{upload.id}"
        return response

    def _take(self) -> Upload:
        limit = self._settings.max_upload_bytes
        request.max_content_length = limit + FORM_BYTES
        _check_length(request, limit)
        with self._store.receiving() as sink, timed(request.environ):
            wanted = receive(request, sink)
            sink.close()
            return self._store.keep(sink, wanted)

    def _sweep_from_now_on(self) -> None:
        """Also if nobody asks any more: what has expired leaves the memory."""
        if self._sweeping.acquire(blocking=False):  # held for ever
            threading.Thread(target=self._sweep, name="sweep", daemon=True).start()

    def _sweep(self) -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            self._store.sweep()

    def show(self, upload: str) -> Response:
        """What an upload is; never its content."""
        found = self._store.find(upload)
        return jsonify(found.told()) if found else _unknown(upload)

    def remove(self, upload: str) -> Response:
        """Remove it; streams that were started with it keep it."""
        return Response(status=204) if self._store.remove(upload) else _unknown(upload)


def receive(asked: Request, sink: Sink) -> str:
    """Write the file that a request carries into the sink, piece by piece.

    Returns:
        ``image`` or ``audio`` where a form's field says so; empty: anything.

    Raises:
        UploadRefused: it is too large, or there is no file in it.
        HTTPException: it is no request that can be read.
    """
    if asked.mimetype == "multipart/form-data":
        wanted = _receive_form(asked, sink)
    else:
        shutil.copyfileobj(asked.stream, sink, _PIECE_BYTES)
        wanted = ""
        if sink.written < (asked.content_length or 0):  # gthread ends such a body silently
            raise ClientDisconnected("the body ended early")
    if not sink.written:
        raise UploadRefused(
            400, "the body holds no file: send its bytes, or a form with the field `file`"
        )
    return wanted


def _receive_form(asked: Request, sink: Sink) -> str:
    taken = False

    def one_file(*_: object, **__: object) -> IO[bytes]:
        nonlocal taken
        if taken:
            raise UploadRefused(400, "the form holds several files; upload one after the other")
        taken = True
        return cast("IO[bytes]", sink)

    parser = FormDataParser(
        one_file, max_form_memory_size=_PARSER_BYTES, max_form_parts=_PARTS, silent=False
    )
    options: dict[str, Any] = asked.mimetype_params
    try:
        _stream, _form, files = parser.parse(
            asked.stream, asked.mimetype, asked.content_length, options
        )
    except ValueError as error:
        raise BadRequest(f"this is no form that can be read: {error}") from error
    names = list(files)
    if names and names[0] not in FIELDS:
        called = str(names[0])[:80]  # it may have no name
        raise UploadRefused(
            400, f"the form's file is called {called!r}; call it {', '.join(FIELDS)}"
        )
    return names[0] if names and names[0] != FIELDS[0] else ""


def _check_length(asked: Request, limit: int) -> None:
    """Before a byte is read; what comes is counted all the same."""
    if (asked.content_length or 0) > limit + FORM_BYTES:
        raise UploadRefused(
            413,
            f"the body has {asked.content_length} bytes, the limit of a file is {limit}; "
            "give a smaller one",
        )


def _unknown(upload: str) -> Response:
    return problem(404, f"there is no upload {upload[:64]!r}; it may have expired")
