"""A viewer over TLS and HTTP/2 that costs as little as one over HTTP/1.1.

A library for HTTP/2 takes 0.3 ms a request, more than the servers that are measured. A viewer
needs very little of it: one stream at a time, its own request spelled out, of the answer the
status, which every server writes as one byte of the static table (RFC 7541, appendix A).
"""

from __future__ import annotations

import ssl
import struct
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK, _PRIORITY = 0x1, 0x4, 0x1, 0x20
_LARGEST_WINDOW = 2**31 - 1
_USUAL_WINDOW = 65_535
_STATUS = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def context(authority: Path) -> ssl.SSLContext:
    """TLS for a client that wants HTTP/2."""
    made = ssl.create_default_context(cafile=str(authority))
    made.set_alpn_protocols(["h2"])
    return made


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def greeting() -> bytes:
    """What a client says first: windows so large that it never needs to speak of them again."""
    settings = struct.pack(">HI", 4, _LARGEST_WINDOW)
    window = struct.pack(">I", _LARGEST_WINDOW - _USUAL_WINDOW)
    return PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, window)


def _text(value: bytes) -> bytes:
    """A string literal of HPACK, without Huffman's code (RFC 7541, 5.2)."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    rest, more = len(value) - 127, b"\x7f"
    while rest >= 128:
        more += bytes([rest % 128 + 128])
        rest //= 128
    return more + bytes([rest]) + value


def request(stream: int, path: str) -> bytes:
    """A GET: three static names, and :path and :authority literally, never indexed."""
    block = b"\x82\x87" + b"\x04" + _text(path.encode()) + b"\x01" + _text(b"localhost")
    return _frame(_HEADERS, _END_STREAM | _END_HEADERS, stream, block)


class Reader:
    """Takes frames apart; holds the answer that is coming in."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.has_begun = self.has_ended = self.has_closed = False
        self._rest = b""

    def next_answer(self) -> None:
        """Forget the last one."""
        self.status, self.body, self.has_begun, self.has_ended = 0, b"", False, False

    def feed(self, data: bytes) -> bytes:
        """Read what came; returns what is to be sent back."""
        rest, at, replies = self._rest + data, 0, b""
        while len(rest) - at >= 9:
            length = int.from_bytes(rest[at : at + 3], "big")
            if len(rest) - at < 9 + length:
                break
            kind, flags = rest[at + 3], rest[at + 4]
            replies += self._take(kind, flags, rest[at + 9 : at + 9 + length])
            at += 9 + length
        self._rest = rest[at:]
        return replies

    def _take(self, kind: int, flags: int, payload: bytes) -> bytes:
        if kind == _HEADERS:
            self.has_begun = True
            block = payload[5:] if flags & _PRIORITY else payload
            while block[0] & 0xE0 == 0x20:  # a new size of the dynamic table comes first
                block = block[1:]
            self.status = _STATUS.get(block[0], -1)
        elif kind == _DATA:
            self.body += payload
        elif kind == _SETTINGS and not flags & _ACK:
            return _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            return _frame(_PING, _ACK, 0, payload)
        elif kind == _GOAWAY:
            self.has_closed = True
        self.has_ended |= kind == _RESET or (kind in (_HEADERS, _DATA) and flags & _END_STREAM > 0)
        return b""
