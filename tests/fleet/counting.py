"""A relay between a cache and the origin that notes every request: an honest count."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter

_END = b"\r\n\r\n"
_TOKEN = re.compile(r"/t/[A-Za-z0-9_-]+")


class Relay:
    """Passes connections on to a port of this machine, and reads the request heads as they pass.

    Args:
        target: the port; None: whoever connects is sent away at once. May be changed at any time,
            for new connections; those that are open end with the origin's.
    """

    def __init__(self, target: int | None) -> None:
        self.target = target
        self.requests: list[str] = []  # "GET /live/…", in the order in which they passed
        self.heads: list[bytes] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def since(self, mark: int) -> Counter[str]:
        """How often each thing was asked for after so many requests, whatever the token."""
        return Counter(_TOKEN.sub("", request) for request in self.requests[mark:])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        started = asyncio.start_server(self._relay, "127.0.0.1", 0, backlog=1024)
        server = self._loop.run_until_complete(started)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        server.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.target is None:
                return
            there, to_there = await asyncio.open_connection("127.0.0.1", self.target)
            both = (self._count(reader, to_there), _copy(there, writer))
            tasks = [asyncio.ensure_future(way) for way in both]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                to_there.close()
                for task in tasks:
                    task.cancel()
        except OSError:
            pass  # the origin is away, as it is for the cache
        finally:
            writer.close()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No cache sends a body here: the tests post nothing.
        head = b""
        while data := await reader.read(65536):
            writer.write(data)
            head += data
            while _END in head:
                one, _, head = head.partition(_END)
                self.heads.append(one)
                self.requests.append(one.partition(b" HTTP/")[0].decode())


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
