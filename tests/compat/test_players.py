"""Other people's players, on the real service: each starts and plays for twenty seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.players import PLAYERS, STREAM_FLAGS, Player, Playground, playground
from tests.compat.result import FPS, PLAY_SECONDS
from tests.service import Service, temporary_media_root

pytestmark = pytest.mark.browser

# A cold start of a browser on two busy cores; the players themselves take one or two.
START_SECONDS = 10
# The last figure of a player may be half a second old.
ENOUGH_SECONDS = PLAY_SECONDS - 1


@pytest.fixture(scope="module")
def ground() -> Iterator[Playground]:
    with (
        temporary_media_root() as folder,
        Service(Path(folder) / "media", STREAM_FLAGS) as service,
        playground(service.url) as ground,
    ):
        yield ground


@pytest.mark.parametrize("player", PLAYERS, ids=lambda player: player.name)
def test_starts_and_plays_twenty_seconds(ground: Playground, player: Player) -> None:
    result = ground.result(player)
    playing = result.playing
    assert playing.errors == ()
    assert result.refused == ()
    assert playing.started_seconds < START_SECONDS
    assert playing.played_seconds >= ENOUGH_SECONDS
    assert playing.stalls == 0
    assert playing.latency_seconds is not None
    assert 0 < playing.latency_seconds < 20
    if player.pictures and playing.pictures is not None:
        assert playing.pictures >= ENOUGH_SECONDS * FPS
    assert result.takes_low_latency == player.low_latency
