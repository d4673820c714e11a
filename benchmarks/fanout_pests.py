"""Clients that make trouble, in a process of their own.

python -m benchmarks.fanout_pests slow|storm PORT CLIENTS PATH [AUTHORITY]
    slow: each asks twenty times for PATH, a segment, and reads one byte a second
    storm: each waits for the segment after next of PATH, a playlist file in the media root; all
        leave at once and are back at once, every second
    AUTHORITY: PEM file; they speak TLS then

It writes a line when all are there, and one at its end (SIGTERM): how many still were.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from encoder.playlist_reader import read_position

# More than the kernels hold for a client: the server cannot get rid of it all.
_PIPELINED = 20
_LITTLE_BYTES = 2048
# As on the Internet. With the 64 kB of loopback the server's kernel would take a megabyte and more
# for each client, and the server would never notice him.
_SEGMENT_BYTES = 1460
_EVERY_SECONDS = 1.0


class _End(Exception):
    """SIGTERM."""


def _tls(authority: str) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=authority) if authority else None


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


# --- slow readers --------------------------------------------------------------------------------


def _slow_connection(port: int, path: str, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE_BYTES)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    if tls is not None:
        connection = tls.wrap_socket(connection, server_hostname="127.0.0.1")
    connection.settimeout(0.5)
    with suppress(TimeoutError):  # it takes no more: that is what they are here for
        connection.sendall(_request(path) * _PIPELINED)
    connection.settimeout(0.002)
    return connection


def _is_open(connection: socket.socket) -> bool:
    """Read a byte; whether the other side still wants to talk."""
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def slow(port: int, clients: int, path: str, authority: str) -> None:
    """Read a byte a second, for ever."""
    tls = _tls(authority)
    there = [_slow_connection(port, path, tls) for _ in range(clients)]
    _say("there")
    try:
        while True:
            began = time.monotonic()
            there = [connection for connection in there if _is_open(connection)]
            time.sleep(max(0.0, _EVERY_SECONDS - (time.monotonic() - began)))
    except _End:
        _say(str(len(there)))


# --- reconnect storms ----------------------------------------------------------------------------


async def _ask(port: int, path: str, tls: ssl.SSLContext | None) -> asyncio.StreamWriter | None:
    try:
        name = "127.0.0.1" if tls else None
        opening = asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
        _reader, writer = await asyncio.wait_for(opening, 10)
    except (OSError, TimeoutError):
        return None
    writer.write(_request(path))
    return writer


def _ahead(playlist: Path) -> str:
    """The request that is held longest: for the segment after next."""
    msn = read_position(playlist.read_text("utf-8")).last_msn + 2
    return (
        f"/live/{playlist.parent.parent.name}/{playlist.parent.name}/{playlist.name}?_HLS_msn={msn}"
    )


async def storm(port: int, clients: int, path: str, authority: str) -> None:
    """All at once, again and again."""
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    tls = _tls(authority)
    there = 0
    has_spoken = False
    try:
        while True:
            held = _ahead(Path(path))
            made = await asyncio.gather(*(_ask(port, held, tls) for _ in range(clients)))
            there = sum(writer is not None for writer in made)
            if not has_spoken:
                _say("there")
                has_spoken = True
            await asyncio.sleep(_EVERY_SECONDS)
            for writer in made:
                if writer is not None:
                    writer.transport.abort()
    except asyncio.CancelledError:
        _say(str(there))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _ended(_signal: int, _frame: FrameType | None) -> None:
    raise _End


def main() -> None:
    kind, port, clients, path, *more = sys.argv[1:]
    authority = str(Path(more[0])) if more else ""
    signal.signal(signal.SIGTERM, _ended)
    with suppress(_End):
        if kind == "slow":
            slow(int(port), int(clients), path, authority)
        else:
            asyncio.run(storm(int(port), int(clients), path, authority))


if __name__ == "__main__":
    main()
