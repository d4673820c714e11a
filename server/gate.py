"""Who may use the control API: everything below ``/api``, ``/upload``, and ``/metrics``."""

from __future__ import annotations

import hmac
import ipaddress
import math
import re
from urllib.parse import urlsplit

from flask import Request, Response, request

from config import Settings
from server.limits import RateLimit, client_key, parse_networks
from server.problems import problem

GUARDED = ("/api/", "/upload", "/metrics")
_SAFE = ("GET", "HEAD", "OPTIONS")
_PORT = re.compile(r":\d*$")


class Gate:
    """Looks at every request before its body is read; make it before the fork.

    Args:
        settings: token, rates and proxies.

    Raises:
        ConfigError: ``trusted_proxies`` is none.
    """

    def __init__(self, settings: Settings) -> None:
        s = self._settings = settings
        self._trusted = parse_networks(s.trusted_proxies)
        self._requests = RateLimit(s.api_requests_per_minute, s.api_requests_per_minute // 4)
        self._wrong_tokens = RateLimit(s.wrong_tokens_per_minute, s.wrong_tokens_per_minute)
        self._uploads = RateLimit(s.uploads_per_minute, s.uploads_per_minute)

    def check(self) -> Response | None:
        """None lets the request in; for ``before_request``."""
        if not is_guarded(request):
            return None
        who = self._who()
        if wait := self._requests.take(who):
            limit = f"{self._settings.api_requests_per_minute} requests a minute"
            return _too_many(f"the control API takes {limit} of one address", wait)
        return self._check_page() or self._check_token(who) or self._check_upload(who)

    def lets_in(self) -> bool:
        """Whether the control API would answer this request, which goes to something open to all.

        Who gives no token is told so; a wrong one counts as it does elsewhere.
        """
        return (self._check_page() or self._check_token(self._who())) is None

    def control(self) -> str:
        """How the asking page has control: ``open``, by a ``token``, or not at all (``closed``)."""
        if self._settings.api_token:
            return "token"
        return "open" if self._check_page() is None else "closed"

    def _who(self) -> str:
        return client_key(request.environ, self._trusted)

    def _check_page(self) -> Response | None:
        """No page from elsewhere may steer a service through its viewer's browser."""
        s = self._settings
        if s.api_token:
            return None  # which no page knows
        if not s.insecure and not _is_loopback(_PORT.sub("", request.host)):
            return problem(
                403,
                f"without a token the control API answers at localhost and 127.0.0.1, not at "
                f"{request.host[:80]!r}; set LIPSTREAM_API_TOKEN",
            )
        if _is_from_elsewhere(request):
            return problem(403, "a page of another origin asks; the control API needs a token")
        return None

    def _check_token(self, who: str) -> Response | None:
        """Where a token is set it is asked for; compared in constant time."""
        token = self._settings.api_token
        if not token:
            return None
        given = request.headers.get("Authorization", "")
        # Before the comparison: else one could go on guessing, and see which is not refused.
        if given and (wait := self._wrong_tokens.wait_seconds(who)):
            limit = f"{self._settings.wrong_tokens_per_minute} wrong tokens a minute"
            return _too_many(f"the control API takes {limit} of one address", wait)
        if hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {token}".encode()):
            return None
        if given:
            self._wrong_tokens.take(who)
        response = problem(401, "the control API needs the header Authorization: Bearer <token>")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _check_upload(self, who: str) -> Response | None:
        if request.endpoint != "uploads.take":
            return None
        wait = self._uploads.take(who)
        limit = f"{self._settings.uploads_per_minute} uploads a minute"
        return _too_many(f"the service takes {limit} of one address", wait) if wait else None


def is_guarded(asked: Request) -> bool:
    """Whether the control API is asked; by its route, since paths have many spellings."""
    path = asked.url_rule.rule if asked.url_rule else asked.path
    return path.startswith(GUARDED)


def _is_from_elsewhere(asked: Request) -> bool:
    """Whether a page of another origin asks for more than to look.

    Browsers say so in Sec-Fetch-Site, but not to a service without TLS beyond this machine, and
    Safari before 16.4 never does. Then Origin tells, which every browser sends with what is not
    safe; programs send neither. A WebSocket begins with a GET, which any page may make anywhere;
    its Origin always counts, and is never left out by a browser.
    """
    site, origin = asked.headers.get("Sec-Fetch-Site"), asked.headers.get("Origin")
    foreign = site in ("cross-site", "same-site")
    other = origin is not None and _netloc(origin) != asked.host.lower()
    if asked.headers.get("Upgrade", "").lower() == "websocket":
        return foreign or other
    return asked.method not in _SAFE and (foreign or (site is None and other))


def _netloc(origin: str) -> str:
    """Host and port; empty for ``null`` and what is no origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as brackets without an address in them
        return ""


def _is_loopback(host: str) -> bool:
    """Any other name may be a page's from elsewhere, made to point here (DNS rebinding)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _too_many(limit: str, wait: float) -> Response:
    seconds = math.ceil(wait)
    response = problem(429, f"{limit}; ask again in {seconds} s")
    response.headers["Retry-After"] = str(seconds)
    return response
