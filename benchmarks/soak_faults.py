"""Faults to be done to a running service, in an order that a seed decides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

# How long a stopped process is left so.
HANG_SECONDS = 6.0
FULL_SECONDS = 4.0
FULL = "media root full"
# Clients of the crowd faults.
CROWD = 100
_SLOW_READ_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that was begun, in monotonic seconds."""

    name: str
    began: float
    ended: float
    error: str = ""  # why it could not be done, or not to its end


@dataclass(slots=True)
class Faults:
    """Does one fault after another.

    Args:
        supervisor: process id of the service.
        url: of the service.
        media_root: of the service.
        streams: ids of the streams that viewers follow.
        chance: decides everything.
    """

    supervisor: int
    url: str
    media_root: Path
    streams: list[str]
    chance: random.Random
    done: list[Done] = field(default_factory=list)

    async def do_for_ever(self, every_seconds: float) -> None:
        """All kinds in a shuffled order, and again; between two begins so many seconds."""
        while True:
            kinds = list(self.kinds().items())
            self.chance.shuffle(kinds)
            for name, act in kinds:
                await asyncio.sleep(every_seconds)
                began, error = time.monotonic(), ""
                try:
                    await act()
                except (psutil.Error, httpx.HTTPError, OSError, EOFError) as failed:
                    error = f"{type(failed).__name__}: {failed}"
                self.done.append(Done(name, began, time.monotonic(), error))

    @property
    def left_out(self) -> list[str]:
        """What cannot be done here: a file system that is everybody's is not to be filled."""
        return [] if os.path.ismount(self.media_root.parent) else [FULL]

    def kinds(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every fault that can be done here, by its name."""
        return {name: act for name, act in self._all().items() if name not in self.left_out}

    def _all(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "ffmpeg killed": lambda: self._kill("rawvideo"),
            "ffmpeg stopped": lambda: self._hang("rawvideo"),
            "inference killed": lambda: self._kill("-m inference"),
            "inference stopped": lambda: self._hang("-m inference"),
            "encoder process killed": lambda: self._kill("-m encoder"),
            "encoder process stopped": lambda: self._hang("-m encoder"),
            FULL: self._fill,
            "web worker killed": self._kill_web_worker,
            "web reloaded": self._reload_web,
            f"{CROWD} held clients vanish": self._vanish,
            f"{CROWD} clients read 1 byte/s": self._read_slowly,
            "a stream comes and goes": self._come_and_go,
        }

    def _pick(self, word: str) -> int:
        """A process whose command line has that word."""
        below = psutil.Process(self.supervisor).children(recursive=True)
        found = [p.pid for p in below if word in " ".join(p.cmdline())]
        if not found:
            raise ProcessLookupError(word)
        return self.chance.choice(sorted(found))

    async def _kill(self, word: str) -> None:
        os.kill(self._pick(word), signal.SIGKILL)

    async def _hang(self, word: str) -> None:
        pid = self._pick(word)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(HANG_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def _kill_web_worker(self) -> None:
        workers = self._web().children()
        os.kill(self.chance.choice(sorted(w.pid for w in workers)), signal.SIGKILL)

    async def _reload_web(self) -> None:
        self._web().send_signal(signal.SIGHUP)

    def _web(self) -> psutil.Process:
        """The parent of the web workers."""
        ours = psutil.Process(self.supervisor).children()
        return next(p for p in ours if "server.web" in " ".join(p.cmdline()))

    async def _fill(self) -> None:
        filler = self.media_root.parent / "filler"
        try:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(1 << 16)):
                    continue
            await asyncio.sleep(FULL_SECONDS)
        finally:
            filler.unlink(missing_ok=True)

    async def _vanish(self) -> None:
        """They ask for the part after the next, wait a little, and are gone."""
        async with self._crowd("v0/media.m3u8?_HLS_msn={msn}&_HLS_part=0"):
            await asyncio.sleep(0.5)

    async def _read_slowly(self) -> None:
        async with self._crowd("v0/media.m3u8") as readers:
            until = time.monotonic() + _SLOW_READ_SECONDS
            while time.monotonic() < until:
                await asyncio.gather(*(reader.read(1) for reader in readers))
                await asyncio.sleep(1)

    @contextlib.asynccontextmanager
    async def _crowd(self, target: str):  # type: ignore[no-untyped-def]
        host, port = urlsplit(self.url).hostname, urlsplit(self.url).port
        stream = self.chance.choice(self.streams)
        async with httpx.AsyncClient() as asking:
            answer = await asking.get(f"{self.url}/api/streams/{stream}")
        path = f"/live/{stream}/" + target.format(msn=answer.json().get("msn", 1) + 1)
        links = [await asyncio.open_connection(host, port) for _ in range(CROWD)]
        try:
            for _, writer in links:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            yield [reader for reader, _ in links]
        finally:
            for _, writer in links:
                writer.transport.abort()

    async def _come_and_go(self) -> None:
        async with httpx.AsyncClient(timeout=20) as client:
            wish = {"width": 320, "height": 180, "ladder": "single", "ended_seconds": 1}
            made = (await client.post(f"{self.url}/api/streams", json=wish)).json()
            await client.get(self.url + made["playback"]["hls"])
            await client.delete(f"{self.url}/api/streams/{made['id']}")
