"""Errors as the outside sees them: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus

from flask import Response


def problem(status: int, detail: str, **facts: object) -> Response:
    """One error answer.

    Args:
        status: HTTP status.
        detail: what was wrong, the limit, what to do.
        facts: further members of the object.
    """
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **facts}
    return Response(json.dumps(body), status, mimetype="application/problem+json")
