"""Which Range headers count: RFC 9110, 14.2, lets a server ignore all others, with 200."""

from __future__ import annotations

import re

from server.asgi import Environ

# Of a 416: kept like that of a file that is not there, of the usual target duration (63), and only
# for who asks for the same range. A cache that knows addresses alone would else give it to those
# who want the whole.
BEYOND_HEADERS = (("Cache-Control", "public, max-age=2"), ("Vary", "Range"))

# Of several ranges none is sent: a player never asks for them, and together they may be more than
# the file.
_ONE = re.compile(
    r"bytes=(?:(\d{1,18})-(\d{0,18})|-0{0,17}[1-9]\d{0,17})", re.IGNORECASE | re.ASCII
)


def is_one_range(header: str) -> bool:
    """Whether it is one well-formed range of bytes, wherever that lies."""
    found = _ONE.fullmatch(header)
    if found is None:
        return False
    return not found[2] or int(found[1]) <= int(found[2])


def drop_odd_range(environ: Environ) -> None:
    """Take a Range that does not count out of a WSGI environment: Werkzeug would answer 416."""
    if not is_one_range(environ.get("HTTP_RANGE", "bytes=0-")):
        del environ["HTTP_RANGE"]


def beyond(file_bytes: int) -> str:
    """What a 416 says."""
    return f"the file has {file_bytes} bytes"
