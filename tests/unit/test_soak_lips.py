"""What a soak measures of lip sync while a fault is on: nothing, and it goes on."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from benchmarks.soak_lips import measure


def _measured(answer: httpx.Response) -> None:
    async def story() -> None:
        transport = httpx.MockTransport(lambda _request: answer)
        async with httpx.AsyncClient(transport=transport) as client:
            await measure(client, "http://x/live/card")

    asyncio.run(story())


def test_a_playlist_that_is_not_there_is_a_failed_request() -> None:
    with pytest.raises(httpx.HTTPStatusError, match="503"):
        _measured(httpx.Response(503, json={"title": "Service Unavailable"}))
