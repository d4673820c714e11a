"""HTTPS: its files are tried before anything starts; HTTP/2 where it is spoken well."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config import ConfigError, Settings

_HOW = "docs/tls.md says how to make a pair"


def check_certificate(settings: Settings) -> None:
    """Load the certificate and its key, if HTTPS is wanted.

    Raises:
        ConfigError: one is missing or unreadable, or they do not belong together.
    """
    cert, key = settings.tls_cert, settings.tls_key
    if not cert and not key:
        return
    if not cert or not key:
        given, missing = ("tls_cert", "tls_key") if cert else ("tls_key", "tls_cert")
        raise ConfigError(f"{given} is set and {missing} is not: HTTPS needs both; {_HOW}")
    _check_file("tls_cert", cert, "CERTIFICATE-----")
    _check_file("tls_key", key, "PRIVATE KEY-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password at hand OpenSSL would ask the terminal for one.
        context.load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"tls_key {key} is not the key of tls_cert {cert}; {_HOW}") from error
        raise ConfigError(
            f"tls_cert {cert} and tls_key {key} cannot be loaded ({error.reason or error}): they "
            f"must be whole PEM files, the key without a passphrase; {_HOW}"
        ) from error


def _check_file(setting: str, name: str, mark: str) -> None:
    try:
        text = Path(name).read_text("latin-1")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot read {setting} {name}: {reason}; {_HOW}") from error
    if mark not in text:
        raise ConfigError(f"{setting} {name} has no line -----BEGIN … {mark}; {_HOW}")


def gunicorn_tls(settings: Settings) -> dict[str, Any]:
    """gunicorn's settings for HTTPS; none without a certificate."""
    if not settings.tls_cert:
        return {}
    # gthread serves the requests of one HTTP/2 connection one after another, so a held reload
    # would hold the parts too.
    protocols = "h2,h1" if settings.web_worker == "asgi" else "h1"
    return {
        "certfile": settings.tls_cert,
        "keyfile": settings.tls_key,
        "http_protocols": protocols,
        "ssl_context": _context,
    }


def _context(_config: object, usual: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = usual()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
