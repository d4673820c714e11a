"""What no client library would ask for, over HTTP/2: the asgi worker speaks it over TLS."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from config import Settings
from tests.certificates import make_pair
from tests.security.test_paths import URLS_OF_10_KB
from tests.security.web import Web


def test_urls_of_10_kb_are_refused(tmp_path: Path) -> None:
    """And what else is asked for over the same connection is answered."""
    pair = make_pair(tmp_path)
    settings = Settings(tls_cert=str(pair.cert), tls_key=str(pair.key), web_processes=1)
    limits = httpx.Limits(max_connections=1)
    with (
        Web(tmp_path / "media", settings, pair.authority) as web,
        httpx.Client(
            base_url=web.url, verify=pair.trusting(), http2=True, limits=limits, timeout=60
        ) as client,
    ):
        for path in URLS_OF_10_KB:
            answer = client.get(path.decode())
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 414)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == 414
        with pytest.raises(httpx.RemoteProtocolError, match="StreamReset"):
            client.put(URLS_OF_10_KB[0].decode(), content=b"a body")
        assert client.get("/healthz").status_code == 200
        assert "Traceback" not in "\n".join(web.log)
