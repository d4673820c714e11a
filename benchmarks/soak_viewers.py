"""Viewers that follow a playlist part by part, and keep account of what they were given."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx

from encoder.playlist import SegmentEntry
from encoder.playlist_reader import Position, read_position, read_segments

# A player's own patience with one request, and with a server that refuses.
REQUEST_SECONDS, RETRY_SECONDS = 10.0, 0.2


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which a viewer got nothing new, in monotonic seconds."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(slots=True)
class Viewer:
    """One client of one rendition.

    Args:
        client: shared connections.
        url: of the media playlist.
        longest_usual: a pause up to this long between two parts, in seconds, is no pause.
    """

    client: httpx.AsyncClient
    url: str
    longest_usual: float
    parts: int = 0  # that it got
    bytes: int = 0
    refused: int = 0  # answers other than 200, and connections that broke
    pauses: list[Pause] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # promises, in words
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)  # URI: its tags, its hash
    _seen: tuple[int, int] = (0, 0)
    _oldest: str = ""
    _last_new: float = 0.0

    async def follow(self) -> None:
        """Until cancelled."""
        self._last_new = time.monotonic()
        position: Position | None = None
        while True:
            try:
                position = await self._reload(position)
            except (httpx.HTTPError, ValueError):
                self.refused += 1
                await asyncio.sleep(RETRY_SECONDS)

    def finish(self) -> None:
        """Count a pause that is not over."""
        self._heard_of_something_new()

    async def _reload(self, before: Position | None) -> Position:
        text = await self._playlist(before)
        position = read_position(text)
        newest = (position.last_msn + 1, position.parts)
        if newest < self._seen:  # 6
            self.broken.append(f"the playlist went back from {self._seen} to {newest}")
        elif newest > self._seen:
            self._heard_of_something_new()
            self._seen = newest
        await self._look_at(read_segments(text)[1])
        return position

    async def _playlist(self, before: Position | None) -> str:
        params = {}
        if before is not None:
            params = {"_HLS_msn": str(before.last_msn + 1), "_HLS_part": str(before.parts)}
        answer = await self.client.get(self.url, params=params, timeout=REQUEST_SECONDS)
        answer.raise_for_status()
        return answer.text

    def _heard_of_something_new(self) -> None:
        now = time.monotonic()
        if now - self._last_new > self.longest_usual:
            self.pauses.append(Pause(self._last_new, now))
        self._last_new = now

    async def _look_at(self, segments: tuple[SegmentEntry, ...]) -> None:
        """What is listed stays what it was (8), and what is new can be had at once (31)."""
        listed: set[str] = set()
        for segment in segments:
            if segment.uri:
                listed.add(segment.uri)
                await self._check(segment.uri, f"{segment.duration} {segment.wall_ms}", segment.gap)
            for part in segment.parts:
                listed.add(part.uri)
                await self._check(part.uri, f"{part.duration}", segment.gap)
        self._known = {uri: facts for uri, facts in self._known.items() if uri in listed}
        if segments and segments[0].uri != self._oldest:
            self._oldest = segments[0].uri
            await self._compare(segments[0].uri)

    async def _compare(self, uri: str) -> None:
        """A segment that is about to leave has the bytes that it came with (8)."""
        tags, digest = self._known[uri]
        if digest and await self._fetch(uri) != digest:
            self.broken.append(f"{uri} has other bytes than before (8)")
            self._known[uri] = (tags, "")

    async def _check(self, uri: str, tags: str, gap: bool) -> None:
        known = self._known.get(uri)
        if known is None:
            self._known[uri] = (tags, "" if gap else await self._fetch(uri))
        elif known[0] != tags:
            self.broken.append(f"{uri} was listed with {known[0]} and now with {tags} (8)")
            self._known[uri] = (tags, known[1])

    async def _fetch(self, uri: str) -> str:
        answer = await self.client.get(urljoin(self.url, uri), timeout=REQUEST_SECONDS)
        if answer.status_code == httpx.codes.NOT_FOUND:
            self.broken.append(f"{uri} is listed and cannot be had (31)")
            return ""
        answer.raise_for_status()
        self.parts += 1
        self.bytes += len(answer.content)
        return hashlib.sha256(answer.content).hexdigest()
