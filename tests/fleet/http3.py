"""One GET over HTTP/3, by aioquic."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent


class _Client(QuicConnectionProtocol):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic)
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = asyncio.Event()

    def get(self, authority: str, path: str) -> None:
        stream = self._quic.get_next_available_stream_id()
        headers = {":method": "GET", ":scheme": "https", ":authority": authority, ":path": path}
        rows = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.http.send_headers(stream, rows, end_stream=True)
        self.transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        for happened in self.http.handle_event(event):
            self._note(happened)

    def _note(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, DataReceived):
            self.body += event.data
        if getattr(event, "stream_ended", False):
            self.ended.set()


async def get_http3(port: int, path: str, authority: Path) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, from this machine; the certificate is verified."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN)
    configuration.load_verify_locations(str(authority))
    connecting = connect("127.0.0.1", port, configuration=configuration, create_protocol=_Client)
    async with connecting as made:
        client = cast(_Client, made)
        client.get(f"127.0.0.1:{port}", path)
        await asyncio.wait_for(client.ended.wait(), 10)
    return int(client.headers[":status"]), client.headers, client.body
