"""Other people's players, on the real service: each starts and plays for twenty seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.__main__ import NAME
from tests.compat.players import PLAYERS, STREAM_FLAGS, Player, Playground, playground
from tests.compat.result import FPS, PLAY_SECONDS, Result
from tests.service import Service, temporary_media_root
from tools import generated

# A cold start of a browser on two busy cores; the players themselves take one or two.
START_SECONDS = 10
# The last figure of a player may be half a second old.
ENOUGH_SECONDS = PLAY_SECONDS - 1
# A busy machine paints fewer than it decodes; a player that does not paint has shown one.
ENOUGH_PICTURES = PLAY_SECONDS * FPS * 4 // 5
# Seconds behind real time: 3 parts and what a start costs; 3 segments, one in progress, a buffer.
LOW, PLAIN = 3, 12
PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"


@pytest.fixture(scope="module")
def ground() -> Iterator[Playground]:
    with (
        temporary_media_root() as folder,
        Service(Path(folder) / "media", STREAM_FLAGS) as service,
        playground(service.url) as ground,
    ):
        yield ground


def is_smooth(player: Player, result: Result) -> bool:
    """Whether it did not stall, and showed what it played."""
    pictures = result.playing.pictures
    shown = not player.pictures or pictures is None or pictures >= ENOUGH_PICTURES
    return shown and result.playing.stalls <= player.stalls


@pytest.mark.browser
@pytest.mark.parametrize("player", PLAYERS, ids=lambda player: player.name)
def test_starts_and_plays_twenty_seconds(ground: Playground, player: Player) -> None:
    result = ground.result(player)
    if result.late_parts and not is_smooth(player, result):  # no player can show what is not there
        result = ground.again(player)
    playing = result.playing
    assert playing.errors == ()
    assert result.refused == ()
    assert playing.started_seconds < START_SECONDS
    assert playing.played_seconds >= ENOUGH_SECONDS
    assert is_smooth(player, result), (playing, f"parts were late: {result.late_parts}")
    if player.dated:
        assert playing.latency_seconds is not None
        assert 0 < playing.latency_seconds < (LOW if player.low_latency else PLAIN)
    assert result.takes_low_latency == player.low_latency


def test_the_page_has_a_row_for_every_player() -> None:
    rows = generated.read(PAGE, NAME).splitlines()[2:]
    assert len(rows) == len(PLAYERS), "run python -m tests.compat --markdown docs/compatibility.md"
    for line, player in zip(rows, PLAYERS, strict=True):
        assert line.startswith(f"| {player.title} "), player.name
